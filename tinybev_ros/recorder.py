"""Records topics of the running graph into a rosbag2, as serialized as they come, and counts them."""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from collections.abc import Sequence
from types import TracebackType

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile
from rclpy.serialization import deserialize_message

from tinybev_ros import diagnostics
from tinybev_ros.bag_writer import BagWriter
from tinybev_ros.recorded_topic import message_class

QUEUE_DEPTH = 100


class Recorder:
    """Subscribes to topics on a thread of its own and writes what arrives; use it as a context manager.

    Messages are logged with the simulated time of their arrival, so the recording can be played beside its input.

    Args:
        bag: the open bag to write to.
        recorded: topic and type (``package/msg/Name``) of what to record.
        node: name of the node whose diagnostics are kept as :attr:`report`.
    """

    def __init__(self, bag: BagWriter, recorded: Sequence[tuple[str, str]], node: str) -> None:
        self.counts: Counter[str] = Counter({topic: 0 for topic, _ in recorded})
        self.report: diagnostics.Report | None = None
        self._bag, self._observed = bag, node
        self._lock = threading.Lock()
        self._context = rclpy.Context()
        rclpy.init(context=self._context)
        sim_time = [Parameter("use_sim_time", value=True)]
        self._node = rclpy.create_node("tinybev_recorder", context=self._context, parameter_overrides=sim_time)
        for topic, type_name in recorded:
            self._subscribe(topic, type_name)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self._node)
        self._thread = threading.Thread(target=self._spin, name="recorder", daemon=True)

    def __enter__(self) -> Recorder:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._executor.shutdown()
        rclpy.shutdown(context=self._context)
        self._thread.join()

    @property
    def sees_publishers(self) -> bool:
        """Whether every recorded topic has a publisher by now."""
        return all(self._node.count_publishers(topic) > 0 for topic in self.counts)

    @property
    def sim_time_ns(self) -> int:
        """The simulated time, 0 before the first /clock."""
        return int(self._node.get_clock().now().nanoseconds)

    def _subscribe(self, topic: str, type_name: str) -> None:
        message_type = message_class(type_name)
        assert message_type is not None, f"{type_name} is not installed"

        def record(data: bytes) -> None:
            with self._lock:
                self.counts[topic] += 1
                self._bag.write_serialized(topic, type_name, self.sim_time_ns, bytes(data))
            if topic == diagnostics.TOPIC:
                report = diagnostics.read_report(deserialize_message(data, DiagnosticArray), self._observed)
                self.report = report or self.report

        self._node.create_subscription(message_type, topic, record, QoSProfile(depth=QUEUE_DEPTH), raw=True)

    def _spin(self) -> None:
        with contextlib.suppress(ExternalShutdownException):  # the context ended while a message was awaited
            self._executor.spin()
