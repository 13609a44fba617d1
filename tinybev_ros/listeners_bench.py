"""What listeners and objects cost where results become messages: those axes of the scale bench that need ROS."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass

import torch
from rclpy.context import Context
from rclpy.lifecycle import LifecycleNode
from rclpy.node import Node

from tinybev.bench.interleaved import Work
from tinybev.bench.made_outputs import outputs_with_agents
from tinybev.bench.scale import AGENT_COUNTS, Variant
from tinybev.bench.scale import measure as measure_axis
from tinybev.bench.scale_work import with_agents
from tinybev.bench.speed_row import SpeedRow, table
from tinybev.errors import UserError
from tinybev.model.config import StudentConfig
from tinybev.runtime.options import PipelineOptions
from tinybev.runtime.output_decoder import OutputDecoder
from tinybev.types import Frame, Results, StageTimes, WeightsInfo
from tinybev_ros import bench_listener
from tinybev_ros.conversions import header_to_msg
from tinybev_ros.outputs import OUTPUTS, Publishers

LISTENER_COUNTS = (0, 1, 2, 4, 8)
OBJECTS = 50
"""In the results that are published to the listeners."""
NODE, BASE_FRAME = "tinybev_listeners_bench", "base_link"
FIRST_DOMAIN = 60
"""Every number of listeners has a domain of its own, so that none hears another's node."""
PATIENCE_S = 30.0


def measure(config: StudentConfig, rounds: int, threads: int) -> list[SpeedRow]:
    """Prints the tables of both axes and returns their rows.

    Args:
        config: of the network whose results are published.
        rounds: turns of every variant.
        threads: that PyTorch is allowed.
    """
    messages = {
        f"messages={number}": Variant(f"messages={number}", "rclpy", Messages(config, number))
        for number in AGENT_COUNTS
    }
    listeners = {
        f"listeners={number}": Variant(f"listeners={number}", "rclpy", Listeners(config, number, FIRST_DOMAIN + n))
        for n, number in enumerate(LISTENER_COUNTS)
    }
    rows: list[SpeedRow] = []
    for variants in (messages, listeners):
        measured, absent = measure_axis(variants, rounds, threads)
        print(table(measured, absent))
        rows += measured
    return rows


@dataclass(frozen=True)
class Messages:
    """A result with so many objects to all messages of the node."""

    config: StudentConfig
    objects: int

    def __call__(self) -> Work:
        results = made_results(self.config, self.objects)
        header = header_to_msg(results.stamp_ns, BASE_FRAME)
        return lambda: [output.build(results, header) for output in OUTPUTS]


@dataclass(frozen=True)
class Listeners:
    """A result handed to the middleware, all of its messages that somebody listens to.

    Attributes:
        config: of the network.
        listeners: processes that subscribe to every output.
        domain: for them alone.
    """

    config: StudentConfig
    listeners: int
    domain: int

    def __call__(self) -> Work:
        os.environ["ROS_DOMAIN_ID"] = str(self.domain)
        context = Context()
        context.init()
        node = LifecycleNode(NODE, context=context)
        publishers = Publishers(node, BASE_FRAME)
        node.trigger_configure()
        node.trigger_activate()
        programs = [
            subprocess.Popen([sys.executable, "-m", bench_listener.__name__, f"/{NODE}"], stdin=subprocess.PIPE)
            for _ in range(self.listeners)
        ]
        _wait_for_listeners(node, programs)
        results = made_results(self.config, OBJECTS)

        # Not until every listener has acknowledged: Fast DDS asks them only every 3 s.
        def publish() -> None:
            publishers.publish(results, publishers.heard())

        return publish


def made_results(config: StudentConfig, objects: int) -> Results:
    """A result with so many objects."""
    torch.set_num_threads(1)
    config = with_agents(config, objects)
    decoder = OutputDecoder(config, PipelineOptions(max_objects=config.max_agents))
    decoded = decoder.decode(outputs_with_agents(config, objects), Frame(stamp_ns=0, images={}))
    return Results(
        stamp_ns=0,
        detections=decoded.detections,
        map=decoded.map,
        trajectories=decoded.trajectories,
        occupancy=decoded.occupancy,
        plan=decoded.plan,
        missing=(),
        times=StageTimes(0.0, 0.0, 0.0, 0.0, 0.0),
        weights=WeightsInfo(config.name, "nothing (made outputs)", ""),
    )


def _wait_for_listeners(node: Node, programs: list[subprocess.Popen[bytes]]) -> None:
    """Returns when every listener has found every output.

    Raises:
        UserError: one ended, or they take too long.
    """
    topics = [node.resolve_topic_name(output.topic) for output in OUTPUTS]
    until = time.monotonic() + PATIENCE_S
    while any(node.count_subscribers(topic) < len(programs) for topic in topics):
        if any(program.poll() is not None for program in programs) or time.monotonic() > until:
            raise UserError(f"listeners={len(programs)}: expected all of them to start, not all did; try again.")
        time.sleep(0.05)
