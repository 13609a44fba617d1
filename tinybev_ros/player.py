"""Plays a rosbag2 into ROS 2, with /clock, for machines without ``ros2 bag``; messages are never deserialized."""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import rclpy
from rcl_interfaces.msg import ParameterDescriptor
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.signals import SignalHandlerOptions
from rclpy.utilities import remove_ros_args
from rosgraph_msgs.msg import Clock

from tinybev.cli import run_command
from tinybev.errors import UserError
from tinybev_ros.bag import Bag, BagMessage, open_bag
from tinybev_ros.player_settings import (
    PlayerSettings,
    add_setting_arguments,
    setting_descriptions,
    settings_from,
)
from tinybev_ros.read_ahead import ReadAhead
from tinybev_ros.recorded_topic import is_latched, message_class, publisher_qos
from tinybev_ros.refused_arguments import refused_as_user_error
from tinybev_ros.topics import CLOCK

NODE_NAME = "bag_player"
NS_PER_S = 1_000_000_000
CLOCK_PERIOD_NS = 20_000_000
CLOCK_DEPTH = 10
SETTLE_S = 0.2  # discovery has two sides: what the player sees, the subscriber sees a moment later
DELIVERY_TIMEOUT_S = 4.0  # Fast DDS asks its subscribers every 3 s what they have
DELIVERY_TURN_S = 0.1
LATENESS_SAMPLES = 20_000


@dataclass
class PlayReport:
    """What was played: messages, their bytes, and how late they left (milliseconds; the last 20 000 messages)."""

    messages: int = 0
    bytes: int = 0
    lateness_ms: deque[float] = field(default_factory=lambda: deque(maxlen=LATENESS_SAMPLES))

    def __str__(self) -> str:
        p50, p99, worst = np.percentile(self.lateness_ms or [0.0], (50, 99, 100))
        return (
            f"{self.messages} messages, {self.bytes / 1e6:.1f} MB, "
            f"late by {p50:.1f} ms (median), {p99:.1f} ms (99 %), {worst:.1f} ms (worst)"
        )


@dataclass
class Stop:
    """A request to end early. A signal handler sets it: an Event's lock may be held by the very code it interrupts."""

    requested: bool = False


class Player:
    """Plays one bag through the publishers of one node; request ``stop`` to end it early."""

    def __init__(self, node: Node, settings: PlayerSettings, stop: Stop) -> None:
        self._node = node
        self._settings = settings
        self._stop = stop
        self._clock_publisher = node.create_publisher(Clock, CLOCK, CLOCK_DEPTH)
        self._clock_ns = -1
        self._publishers: dict[str, Publisher] = {}
        self._report = PlayReport()

    def run(self) -> PlayReport:
        """Plays to the end of the bag, or in a loop until stopped; returns when the last message is delivered.

        Raises:
            UserError: the bag is damaged, nothing of it can be played, or nobody subscribes in time.
        """
        with open_bag(Path(self._settings.bag)) as bag:
            start_ns, end_ns = self._window(bag)
            self._advertise(bag)
            self._publish_latched(bag, start_ns)
            self._wait_for_subscribers(start_ns)
            self._play_once(bag, start_ns, end_ns)
            while self._settings.loop and not self._stop.requested:
                self._publish_latched(bag, start_ns)
                self._play_once(bag, start_ns, end_ns)
        self._wait_for_delivery()
        return self._report

    def _window(self, bag: Bag) -> tuple[int, int]:
        """The first and the last log time to play."""
        start_ns = bag.start_ns + round(self._settings.start * NS_PER_S)
        if start_ns > bag.end_ns:
            seconds = (bag.end_ns - bag.start_ns) / NS_PER_S
            raise UserError(f"start: expected a moment within the {seconds:.1f} s of {bag.path}.")
        duration_ns = round(self._settings.duration * NS_PER_S)
        end_ns = min(bag.end_ns, start_ns + duration_ns) if duration_ns else bag.end_ns
        if self._settings.loop and start_ns == end_ns:
            raise UserError(f"loop: expected a recording that lasts a while, but {bag.path} holds a single moment.")
        return start_ns, end_ns

    def _advertise(self, bag: Bag) -> None:
        """Creates the publishers; what is excluded is said once, a topic whose type is not installed one by one."""
        excluded = [name for name in sorted(bag.topics) if self._settings.leaves_out(name)]
        if excluded:
            self._node.get_logger().info(f"left out: {', '.join(excluded)}")
        for topic in bag.topics.values():
            if topic.name == CLOCK or topic.name in excluded:  # the player's own clock takes the recorded one's place
                continue
            kind = message_class(topic.type_name)
            if kind is None:
                self._node.get_logger().warning(
                    f"{topic.name} is not played: its type {topic.type_name} is not installed"
                )
                continue
            self._publishers[topic.name] = self._node.create_publisher(kind, topic.name, publisher_qos(topic))
        if not self._publishers:
            raise UserError(
                f"{bag.path} has no topic of a type that is installed here and that is not left out, so there is "
                "nothing to play."
            )
        for name in self._settings.wait_for:
            if name not in self._publishers:
                self._node.get_logger().warning(f"{name} is not waited for: it is not among the topics that are played")

    def _publish_latched(self, bag: Bag, start_ns: int) -> None:
        """Publishes what latched topics said up to the start, so that subscribers have it before anything else."""
        self._clock_ns = -1
        self._publish_clock(start_ns)
        latched = [name for name in self._publishers if is_latched(bag.topics[name])]
        for message in bag.messages(latched, end_ns=start_ns):
            self._publish(message)

    def _wait_for_subscribers(self, start_ns: int) -> None:
        """Holds the clock at the start until every topic that was named has a subscriber."""
        awaited = {name: self._publishers[name] for name in self._settings.wait_for if name in self._publishers}
        if not awaited:
            return
        give_up = time.monotonic() + self._settings.wait_timeout
        while missing := [name for name, publisher in awaited.items() if publisher.get_subscription_count() == 0]:
            if time.monotonic() > give_up:
                raise UserError(
                    f"nobody subscribed to {', '.join(missing)} within {self._settings.wait_timeout:g} s; "
                    "start the subscriber, or play without waiting for it."
                )
            if self._stop.requested:
                return
            time.sleep(CLOCK_PERIOD_NS / NS_PER_S)
            self._publish_clock(start_ns, again=True)
        time.sleep(SETTLE_S)

    def _play_once(self, bag: Bag, start_ns: int, end_ns: int) -> None:
        """Publishes every message of the window when it is due on the steady clock; returns at the window's end."""
        latched = {name for name in self._publishers if is_latched(bag.topics[name])}
        origin_ns: int | None = None
        with ReadAhead(bag.path, tuple(self._publishers), start_ns, end_ns) as messages:
            for message in messages:
                # From the first message on, so that opening the bag delays nothing.
                origin_ns = origin_ns or time.monotonic_ns()
                if message.stamp_ns == start_ns and message.topic in latched:
                    continue  # published before the start
                due_ns = origin_ns + round((message.stamp_ns - start_ns) / self._settings.rate)
                if not self._sleep_until(due_ns, message.stamp_ns):
                    return
                self._publish_clock(message.stamp_ns)
                self._report.lateness_ms.append((time.monotonic_ns() - due_ns) / 1e6)
                self._publish(message)
        window_ns = round((end_ns - start_ns) / self._settings.rate)
        self._sleep_until((origin_ns or time.monotonic_ns()) + window_ns, end_ns)

    def _wait_for_delivery(self) -> None:
        """Waits until subscribers have acknowledged the last messages, which are lost with their publishers."""
        give_up = time.monotonic() + DELIVERY_TIMEOUT_S
        for publisher in self._publishers.values():
            # In short turns, because a signal is not heard within one.
            while not publisher.wait_for_all_acked(Duration(seconds=DELIVERY_TURN_S)):
                if self._stop.requested or time.monotonic() > give_up:
                    return

    def _sleep_until(self, due_ns: int, stamp_ns: int) -> bool:
        """Sleeps until a message is due, with the clock running towards its stamp; False where playback was stopped."""
        while not self._stop.requested:
            left_ns = due_ns - time.monotonic_ns()
            if left_ns <= 0:
                return True
            clock_ns = stamp_ns - round(left_ns * self._settings.rate)
            until_tick_ns = self._clock_ns + round(CLOCK_PERIOD_NS * self._settings.rate) - clock_ns
            if until_tick_ns <= 0:
                self._publish_clock(clock_ns)
                continue
            time.sleep(min(left_ns, until_tick_ns / self._settings.rate) / NS_PER_S)
        return False

    def _publish_clock(self, stamp_ns: int, *, again: bool = False) -> None:
        """Publishes the time, if it is later than the last one or is to be said again."""
        if stamp_ns > self._clock_ns or again:
            self._clock_ns = stamp_ns
            clock = Clock()
            clock.clock.sec, clock.clock.nanosec = divmod(stamp_ns, NS_PER_S)
            self._clock_publisher.publish(clock)

    def _publish(self, message: BagMessage) -> None:
        self._publishers[message.topic].publish(message.data)
        self._report.messages += 1
        self._report.bytes += len(message.data)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of ``tinybev play``."""
    add_setting_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Plays as the arguments say; ROS parameters of the same names, where given, take precedence."""
    with refused_as_user_error():
        rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
        # Nothing spins this node: it publishes and has no services to answer.
        node = Node(NODE_NAME, start_parameter_services=False)
    try:
        settings = settings_from(_parameters(node, vars(args)))
        node.get_logger().info(f"playing {settings.bag}")
        with _stopped_by_signals() as stop:
            report = Player(node, settings, stop).run()
        node.get_logger().info(f"played {report}")
    finally:
        rclpy.try_shutdown()
    return 0


def main() -> int:
    """``ros2 run tinybev_ros bag_player``: arguments, ROS parameters, or both."""
    try:
        with refused_as_user_error():
            arguments = remove_ros_args(sys.argv)[1:]
    except UserError as error:
        print(f"{NODE_NAME}: {error}", file=sys.stderr)
        return 2
    return run_command(__name__, arguments, NODE_NAME, "play a rosbag2 into ROS 2, with /clock")


def _parameters(node: Node, defaults: dict[str, object]) -> dict[str, object]:
    """The settings as ROS parameters of the node, with the command line's values where they are not given."""
    values: dict[str, object] = {}
    for name, description in setting_descriptions().items():
        descriptor = ParameterDescriptor(description=description, read_only=True, dynamic_typing=True)
        values[name] = node.declare_parameter(name, defaults[name], descriptor).value
    return values


@contextmanager
def _stopped_by_signals() -> Iterator[Stop]:
    """A stop that SIGINT and SIGTERM request."""
    stop = Stop()

    def request(*_: object) -> None:
        stop.requested = True

    previous = {number: signal.signal(number, request) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


if __name__ == "__main__":
    sys.exit(main())
