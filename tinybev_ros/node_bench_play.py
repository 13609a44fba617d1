"""One play of a recording through a node process of its own, in real time, and what a subscriber beside it hears."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from types import TracebackType

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.qos import QoSProfile
from rosgraph_msgs.msg import Clock

from tinybev.bench.foreign_load import Meter, foreign_share, peak_memory_mb
from tinybev.bench.playback import Heard, Playback
from tinybev.errors import UserError
from tinybev_ros import diagnostics, topics
from tinybev_ros.bringup import ParameterValue, Process, processes
from tinybev_ros.conversions import msg_to_stamp
from tinybev_ros.demo import QUIET_S, refuse_early_end
from tinybev_ros.diagnostics import Report
from tinybev_ros.node_bench_recording import Recording
from tinybev_ros.outputs import OUTPUTS
from tinybev_ros.topics import NODE
from tinybev_ros.up import RunningProcess, running, stop

QUEUE_DEPTH = 100
POLL_S = 0.02
SETTLE_S = 0.5
"""Within it a message that has been delivered gets from the middleware to its callback."""
START_TIMEOUT_S = 300.0
"""The first start of a backend may export and compile."""
HEARD = [output for output in OUTPUTS if not output.for_viewers]
"""What the subscriber listens to: all that a vehicle would, so that all of it is built and sent."""
LAST = HEARD[-1]
"""Of a result's messages the one that leaves last."""


@dataclass(frozen=True)
class NodeOptions:
    """How the node is started.

    Attributes:
        bundle, backend, threads: as the parameters of the same names.
    """

    bundle: str
    backend: str
    threads: int


@dataclass(frozen=True)
class Play:
    """What was measured of one play.

    Attributes:
        playback: what was heard.
        report: the node's last word on its whole run.
        start_to_result_s: from the start of the node's process to its first result; the recording, which waits for
            the node, has begun in between.
        peak_memory_mb: resident memory of the node's process at its highest; None: not told.
        foreign_share: of the processors' time that other work took; None: not told.
    """

    playback: Playback
    report: Report
    start_to_result_s: float
    peak_memory_mb: float | None
    foreign_share: float | None


def play(recording: Recording, options: NodeOptions) -> Play:
    """Starts a node and a player as ``tinybev up`` does, and returns when the last result has come.

    Raises:
        UserError: the node or the player ended early, the node said nothing, or no result came.
    """
    node_process, player_process = _graph(recording, options)
    started_ns = time.monotonic_ns()
    with Subscriber() as subscriber, running([node_process, player_process], sink=sys.stderr) as (node, player):
        pids = [node.child.pid, player.child.pid, os.getpid()]
        _wait_for_clock(subscriber, node, player)
        before = during = Meter.read(pids)
        memory_mb: float | None = None
        while player.child.poll() is None:
            refuse_early_end(node.child)
            memory_mb, during = peak_memory_mb(node.child.pid) or memory_mb, Meter.read(pids)
            time.sleep(POLL_S)
        if player.child.returncode:
            raise UserError(f"playback ended with status {player.child.returncode}; see above.")
        wait_until_steady(lambda: len(subscriber.results), QUIET_S)
        memory_mb = peak_memory_mb(node.child.pid) or memory_mb
        stop([node.child])  # it says its last word when it stops
        wait_until_steady(lambda: len(subscriber.told), SETTLE_S)
        report = subscriber.report()
    if report is None or report.weights is None:
        raise UserError(f"nothing of {NODE} came on {diagnostics.TOPIC}, so there is nothing to sum up; see above.")
    if not subscriber.results:
        raise UserError(f"no result of {NODE} came; expected a recording of which it can make frames, see above.")
    return Play(
        playback=Playback(tuple(subscriber.clock), tuple(subscriber.results), recording.exposures_ns),
        report=report,
        start_to_result_s=1e-9 * (subscriber.results[0].arrival_ns - started_ns),
        peak_memory_mb=memory_mb,
        foreign_share=foreign_share(before, during, os.cpu_count() or 1),
    )


def _graph(recording: Recording, options: NodeOptions) -> tuple[Process, Process]:
    """The node and the player of the usual graph."""
    values = {"bag": str(recording.bag), "bundle": options.bundle, "foxglove": "off", "log_level": "warn", "name": NODE}
    node, player = processes(values)
    chosen: dict[str, ParameterValue] = {"backend": options.backend, "threads": options.threads}
    patient: dict[str, ParameterValue] = {"wait_timeout": START_TIMEOUT_S}
    return (
        replace(node, parameters={**node.parameters, **chosen}),
        replace(player, parameters={**player.parameters, **patient}),
    )


def _wait_for_clock(subscriber: Subscriber, node: RunningProcess, player: RunningProcess) -> None:
    """Until the recording plays: its clock moves.

    Raises:
        UserError: a process ended before, or it takes too long.
    """
    give_up = time.monotonic() + START_TIMEOUT_S
    while not subscriber.plays:
        refuse_early_end(node.child)
        if player.child.poll() not in (None, 0) or time.monotonic() > give_up:
            raise UserError("the recording does not begin to play; see above.")
        if player.child.poll() == 0:
            return
        time.sleep(POLL_S)


def wait_until_steady(count: Callable[[], int], seconds: float) -> None:
    """Returns when a count has not changed for so long."""
    seen, since = count(), time.monotonic()
    while time.monotonic() < since + seconds:
        if count() != seen:
            seen, since = count(), time.monotonic()
        time.sleep(POLL_S)


class Subscriber:
    """Listens on a thread of its own; use it as a context manager.

    Attributes:
        clock: of the player.
        results: of the node, by ``LAST``.
        told: diagnostics, of whichever node.
    """

    def __init__(self) -> None:
        self.clock: list[Heard] = []
        self.results: list[Heard] = []
        self.told: list[DiagnosticArray] = []
        self._context = rclpy.Context()
        rclpy.init(context=self._context)
        self._node = rclpy.create_node("tinybev_bench", context=self._context)
        qos = QoSProfile(depth=QUEUE_DEPTH)
        self._node.create_subscription(Clock, topics.CLOCK, self._on_clock, qos)
        self._node.create_subscription(DiagnosticArray, diagnostics.TOPIC, self.told.append, qos)
        for output in HEARD:
            topic = output.topic.replace("~", f"/{NODE}")
            if output is LAST:
                self._node.create_subscription(output.message_type, topic, self._on_result, qos)
            else:
                self._node.create_subscription(output.message_type, topic, lambda _: None, qos, raw=True)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self._node)
        self._thread = threading.Thread(target=self._spin, name="tinybev-bench", daemon=True)

    def __enter__(self) -> Subscriber:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._executor.shutdown()
        rclpy.shutdown(context=self._context)
        self._thread.join()

    @property
    def plays(self) -> bool:
        """Whether the player's clock has moved."""
        return bool(self.clock) and self.clock[-1].stamp_ns > self.clock[0].stamp_ns

    def report(self) -> Report | None:
        """The node's last word."""
        reports = (diagnostics.read_report(message, NODE) for message in reversed(self.told))
        return next((report for report in reports if report is not None), None)

    def _on_clock(self, message: Clock) -> None:
        self.clock.append(Heard(msg_to_stamp(message.clock), time.monotonic_ns()))

    def _on_result(self, message: object) -> None:
        self.results.append(Heard(msg_to_stamp(message.header.stamp), time.monotonic_ns()))  # type: ignore[attr-defined]

    def _spin(self) -> None:
        with suppress(ExternalShutdownException):
            self._executor.spin()
