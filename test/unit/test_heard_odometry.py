"""Messages of odometry: what can be used of them is, and what is wrong with them is said once and settled."""

from __future__ import annotations

import math

import numpy as np
import pytest
from nav_msgs.msg import Odometry

from tinybev.transform_buffer import TransformBuffer
from tinybev_ros.complaints import Complaints
from tinybev_ros.conversions import header_to_msg
from tinybev_ros.ego import EgoTracker
from tinybev_ros.heard_odometry import take_odometry

START_NS = 1_600_000_000_000_000_000


class Heard:
    """Messages that come one after the other, 50 ms apart."""

    def __init__(self) -> None:
        self.ego = EgoTracker(TransformBuffer(), "map", "base_link")
        self.said: list[str] = []
        self.complaints = Complaints(self.said.append)
        self.stamp_ns = START_NS

    def take(
        self, speed: float = 5.0, yaw_rate: float = 0.0, frame: str = "odom", child: str = "base_link", w: float = 1.0
    ) -> None:
        self.stamp_ns += 50_000_000
        message = Odometry(header=header_to_msg(self.stamp_ns, frame), child_frame_id=child)
        message.pose.pose.position.x = 5.0 * (self.stamp_ns - START_NS) / 1e9
        message.pose.pose.orientation.w = w
        message.twist.twist.linear.x, message.twist.twist.angular.z = speed, yaw_rate
        take_odometry(message, self.ego, "base_link", self.complaints)


@pytest.mark.parametrize(("speed", "yaw_rate"), [(math.nan, 0.0), (5.0, math.inf), (-math.inf, math.nan)])
def test_motion_that_is_no_number_is_left_out_and_the_pose_is_kept(speed: float, yaw_rate: float) -> None:
    heard = Heard()
    for _ in range(12):
        heard.take(speed, yaw_rate)
    assert heard.said == [
        f"odometry twist: expected a finite speed and yaw rate, got {speed} m/s and {yaw_rate} rad/s; its pose is used "
        "without them, correct its publisher."
    ]
    poses = heard.ego.poses([heard.stamp_ns], wait_s=0.0)
    np.testing.assert_allclose(poses.by_stamp[heard.stamp_ns][:3, 3], (3.0, 0.0, 0.0))
    status = heard.ego.status(heard.stamp_ns)
    assert status is not None
    assert (status.speed_mps, status.yaw_rate_rps) == pytest.approx((5.0, 0.0))  # from the poses
    heard.take(7.0, 0.1)
    assert heard.complaints.open() == {}
    status = heard.ego.status(heard.stamp_ns)
    assert status is not None
    assert (status.speed_mps, status.yaw_rate_rps) == pytest.approx((7.0, 0.1))


def test_a_pose_that_is_none_is_ignored_with_a_sentence_until_a_good_one_comes() -> None:
    heard = Heard()
    for _ in range(2):
        heard.take(w=0.0)
    assert heard.ego.poses([heard.stamp_ns], wait_s=0.0).frame == ""
    assert len(heard.said) == 1
    assert heard.said[0].startswith("odometry: quaternion: expected four numbers")
    heard.take()
    assert heard.complaints.open() == {}
    heard.take(w=0.0)
    assert len(heard.said) == 2


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"child": "imu_link"}, "odometry child_frame_id: expected base_link, got imu_link, whose pose and motion are"),
        (
            {"frame": ""},
            "odometry frame_id: expected the frame of its poses, such as odom, got none; they are not used",
        ),
    ],
)
def test_frames_of_something_else_are_complained_about(wrong: dict[str, str], sentence: str) -> None:
    heard = Heard()
    for _ in range(2):
        heard.take(**wrong)  # type: ignore[arg-type]
    assert len(heard.said) == 1
    assert heard.said[0].startswith(sentence)
    heard.take()
    assert heard.complaints.open() == {}


@pytest.mark.parametrize("child", ["", "base_link", "/base_link"])
def test_the_base_frame_or_none_is_right(child: str) -> None:
    heard = Heard()
    heard.take(child=child)
    assert heard.said == []
