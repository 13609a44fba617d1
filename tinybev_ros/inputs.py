"""The node's subscriptions while it is active; callbacks keep the newest or hand over, and compute nothing."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from typing import Any

from geometry_msgs.msg import PoseStamped
from nav_msgs.msg import Odometry
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.lifecycle import LifecycleNode
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import String
from tf2_msgs.msg import TFMessage

from tinybev.config import NodeConfig, sync_options
from tinybev.frames import CameraSet
from tinybev.transform_buffer import TransformBuffer
from tinybev.types import CAMERAS
from tinybev_ros.calibrations import Calibrations
from tinybev_ros.camera_sync import RevolutionSynchronizer, Subscriber
from tinybev_ros.clock_complaints import complain_about_clocks
from tinybev_ros.complaints import Complaints
from tinybev_ros.conversions import msg_to_frame_id, msg_to_pose
from tinybev_ros.ego import EgoTracker
from tinybev_ros.fixed_transforms import FixedTransform
from tinybev_ros.goal import GoalKeeper
from tinybev_ros.heard_odometry import take_odometry
from tinybev_ros.heard_transforms import take_transforms
from tinybev_ros.input_topics import InputTopics, input_topics
from tinybev_ros.statistics import Snapshot, Statistics, SyncCounts

COMMAND = "~/command"
COMMAND_PARAMETER = "command"
ALL_IMAGES = "images"
SYNCHRONIZER = "synchronizer"

# Best effort receives from publishers of either kind, and every history is bounded: nothing grows.
SENSOR_QOS = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=10, reliability=ReliabilityPolicy.BEST_EFFORT)
RELIABLE_SENSOR_QOS = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=10, reliability=ReliabilityPolicy.RELIABLE)
ODOMETRY_QOS = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=100, reliability=ReliabilityPolicy.BEST_EFFORT)
TF_QOS = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=100, reliability=ReliabilityPolicy.RELIABLE)
TF_STATIC_QOS = QoSProfile(
    history=HistoryPolicy.KEEP_LAST,
    depth=100,
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.TRANSIENT_LOCAL,
)
LATCHED = (DurabilityPolicy.TRANSIENT_LOCAL, ReliabilityPolicy.RELIABLE)
LATCHED_QOS = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=1, durability=LATCHED[0], reliability=LATCHED[1])
REQUEST_QOS = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=1, reliability=ReliabilityPolicy.RELIABLE)


def images_of(camera: str) -> str:
    """The subject of complaints about a camera's images."""
    return f"{camera} images"


def resolved_topics(node: Node, config: NodeConfig) -> InputTopics:
    """The topics that the node comes to subscribe to: whole names, remapped.

    Raises:
        UserError: a parameter gives a name that is no topic name.
    """

    def resolve(topic: str) -> str:
        try:
            return node.resolve_topic_name(topic)
        except rclpy_implementation.RCLError as error:
            raise ValueError(str(error).removeprefix("failed to resolve name: ").partition(", at ")[0]) from error

    return input_topics(config, resolve)


class Inputs:
    """Subscribes when constructed; :meth:`close` ends it. A constructor that fails leaves no subscription behind.

    Attributes:
        transforms: the transform tree.
        ego: poses and motion of the vehicle.
        goal: the goal pose.
        calibrations: the newest CameraInfo by camera.
        topics: the topics that are subscribed to.
    """

    def __init__(
        self,
        node: LifecycleNode,
        config: NodeConfig,
        calibrations: Calibrations,
        fixed_transforms: tuple[FixedTransform, ...],
        statistics: Statistics,
        complaints: Complaints,
    ) -> None:
        self.transforms = TransformBuffer()
        for fixed in fixed_transforms:
            self.transforms.set_static(fixed.parent, fixed.child, fixed.parent_T_child)
        self.ego = EgoTracker(self.transforms, config.map_frame, config.base_frame)
        self.goal = GoalKeeper(self.transforms, config.base_frame, config.goal_radius)
        self.calibrations = calibrations
        self._unlatched = set(CAMERAS)
        self.topics = resolved_topics(node, config)
        self._named = input_topics(config)  # what ROS resolves, once: a resolved name may be remapped again
        self._node = node
        self._config = config
        self._complaints = complaints
        self._message_type = CompressedImage if config.image_transport == "compressed" else Image
        self._since = time.monotonic()
        self._sync_options = sync_options(config)
        self._statistics = statistics
        self._image_callbacks: list[Callable[[str, CompressedImage | Image], None]] = []
        with ExitStack() as undo:
            self._subscribe(undo)
            self._synchronizer = self._synchronize(undo)
            self._open = undo.pop_all()
        statistics.follow(self._sync_counts)

    def on_image(self, callback: Callable[[str, CompressedImage | Image], None]) -> None:
        """``callback`` gets the camera and the message of every image, before its set is put together."""
        self._image_callbacks.append(callback)

    def on_set(self, callback: Callable[[CameraSet[CompressedImage | Image]], None]) -> None:
        """``callback`` gets every set of images, on the executor's thread."""
        self._synchronizer.registerCallback(callback)

    def look_for_latched(self) -> None:
        """Subscribes to CameraInfo that is said once and kept for late subscribers, where somebody offers that; called
        at first and regularly. Such a subscription hears nobody else, and makes everybody else log a warning."""
        for camera in sorted(self._unlatched):
            topic = self._named.infos[camera]
            offers = [publisher.qos_profile for publisher in self._node.get_publishers_info_by_topic(topic)]
            if any((offer.durability, offer.reliability) == LATCHED for offer in offers):
                self._unlatched.remove(camera)
                take = partial(self.calibrations.set, camera)
                subscription = self._node.create_subscription(CameraInfo, topic, take, LATCHED_QOS)
                self._open.callback(self._node.destroy_subscription, subscription)

    def check_arrival(self, snapshot: Snapshot) -> None:
        """Complains about cameras that are silent, once each, or once about all where none sends, and about images
        of which no frame comes; called regularly."""
        if time.monotonic() - self._since < self._config.stale_after:
            return
        silent = snapshot.silent_cameras(self._config.stale_after)
        if len(silent) == len(CAMERAS):
            topics = f"{self.topics.images[CAMERAS[0]]} and its like"
            self._complaints.raise_about(
                ALL_IMAGES, f"none arrive; expected {self._message_type.__name__} on {topics}."
            )
            self._complaints.settle(SYNCHRONIZER)
            return
        self._complaints.settle(ALL_IMAGES)
        for camera in CAMERAS:
            if camera in silent:
                expected = f"expected {self._message_type.__name__} on {self.topics.images[camera]}"
                self._complaints.raise_about(
                    images_of(camera), f"none for {self._config.stale_after:g} s; {expected}, frames go without it."
                )
            else:
                self._complaints.settle(images_of(camera))
        complain_about_clocks(self._synchronizer.clock_offsets_ns, self._complaints)
        self._check_frames(snapshot)

    def close(self) -> None:
        """Ends all subscriptions; the statistics keep what the synchronizer counted, and none of its images."""
        self._open.close()
        counts = self._sync_counts()
        self._statistics.follow(lambda: counts)

    def _check_frames(self, snapshot: Snapshot) -> None:
        # Images may be held this long, while the rig is learnt or a camera is awaited: no reason to complain.
        held_s = max(self._sync_options.learning_s, self._sync_options.max_wait_s)
        patience_s = self._config.stale_after + held_s
        if snapshot.frameless_s is None or snapshot.frameless_s < patience_s:
            self._complaints.settle(SYNCHRONIZER)
            return
        counts = snapshot.sync
        self._complaints.raise_about(
            SYNCHRONIZER,
            f"images arrive, and no frame for {patience_s:g} s ({counts.duplicates} images with a stamp of before, "
            f"{counts.late} late, {counts.dropped} dropped); expected the time of exposure in each header.stamp.",
        )

    def _sync_counts(self) -> SyncCounts:
        counters = self._synchronizer.counters
        return SyncCounts(
            late=counters.late,
            duplicates=counters.duplicates,
            dropped=counters.dropped,
            wrong_clock=counters.wrong_clock,
            joined=counters.joined,
            resets=counters.resets,
            undelivered=self._synchronizer.undelivered,
        )

    def _subscribe(self, undo: ExitStack) -> None:
        """To everything but the images; ``undo`` is told how to end it."""
        topics: list[tuple[type, str, Callable[[Any], None], QoSProfile]] = [
            (TFMessage, self._named.tf_static, partial(self._on_tf, True), TF_STATIC_QOS),
            (TFMessage, self._named.tf, partial(self._on_tf, False), TF_QOS),
            (Odometry, self._named.odometry, self._on_odometry, ODOMETRY_QOS),
            (PoseStamped, self._named.goal, self._on_goal, REQUEST_QOS),
            (String, COMMAND, self._on_command, REQUEST_QOS),
        ]
        for camera in CAMERAS:
            take = partial(self.calibrations.set, camera)
            topics.append((CameraInfo, self._named.infos[camera], take, SENSOR_QOS))
        for message_type, topic, callback, qos in topics:
            subscription = self._node.create_subscription(message_type, topic, callback, qos)
            undo.callback(self._node.destroy_subscription, subscription)

    def _synchronize(self, undo: ExitStack) -> RevolutionSynchronizer:
        """Subscribes to the images; ``undo`` is told how to end it."""
        qos = RELIABLE_SENSOR_QOS if self._config.image_reliability == "reliable" else SENSOR_QOS
        filters = []
        for camera in CAMERAS:
            images = Subscriber(self._node, self._message_type, self._named.images[camera], qos_profile=qos)
            images.registerCallback(partial(self._on_image, camera))
            filters.append(images)
            undo.callback(self._node.destroy_subscription, images.sub)
        synchronizer = RevolutionSynchronizer(filters, CAMERAS, self._sync_options)
        undo.callback(synchronizer.close)
        return synchronizer

    def _on_image(self, camera: str, message: CompressedImage | Image) -> None:
        self._statistics.image_arrived(camera)
        for callback in self._image_callbacks:
            callback(camera, message)

    def _on_tf(self, static: bool, message: TFMessage) -> None:
        take_transforms(message, static, self.transforms, self._complaints)
        self.ego.look_for_poses()

    def _on_odometry(self, message: Odometry) -> None:
        take_odometry(message, self.ego, self._config.base_frame, self._complaints)

    def _on_goal(self, message: PoseStamped) -> None:
        try:
            self.goal.set_pose(msg_to_frame_id(message.header), msg_to_pose(message.pose))
        except ValueError as error:
            self._node.get_logger().error(f"goal: {error}; it is ignored.")

    def _on_command(self, message: String) -> None:
        # The parameter is the one place of the command, so that `ros2 param get` tells what the topic asked for.
        (result,) = self._node.set_parameters([Parameter(COMMAND_PARAMETER, value=message.data)])
        if not result.successful:
            self._node.get_logger().error(f"{self._node.resolve_topic_name(COMMAND)}: {result.reason}")
