"""The frames of a bag, put together as the node does it, with the bag's log time in place of the clock.

A frame is built when everything has been read that the node would have waited for (``input_wait``), so what comes out
depends on the bag alone and not on how fast it is read.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from geometry_msgs.msg import PoseStamped
from nav_msgs.msg import Odometry
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from tf2_msgs.msg import TFMessage

from tinybev.config import NodeConfig, sync_options
from tinybev.errors import UserError
from tinybev.frames import CameraSet, FrameAssembler
from tinybev.transform_buffer import TransformBuffer
from tinybev_ros.bag import BagMessage
from tinybev_ros.calibrations import Calibrations
from tinybev_ros.clock_complaints import complain_about_clocks
from tinybev_ros.complaints import Complaints
from tinybev_ros.conversions import msg_to_frame_id, msg_to_pose, msg_to_stamp
from tinybev_ros.ego import EgoTracker
from tinybev_ros.frame_builder import BuiltFrame, FrameBuilder
from tinybev_ros.goal import GoalKeeper
from tinybev_ros.heard_odometry import take_odometry
from tinybev_ros.heard_transforms import take_transforms
from tinybev_ros.input_topics import input_topics
from tinybev_ros.read_message import read_message
from tinybev_ros.topics import NODE, absolute_name


class MessageSource(Protocol):
    """A bag, or what reads like one."""

    @property
    def path(self) -> Path:
        """Where it lies."""
        ...

    @property
    def topics(self) -> Collection[str]:
        """The topics that it has."""
        ...

    @property
    def end_ns(self) -> int:
        """Log time of the last message."""
        ...

    def messages(self, topics: Sequence[str]) -> Iterator[BagMessage]:
        """The messages of ``topics`` in order of log time.

        Raises:
            UserError: it turns out to be damaged on the way.
        """
        ...


class BagFrames:
    """Reads one bag once.

    Attributes:
        images: images read.
        used: images that left the synchronizer in a set.
    """

    def __init__(self, bag: MessageSource, config: NodeConfig, complaints: Complaints) -> None:
        self._bag, self._complaints = bag, complaints
        self._base_frame = config.base_frame
        self._wait_ns = round(config.input_wait * 1e9)
        # Names without a leading slash lie in the namespace of the node, as which a bag is read.
        self._named = input_topics(config, partial(absolute_name, node=f"/{NODE}"))
        self._image_of = {topic: camera for camera, topic in self._named.images.items()}
        self._info_of = {topic: camera for camera, topic in self._named.infos.items()}
        self._image_type = CompressedImage if config.image_transport == "compressed" else Image
        if not self._image_of.keys() & set(bag.topics):
            raise UserError(f"expected images on {next(iter(self._image_of))} and its like in {bag.path}, got none.")
        self._transforms = TransformBuffer()
        self._ego = EgoTracker(self._transforms, config.map_frame, config.base_frame)
        self._goal = GoalKeeper(self._transforms, config.base_frame, config.goal_radius)
        self._calibrations = Calibrations()
        self._assembler: FrameAssembler[Any] = FrameAssembler(sync_options(config))
        self._builder = FrameBuilder(
            replace(config, input_wait=0.0),  # waiting is done in log time, here
            self._named,
            self._transforms,
            self._ego,
            self._goal,
            self._calibrations,
            lambda: config.command,
            complaints,
        )

    @property
    def images(self) -> int:
        return sum(self._assembler.counters.received.values())

    @property
    def used(self) -> int:
        return self._assembler.counters.used

    def __iter__(self) -> Iterator[tuple[int, BuiltFrame | None]]:
        """The log time at which each set was ready, and its frame; None where no camera of the set was usable.

        Raises:
            UserError: the bag turns out to be damaged on the way.
        """
        waiting: deque[tuple[int, CameraSet[Any]]] = deque()
        named = self._named
        topics = [*self._image_of, *self._info_of, named.tf, named.tf_static, named.odometry, named.goal]
        for message in self._bag.messages(topics):
            while (due_ns := self._assembler.next_deadline_ns()) is not None and due_ns <= message.stamp_ns:
                waiting.extend((due_ns, ready) for ready in self._assembler.poll(due_ns))
            while waiting and waiting[0][0] + self._wait_ns < message.stamp_ns:
                yield self._build(*waiting.popleft())
            waiting.extend((message.stamp_ns, ready) for ready in self._take_in(message))
        waiting.extend((self._bag.end_ns, ready) for ready in self._assembler.flush())
        while waiting:
            yield self._build(*waiting.popleft())

    def _build(self, ready_ns: int, camera_set: CameraSet[Any]) -> tuple[int, BuiltFrame | None]:
        return ready_ns, self._builder.build(camera_set)

    def _take_in(self, message: BagMessage) -> list[CameraSet[Any]]:
        """Learns from one message; the sets that are ready with it."""
        camera = self._image_of.get(message.topic)
        if camera is None:
            self._learn(message)
            return []
        image = read_message(message, self._image_type, self._complaints)
        if image is None:
            return []
        sets = self._assembler.push(camera, msg_to_stamp(image.header.stamp), image, message.stamp_ns)
        if sets:
            complain_about_clocks(self._assembler.clock_offsets_ns, self._complaints)
        return sets

    def _learn(self, message: BagMessage) -> None:
        if message.topic in self._info_of:
            info = read_message(message, CameraInfo, self._complaints)
            if info is not None:
                self._calibrations.set(self._info_of[message.topic], info)
        elif message.topic == self._named.odometry:
            odometry = read_message(message, Odometry, self._complaints)
            if odometry is not None:
                take_odometry(odometry, self._ego, self._base_frame, self._complaints)
        elif message.topic == self._named.goal:
            goal = read_message(message, PoseStamped, self._complaints)
            if goal is not None:
                self._take_goal(goal)
        else:
            transforms = read_message(message, TFMessage, self._complaints)
            if transforms is not None:
                take_transforms(transforms, message.topic == self._named.tf_static, self._transforms, self._complaints)

    def _take_goal(self, goal: PoseStamped) -> None:
        try:
            self._goal.set_pose(msg_to_frame_id(goal.header), msg_to_pose(goal.pose))
        except ValueError as error:
            self._complaints.raise_about(self._named.goal, f"{error}; it is ignored.")
        else:
            self._complaints.settle(self._named.goal)
