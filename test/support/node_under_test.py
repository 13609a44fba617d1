"""A real node on real middleware, and beside it a rig of six cameras and a listener, for tests of the node."""

from __future__ import annotations

import math
import threading
import time
from array import array
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pytest
import rclpy
from geometry_msgs.msg import PoseStamped
from nav_msgs.msg import Odometry, Path
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import String
from tf2_msgs.msg import TFMessage

from tinybev.geometry import Array, quaternion_from_yaw, transform_from
from tinybev.phases import NUSCENES_RIG
from tinybev.runtime.preprocess import DecodedFrame
from tinybev.types import CAMERAS, Frame
from tinybev_ros.conversions import (
    header_to_msg,
    intrinsics_to_msg,
    pose_to_msg,
    transform_stamped_to_msg,
)
from tinybev_ros.node import TinybevNode

PATH = "/tinybev/path"
MILLISECOND = 1_000_000
START_NS = 1_533_151_603_500_000_000
SPEED_MPS = 10.0
IMAGE_SIZE = (90, 160)
INTRINSICS = np.array([[126.0, 0.0, 80.0], [0.0, 126.0, 45.0], [0.0, 0.0, 1.0]])
CAMERA_YAWS = dict(zip(CAMERAS, (0.0, -55.0, -110.0, 180.0, 110.0, 55.0), strict=True))
OPTICAL_Q = (-0.5, 0.5, -0.5, 0.5)
"""base_link_T_optical of a camera that looks forward."""


def wait_until(condition: Callable[[], Any], what: str, timeout_s: float = 60.0) -> Any:
    """The first true value of ``condition``; fails the test once the time is up."""
    deadline = time.monotonic() + timeout_s
    while not (value := condition()):
        assert time.monotonic() < deadline, f"waited {timeout_s} s in vain for {what}"
        time.sleep(0.01)
    return value


def jpeg(seed: int = 0) -> bytes:
    """A small picture, the same for the same seed."""
    pixels = np.random.default_rng(seed).integers(0, 256, (*IMAGE_SIZE, 3), dtype=np.uint8)
    return cv2.imencode(".jpg", pixels)[1].tobytes()


def mounting(camera: str) -> Array:
    """``base_T_camera``: 1.5 m up, looking along the camera's yaw."""
    base_T_forward = transform_from(quaternion_from_yaw(math.radians(CAMERA_YAWS[camera])), (1.0, 0.0, 1.5))
    return base_T_forward @ transform_from(OPTICAL_Q, (0.0, 0.0, 0.0))


def ego_pose(stamp_ns: int) -> Array:
    """``map_T_base``: straight ahead at ``SPEED_MPS``."""
    return transform_from((0.0, 0.0, 0.0, 1.0), (SPEED_MPS * (stamp_ns - START_NS) / 1e9, 0.0, 0.0))


def revolution_start(revolution: int) -> int:
    """The stamp at which a revolution of the rig begins."""
    return START_NS + revolution * 50 * MILLISECOND


class Rig:
    """Publishes what a vehicle with six cameras publishes."""

    def __init__(self, node: Node, raw: bool = False, upper_case: bool = False) -> None:
        self.node = node
        self.raw = raw
        latched = QoSProfile(depth=10, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self.names = {camera: camera if upper_case else camera.lower() for camera in CAMERAS}
        kind, suffix = (Image, "image_raw") if raw else (CompressedImage, "image_rect_compressed")
        self.images = {c: node.create_publisher(kind, f"/{name}/{suffix}", 50) for c, name in self.names.items()}
        self.infos = {
            c: node.create_publisher(CameraInfo, f"/{name}/camera_info", 50) for c, name in self.names.items()
        }
        self.tf = node.create_publisher(TFMessage, "/tf", 200)
        self.tf_static = node.create_publisher(TFMessage, "/tf_static", latched)
        self.odometry = node.create_publisher(Odometry, "/odom", 200)
        self.goal = node.create_publisher(PoseStamped, "/goal_pose", 10)
        self.command = node.create_publisher(String, "/tinybev/command", 10)

    def wait_for_node(self) -> None:
        """Until the node listens to everything."""
        publishers = [*self.images.values(), *self.infos.values(), self.tf, self.tf_static, self.odometry, self.goal]
        wait_until(lambda: all(p.get_subscription_count() for p in publishers), "the node's subscriptions")

    def publish_mountings(self, static: bool = True, skip: tuple[str, ...] = ()) -> None:
        """The cameras' mountings, on /tf_static or repeated on /tf."""
        edges = [
            transform_stamped_to_msg(mounting(camera), "base_link", name, START_NS)
            for camera, name in self.names.items()
            if camera not in skip
        ]
        (self.tf_static if static else self.tf).publish(TFMessage(transforms=edges))

    def publish_pose(self, stamp_ns: int) -> None:
        """map -> base_link at a stamp."""
        edge = transform_stamped_to_msg(ego_pose(stamp_ns), "map", "base_link", stamp_ns)
        self.tf.publish(TFMessage(transforms=[edge]))

    def publish_odometry(self, stamp_ns: int, speed: float = SPEED_MPS) -> None:
        """Odometry in the frame odom."""
        message = Odometry(header=header_to_msg(stamp_ns, "odom"), child_frame_id="base_link")
        message.pose.pose = pose_to_msg(ego_pose(stamp_ns)[:3, 3], 0.0)
        message.twist.twist.linear.x = speed
        self.odometry.publish(message)

    def publish_info(self, camera: str, stamp_ns: int, change: Callable[[CameraInfo], None] | None = None) -> None:
        """CameraInfo of one camera, changed by ``change`` first."""
        info = intrinsics_to_msg(INTRINSICS, IMAGE_SIZE, header_to_msg(stamp_ns, self.names[camera]))
        if change is not None:
            change(info)
        self.infos[camera].publish(info)

    def publish_image(self, camera: str, stamp_ns: int, data: bytes | None = None) -> None:
        """One picture; ``data`` in place of a good JPEG."""
        header = header_to_msg(stamp_ns, self.names[camera])
        if self.raw:
            height, width = IMAGE_SIZE
            pixels = array("B", bytes(height * width * 3))
            message: Any = Image(
                header=header, height=height, width=width, encoding="bgr8", step=3 * width, data=pixels
            )
        else:
            message = CompressedImage(header=header, format="jpeg", data=array("B", jpeg() if data is None else data))
        self.images[camera].publish(message)

    def look(
        self,
        revolution: int,
        skip: tuple[str, ...] = (),
        data: dict[str, bytes] | None = None,
        infos: dict[str, Callable[[CameraInfo], None] | None] | None = None,
        poses: bool = True,
    ) -> int:
        """One revolution with poses and calibration as a vehicle would send them; returns the newest image's stamp.

        Args:
            skip: cameras that send no image.
            data: bytes in place of a good JPEG, by camera.
            infos: changes to CameraInfo by camera; None sends none for that camera.
            poses: whether map -> base_link is sent.
        """
        start_ns = revolution_start(revolution)
        stamps = {camera: start_ns + NUSCENES_RIG.phases_ns[camera] for camera in CAMERAS if camera not in skip}
        if poses:
            for stamp_ns in (start_ns, start_ns + 50 * MILLISECOND):
                self.publish_pose(stamp_ns)
        for camera in sorted(stamps, key=stamps.__getitem__):
            change = (infos or {}).get(camera, lambda info: None)
            if change is not None:
                self.publish_info(camera, stamps[camera], change)
            self.publish_image(camera, stamps[camera], (data or {}).get(camera))
        return max(stamps.values())


class Listener:
    """Collects the messages of topics."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.messages: dict[str, list[Any]] = {}

    def listen(self, topic: str, message_type: type) -> None:
        """Collects a topic from now on, and waits until the publisher knows."""
        self.messages[topic] = []
        self.node.create_subscription(message_type, topic, self.messages[topic].append, 100)

    def wait_for(self, topic: str, count: int = 1) -> list[Any]:
        """At least ``count`` messages of a topic."""
        wait_until(lambda: len(self.messages[topic]) >= count, f"{count} messages on {topic}")
        return self.messages[topic]


class NodeUnderTest:
    """A ``TinybevNode`` spun in a thread, with a rig and a listener on a node of their own."""

    def __init__(
        self, domain: int, parameters: dict[str, Any] | None = None, raw: bool = False, upper: bool = False
    ) -> None:
        self.context = Context()
        rclpy.init(context=self.context, domain_id=domain)
        # The smallest network, unless a test asks for another one.
        wanted = {"bundle": "untrained:nano", **(parameters or {})}
        overrides = [Parameter(name, value=value) for name, value in wanted.items()]
        self.node = TinybevNode(context=self.context, parameter_overrides=overrides)
        self.other = Node("other", context=self.context)
        self.rig = Rig(self.other, raw=raw, upper_case=upper)
        self.listener = Listener(self.other)
        self._executors = [SingleThreadedExecutor(context=self.context) for _ in range(2)]
        self._threads = []
        for executor, node in zip(self._executors, (self.node, self.other), strict=True):
            executor.add_node(node)
            self._threads.append(threading.Thread(target=executor.spin, daemon=True))
            self._threads[-1].start()

    def start(self) -> None:
        """To active, and until the rig is heard."""
        assert self.node.trigger_configure().name == "SUCCESS"
        assert self.node.trigger_activate().name == "SUCCESS"
        self.rig.wait_for_node()

    def health(self, key: str) -> str:
        """A value of the diagnostics as they are now; empty where the key is absent."""
        message = self.node.diagnostics()
        return {pair.key: pair.value for status in message.status for pair in status.values}.get(key, "")

    def __enter__(self) -> NodeUnderTest:
        return self

    def __exit__(self, *_: object) -> None:
        if self.node.state not in ("unconfigured", "finalized"):
            self.node.trigger_shutdown()
        for executor in self._executors:
            executor.shutdown()
        for thread in self._threads:
            thread.join(timeout=10.0)
        self.node.destroy_node()
        self.other.destroy_node()
        rclpy.try_shutdown(context=self.context)


def frames_of(test: NodeUnderTest, monkeypatch: pytest.MonkeyPatch) -> list[Frame]:
    """The frames that the pipeline of a configured node is given from now on."""
    frames: list[Frame] = []
    pipeline = test.node._pipeline
    assert pipeline is not None
    decode = pipeline.decode

    def recording(frame: Frame, **how: Any) -> DecodedFrame:
        frames.append(frame)
        return decode(frame, **how)

    monkeypatch.setattr(pipeline, "decode", recording)
    return frames


def results_of(test: NodeUnderTest, looks: int, first: int = 0, **arguments: Any) -> list[Path]:
    """Looks around one after the other, each once the one before has become a result; the results so far."""
    paths = test.listener.messages[PATH]
    for n in range(first, first + looks):
        before = len(paths)
        test.rig.look(n, **arguments)
        test.listener.wait_for(PATH, before + 1)
    return paths


def start(test: NodeUnderTest, mountings: bool = True) -> None:
    """To active, listening to the path, with the cameras' mountings known."""
    test.listener.listen(PATH, Path)
    test.start()
    if mountings:
        test.rig.publish_mountings()
