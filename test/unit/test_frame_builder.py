"""Frames from sets of images: every thing that a camera lacks is said by its own name, and settled when it is there."""

from __future__ import annotations

from functools import partial

import numpy as np
from sensor_msgs.msg import CameraInfo, CompressedImage

from tinybev.config import NodeConfig
from tinybev.frames import CameraSet, Stamped
from tinybev.transform_buffer import TransformBuffer
from tinybev_ros.calibrations import Calibrations
from tinybev_ros.complaints import Complaints
from tinybev_ros.conversions import header_to_msg, intrinsics_to_msg
from tinybev_ros.ego import EgoTracker
from tinybev_ros.frame_builder import BuiltFrame, FrameBuilder
from tinybev_ros.goal import GoalKeeper
from tinybev_ros.input_topics import input_topics
from tinybev_ros.topics import absolute_name

CAMERA = "CAM_FRONT"
INTRINSICS = np.array([[126.0, 0.0, 80.0], [0.0, 126.0, 45.0], [0.0, 0.0, 1.0]])
START_NS = 1_600_000_000_000_000_000


class Parts:
    """A builder that waits for nothing, and what it reads from; ``poses`` are there."""

    def __init__(self, poses: bool = True, **parameters: object) -> None:
        self.said: list[str] = []
        self.transforms = TransformBuffer()
        self.calibrations = Calibrations()
        self.complaints = Complaints(self.said.append)
        if poses:
            self.transforms.set_static("map", "base_link", np.eye(4))
        self.ego = EgoTracker(self.transforms, "map", "base_link")
        config = NodeConfig.from_values({"input_wait": 0.0, **parameters})
        self.builder = FrameBuilder(
            config,
            input_topics(config, partial(absolute_name, node="/car1/tinybev")),
            self.transforms,
            self.ego,
            GoalKeeper(self.transforms, "base_link", 3.0),
            self.calibrations,
            lambda: "auto",
            self.complaints,
        )

    def build(self, frame_id: str = "cam_front") -> BuiltFrame | None:
        message = CompressedImage(header=header_to_msg(START_NS, frame_id), format="jpeg")
        return self.builder.build(CameraSet(START_NS, {CAMERA: Stamped(START_NS, message)}, ()))

    def problems(self) -> list[str]:
        return list(self.complaints.open())


def calibration() -> CameraInfo:
    return intrinsics_to_msg(INTRINSICS, (90, 160), header_to_msg(START_NS, "cam_front"))


def test_what_a_camera_lacks_is_told_one_by_one_and_settled_one_by_one() -> None:
    parts = Parts()
    for _ in range(2):
        assert parts.build() is None
    assert parts.problems() == ["CAM_FRONT camera info", "CAM_FRONT mounting"]
    assert len(parts.said) == 2
    parts.calibrations.set(CAMERA, CameraInfo())
    assert parts.build() is None
    assert parts.problems() == ["CAM_FRONT mounting", "CAM_FRONT calibration"]
    parts.calibrations.set(CAMERA, calibration())
    assert parts.build() is None
    assert parts.problems() == ["CAM_FRONT mounting"]
    parts.transforms.set_static("base_link", "cam_front", np.eye(4))
    assert parts.build() is not None
    assert parts.problems() == []
    assert len(parts.said) == 3


def test_what_is_lacking_is_told_by_the_topic_that_is_subscribed_to() -> None:
    parts = Parts(poses=False, camera_info_topic="rig/{camera}", odometry_topic="~/motion", camera_frame="a,b,c,d,e,f")
    parts.build()
    told = parts.complaints.open()
    assert told["CAM_FRONT camera info"].startswith("expected sensor_msgs/CameraInfo on /car1/rig/cam_front, ")
    assert told["CAM_FRONT mounting"].startswith("expected a transform from base_link to a on /tf_static or /tf, ")
    assert "map to base_link on /tf, or odometry on /car1/tinybev/motion, " in told["ego pose"]


def test_images_without_a_frame_are_told_by_that_name() -> None:
    parts = Parts()
    parts.calibrations.set(CAMERA, calibration())
    parts.transforms.set_static("base_link", "cam_front", np.eye(4))
    assert parts.build(frame_id="") is None
    assert parts.said == [
        "CAM_FRONT frame_id: its images carry none; set the parameter camera_frame to its optical frame."
    ]
    assert parts.build() is not None
    assert parts.problems() == []


def test_a_localisation_that_stopped_is_told_until_it_is_back() -> None:
    parts = Parts(poses=False)
    long_ago_ns = START_NS - 60_000_000_000
    parts.transforms.set_dynamic("map", "odom", long_ago_ns, np.eye(4))
    parts.transforms.set_dynamic("odom", "base_link", START_NS, np.eye(4))
    parts.ego.add_odometry("odom", START_NS, np.eye(4), 0.0, 0.0)
    parts.build()
    assert parts.complaints.open()["localisation"] == (
        f"map -> odom is known from {long_ago_ns} to {long_ago_ns} ns, and was asked for at {START_NS} ns; "
        "poses are odometry's, in odom, until it is published again."
    )
    parts.transforms.set_dynamic("map", "odom", START_NS, np.eye(4))
    parts.build()
    assert "localisation" not in parts.complaints.open()
