"""The bridge: offers ROS topics to Foxglove clients and passes the messages on as they are serialized.

A topic is subscribed to only while a client wants it. Everything that touches rclpy happens in the executor's thread;
what the server's threads report is queued and the executor woken through a guard condition.
"""

from __future__ import annotations

import importlib
import itertools
import queue
import sys
import threading
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import Any

import rclpy
from rclpy.clock import Clock, ClockType
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.subscription import Subscription
from rosgraph_msgs.msg import Clock as ClockMessage

from tinybev.errors import UserError
from tinybev_ros.foxglove.discovery import Reception, Topic, published_topics
from tinybev_ros.foxglove.schemas import install_prefixes, schema_text
from tinybev_ros.foxglove.server import BACKLOG, Channel, Endpoint, start_server
from tinybev_ros.foxglove.settings import Settings, declare_settings
from tinybev_ros.refused_arguments import refused_as_user_error
from tinybev_ros.topics import CLOCK

NODE_NAME = "foxglove_bridge"
_DISCOVERY_PERIOD_S = 1.0
_CHANGES_PER_DISCOVERY = BACKLOG // 2  # each is announced to every client, whose queue must not overflow


@dataclass
class _BridgedTopic:
    """A topic that clients can see, and the subscription that feeds it while they look."""

    topic: Topic
    channel_id: int
    message_type: type
    reception: Reception
    clients: int = 0
    subscription: Subscription[Any] | None = None


class FoxgloveBridge:
    """Serves the topics that ``node`` sees; the node must be spun, and ``close`` called at the end.

    Raises UserError when the server cannot start. Anybody who can reach the port can read the topics: there is no
    authentication, and a web page in a browser on the same machine may connect as well.
    """

    def __init__(self, node: Node, settings: Settings) -> None:
        self._node = node
        self._settings = settings
        self._topics: dict[Topic, _BridgedTopic] = {}
        self._refused: set[Topic] = set()
        self._reports: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._wake = node.create_guard_condition(self._handle_reports)
        self._open = True
        self._lock = threading.Lock()  # held while the guard condition is triggered, so that it still exists

        use_sim_time = bool(node.get_parameter("use_sim_time").value)
        if use_sim_time:
            clock_qos = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
            node.create_subscription(ClockMessage, CLOCK, self._send_time, clock_qos)
        # On the steady clock: simulated time may stand still.
        node.create_timer(_DISCOVERY_PERIOD_S, self._discover, clock=Clock(clock_type=ClockType.STEADY_TIME))
        endpoint = Endpoint(settings.host, settings.port, node.get_fully_qualified_name(), sends_time=use_sim_time)
        self._server = start_server(settings.backend, endpoint, self)
        self._report(self._discover)

    @property
    def port(self) -> int:
        """The TCP port the server listens on."""
        return self._server.port

    def close(self) -> None:
        """Disconnects the clients and ends the server."""
        with self._lock:
            self._open = False
        self._server.stop()

    def on_subscribe(self, channel_id: int) -> None:
        """Called by the server: a client has subscribed to a channel."""
        self._report(partial(self._count_client, channel_id, +1))

    def on_unsubscribe(self, channel_id: int) -> None:
        """Called by the server: a client no longer wants a channel."""
        self._report(partial(self._count_client, channel_id, -1))

    def _report(self, report: Callable[[], None]) -> None:
        with self._lock:
            if self._open:
                self._reports.put(report)
                self._wake.trigger()

    def _handle_reports(self) -> None:
        while not self._reports.empty():
            self._reports.get()()

    def _count_client(self, channel_id: int, change: int) -> None:
        bridged = next((topic for topic in self._topics.values() if topic.channel_id == channel_id), None)
        if bridged is None:
            return  # the topic went away while the report was on its way
        bridged.clients += change
        if bridged.clients == 0:
            self._unsubscribe(bridged)
        elif bridged.subscription is None:
            self._subscribe(bridged)
        elif change > 0 and bridged.reception.latched:
            # A new subscription makes the publishers send their history again. The other clients get it again too.
            self._unsubscribe(bridged)
            self._subscribe(bridged)

    def _subscribe(self, bridged: _BridgedTopic) -> None:
        bridged.subscription = self._node.create_subscription(
            bridged.message_type,
            bridged.topic.name,
            partial(self._forward, bridged.channel_id),
            bridged.reception.qos(),
            raw=True,
        )

    def _unsubscribe(self, bridged: _BridgedTopic) -> None:
        if bridged.subscription is not None:
            self._node.destroy_subscription(bridged.subscription)
            bridged.subscription = None

    def _forward(self, channel_id: int, serialized: bytes) -> None:
        self._server.send(channel_id, serialized, self._node.get_clock().now().nanoseconds)

    def _send_time(self, message: ClockMessage) -> None:
        self._server.send_time(message.clock.sec * 1_000_000_000 + message.clock.nanosec)

    def _discover(self) -> None:
        """Brings the channels in line with the graph, a limited number at a time."""
        published = published_topics(self._node, self._settings.topics)
        gone = [topic for topic in self._topics if topic not in published]
        new = [topic for topic in published if topic not in self._topics and topic not in self._refused]
        changes = [partial(self._remove, topic) for topic in gone]
        changes += [partial(self._add, topic, published[topic]) for topic in new]
        for change in itertools.islice(changes, _CHANGES_PER_DISCOVERY):
            change()
        for topic, bridged in self._topics.items():
            if topic in published and bridged.reception != published[topic]:
                bridged.reception = published[topic]
                if bridged.subscription is not None:
                    self._unsubscribe(bridged)
                    self._subscribe(bridged)

    def _add(self, topic: Topic, reception: Reception) -> None:
        try:
            schema = schema_text(topic.type_name, install_prefixes())
            message_type = _message_type(topic.type_name)
        except UserError as error:
            self._refused.add(topic)
            self._node.get_logger().warning(f"{topic.name} is not offered: {error}")
            return
        channel_id = self._server.add_channel(Channel(topic.name, topic.type_name, schema))
        self._topics[topic] = _BridgedTopic(topic, channel_id, message_type, reception)

    def _remove(self, topic: Topic) -> None:
        bridged = self._topics.pop(topic)
        self._unsubscribe(bridged)
        self._server.remove_channel(bridged.channel_id)


def _message_type(type_name: str) -> type:
    """The Python class of ``package/msg/Name``; raises UserError when it is not installed."""
    package, _, name = type_name.split("/")
    try:
        message_type: type = getattr(importlib.import_module(f"{package}.msg"), name)
    except (ImportError, AttributeError) as error:
        raise UserError(
            f"The Python class of {type_name} cannot be imported ({error}); "
            f"install the package {package} or source the workspace that holds it."
        ) from error
    return message_type


def main(args: list[str] | None = None) -> int:
    """Runs the bridge until SIGINT or SIGTERM; returns the exit status (2: a sentence for the user was printed)."""
    try:
        with refused_as_user_error():
            rclpy.init(args=args)
            node = Node(NODE_NAME)
    except UserError as error:
        print(f"{NODE_NAME}: {error}", file=sys.stderr)
        return 2
    try:
        settings = declare_settings(node)
        if not settings.local:
            node.get_logger().warning(
                f"Listening on {settings.host}: whoever reaches this address can read all offered topics, as there is "
                "no authentication; use 127.0.0.1 and an SSH tunnel where that is not wanted."
            )
        with closing(FoxgloveBridge(node, settings)) as bridge:
            node.get_logger().info(f"Foxglove can connect to ws://{settings.host}:{bridge.port} ({settings.backend})")
            rclpy.spin(node)
    except UserError as error:
        print(f"{NODE_NAME}: {error}", file=sys.stderr)
        return 2
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    finally:
        node.destroy_node()
        rclpy.try_shutdown()
    return 0
