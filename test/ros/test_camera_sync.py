"""Six image topics over real DDS into the synchronizer."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import rclpy
from builtin_interfaces.msg import Time
from rclpy.context import Context
from rclpy.executors import MultiThreadedExecutor
from rclpy.node import Node
from rclpy.publisher import Publisher
from sensor_msgs.msg import CompressedImage
from std_msgs.msg import Header

from tinybev.errors import UserError
from tinybev.frames import CameraSet, SyncOptions
from tinybev.phases import NUSCENES_RIG
from tinybev.types import CAMERAS
from tinybev_ros.camera_sync import RevolutionSynchronizer, Subscriber, TopicFilter

START_NS = 1_532_402_927_600_000_000
PERIOD_NS = NUSCENES_RIG.period_ns
PATIENCE_S = 30.0
MAX_WAIT_S = 0.05


class SteppedClock:
    """A clock that stands still until it is moved: no deadline passes because a machine is slow."""

    def __init__(self) -> None:
        self._now_ns = 0

    def __call__(self) -> int:
        return self._now_ns

    def advance(self, seconds: float) -> None:
        self._now_ns += int(seconds * 1e9)


class Rig:
    """Publishers of six cameras, and the synchronizer on the other side of DDS."""

    def __init__(self, context: Context, make_filter: Callable[..., Any]) -> None:
        self.node = Node("rig", context=context)
        self.sets: queue.Queue[CameraSet[CompressedImage]] = queue.Queue()
        self.publishers: dict[str, Publisher] = {}
        filters = []
        for camera in CAMERAS:
            topic = f"/{camera.lower()}/image_rect_compressed"
            self.publishers[camera] = self.node.create_publisher(CompressedImage, topic, 10)
            filters.append(make_filter(self.node, CompressedImage, topic, qos_profile=10))
        self.clock = SteppedClock()
        self.synchronizer = RevolutionSynchronizer(filters, CAMERAS, SyncOptions(max_wait_s=MAX_WAIT_S), self.clock)
        self.synchronizer.registerCallback(self.sets.put)
        self._executor = MultiThreadedExecutor(2, context=context)
        self._executor.add_node(self.node)
        self._spinner = threading.Thread(target=self._executor.spin)
        self._spinner.start()

    def wait_until_connected(self) -> None:
        """Returns when every publisher has its subscription; waits for the graph, not for a time."""
        waiting = threading.Event()
        for publisher in self.publishers.values():
            for _ in range(int(PATIENCE_S / 0.02)):
                if publisher.get_subscription_count() == 1:
                    break
                waiting.wait(0.02)
            assert publisher.get_subscription_count() == 1

    def publish(self, revolution: int, *without: str) -> None:
        for camera, phase_ns in NUSCENES_RIG.phases_ns.items():
            if camera not in without:
                stamp_ns = START_NS + revolution * PERIOD_NS + phase_ns
                stamp = Time(sec=stamp_ns // 10**9, nanosec=stamp_ns % 10**9)
                message = CompressedImage(header=Header(stamp=stamp, frame_id=camera.lower()), format="jpeg")
                message.data = f"{camera} {revolution}".encode()
                self.publishers[camera].publish(message)

    def wait_until_received(self, camera_counts: dict[str, int]) -> None:
        waiting = threading.Event()
        for _ in range(int(PATIENCE_S / 0.02)):
            if self.synchronizer.counters.received == camera_counts:
                break
            waiting.wait(0.02)
        assert self.synchronizer.counters.received == camera_counts

    def next_set(self) -> CameraSet[CompressedImage]:
        return self.sets.get(timeout=PATIENCE_S)

    def close(self) -> None:
        self.synchronizer.close()
        self._executor.shutdown()
        self._spinner.join(PATIENCE_S)
        self.node.destroy_node()


@pytest.fixture
def context(ros_domain: int) -> Iterator[Context]:
    context = Context()
    rclpy.init(context=context, domain_id=ros_domain)
    yield context
    context.try_shutdown()


@pytest.fixture(params=dict.fromkeys([Subscriber, TopicFilter]))  # one where message_filters is not installed
def rig(context: Context, request: pytest.FixtureRequest) -> Iterator[Rig]:
    rig = Rig(context, request.param)
    yield rig
    rig.close()


def content(ready: CameraSet[CompressedImage]) -> dict[str, str]:
    return {camera: bytes(item.payload.data).decode() for camera, item in ready.items.items()}


def test_revolutions_come_out_as_they_were_sent(rig: Rig) -> None:
    rig.wait_until_connected()
    for revolution in range(8):
        rig.publish(revolution)
    for revolution in range(8):
        ready = rig.next_set()
        assert content(ready) == {camera: f"{camera} {revolution}" for camera in CAMERAS}
        assert ready.stamp_ns == START_NS + revolution * PERIOD_NS + NUSCENES_RIG.phases_ns["CAM_BACK_LEFT"]
        assert ready.missing == ()
    assert rig.synchronizer.counters.received == dict.fromkeys(CAMERAS, 8)
    assert rig.synchronizer.undelivered == 0


def test_a_camera_that_is_silent_is_named_after_the_wait(rig: Rig) -> None:
    rig.wait_until_connected()
    rig.publish(0)
    assert rig.next_set().missing == ()
    rig.publish(1, "CAM_BACK")
    rig.wait_until_received({camera: 1 if camera == "CAM_BACK" else 2 for camera in CAMERAS})
    assert rig.sets.empty()
    rig.clock.advance(MAX_WAIT_S)
    ready = rig.next_set()  # nothing else arrives: only the deadline brings it
    assert ready.missing == ("CAM_BACK",)
    assert content(ready) == {camera: f"{camera} 1" for camera in CAMERAS if camera != "CAM_BACK"}


def test_a_failing_callback_stops_neither_the_others_nor_what_follows(rig: Rig) -> None:
    seen: queue.Queue[int] = queue.Queue()

    def fail(ready: CameraSet[CompressedImage]) -> None:
        rig.synchronizer.counters  # noqa: B018 - would wait for ever if the lock were held here
        seen.put(ready.stamp_ns)
        raise RuntimeError("on purpose")

    rig.synchronizer.registerCallback(fail)
    rig.wait_until_connected()
    rig.publish(0)
    rig.publish(1)
    stamps = [rig.next_set().stamp_ns for _ in range(2)]
    assert [seen.get(timeout=PATIENCE_S) for _ in range(2)] == stamps


class Source:
    """A filter that is fed by hand."""

    def __init__(self) -> None:
        self._callbacks: list[Callable[[Any], Any]] = []

    def registerCallback(self, callback: Callable[..., Any], *args: Any) -> None:
        self._callbacks.append(callback)

    def give(self, stamp_ns: int) -> None:
        stamp = Time(sec=stamp_ns // 10**9, nanosec=stamp_ns % 10**9)
        for callback in self._callbacks:
            callback(CompressedImage(header=Header(stamp=stamp)))


def test_sets_keep_their_order_while_a_slow_callback_runs() -> None:
    source = Source()
    synchronizer = RevolutionSynchronizer([source], ["CAM"], SyncOptions(cameras=("CAM",)))
    entered, go_on, stamps = threading.Event(), threading.Event(), list[int]()

    def slow(ready: CameraSet[CompressedImage]) -> None:
        entered.set()
        assert go_on.wait(PATIENCE_S)
        stamps.append(ready.stamp_ns)

    synchronizer.registerCallback(slow)
    other = threading.Thread(target=source.give, args=(START_NS,))
    other.start()
    assert entered.wait(PATIENCE_S)
    for number in range(1, 4):
        source.give(START_NS + number * PERIOD_NS)  # does not wait for the callback
    assert stamps == []
    go_on.set()
    other.join(PATIENCE_S)
    assert stamps == [START_NS + number * PERIOD_NS for number in range(4)]
    synchronizer.close()


def test_what_a_stuck_callback_leaves_waiting_is_bounded_and_counted() -> None:
    source = Source()
    synchronizer = RevolutionSynchronizer([source], ["CAM"], SyncOptions(cameras=("CAM",)))
    entered, go_on = threading.Event(), threading.Event()

    def stuck(ready: CameraSet[CompressedImage]) -> None:
        entered.set()
        assert go_on.wait(PATIENCE_S)

    synchronizer.registerCallback(stuck)
    other = threading.Thread(target=source.give, args=(START_NS,))
    other.start()
    assert entered.wait(PATIENCE_S)
    for number in range(1, 101):
        source.give(START_NS + number * PERIOD_NS)
    assert synchronizer.undelivered == 100 - 64
    go_on.set()
    other.join(PATIENCE_S)
    synchronizer.close()


def test_after_close_nothing_comes_out() -> None:
    source = Source()
    synchronizer = RevolutionSynchronizer([source], ["CAM"], SyncOptions(cameras=("CAM",)))
    stamps: list[int] = []

    def close_on_first(ready: CameraSet[CompressedImage]) -> None:
        stamps.append(ready.stamp_ns)
        synchronizer.close()

    synchronizer.registerCallback(close_on_first)
    source.give(START_NS)
    source.give(START_NS + PERIOD_NS)
    synchronizer.close()  # a second time does no harm
    assert stamps == [START_NS]
    assert synchronizer.counters.received == {"CAM": 1}


def test_each_camera_needs_its_filter() -> None:
    with pytest.raises(UserError, match="one filter for each"):
        RevolutionSynchronizer([Source()], CAMERAS, SyncOptions())
