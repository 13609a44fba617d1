"""Records topics of the running graph into a rosbag2, as serialized as they come, and counts them."""

from __future__ import annotations

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

from tinybev.errors import UserError
from tinybev_ros import diagnostics
from tinybev_ros.bag_writer import BagWriter
from tinybev_ros.recorded_topic import message_class

QUEUE_DEPTH = 100
JUMP_NS = 1_000_000_000


class Recorder:
    """Subscribes to topics on a thread of its own and writes what arrives; use it as a context manager.

    Messages are logged with the simulated time of their arrival, so the recording can be played beside its input. Once
    that time jumps back, a looping input begins again: from then on messages are counted and no longer written.

    Args:
        bag: the open bag to write to.
        recorded: topic and type (``package/msg/Name``) of what to record.
        node: name of the node whose diagnostics are kept as :attr:`report`.
    """

    def __init__(self, bag: BagWriter, recorded: Sequence[tuple[str, str]], node: str) -> None:
        self.counts: Counter[str] = Counter({topic: 0 for topic, _ in recorded})
        self.report: diagnostics.Report | None = None
        self._bag, self._observed = bag, node
        self._error: OSError | UserError | None = None
        self._newest_ns, self._looped = 0, False
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
        if error is not None or self._error is None:
            return
        if isinstance(self._error, OSError):
            raise UserError(f"the recording could not be written: {self._error}; free some space.") from self._error
        raise self._error

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
            self._write(topic, type_name, bytes(data))
            self.counts[topic] += 1
            if topic == diagnostics.TOPIC:
                report = diagnostics.read_report(deserialize_message(data, DiagnosticArray), self._observed)
                self.report = report or self.report

        self._node.create_subscription(message_type, topic, record, QoSProfile(depth=QUEUE_DEPTH), raw=True)

    def _write(self, topic: str, type_name: str, data: bytes) -> None:
        now_ns = self.sim_time_ns
        self._looped |= now_ns < self._newest_ns - JUMP_NS
        self._newest_ns = max(self._newest_ns, now_ns)
        if not self._looped:
            self._bag.write_serialized(topic, type_name, now_ns, data)

    def _spin(self) -> None:
        try:
            self._executor.spin()
        except ExternalShutdownException:
            return  # the context ended while a message was awaited
        except (OSError, UserError) as error:  # raised again where the recording is closed
            self._error = error
