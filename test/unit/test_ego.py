"""The vehicle's pose and motion from the transform tree and from odometry, on motion whose answer is known."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest

from tinybev.geometry import quaternion_from_yaw, transform_from
from tinybev.transform_buffer import TransformBuffer
from tinybev_ros.ego import HOLD_S, EgoPoses, EgoTracker
from tinybev_ros.pose_patience import IN_TIME_IN_A_ROW

MILLISECOND = 1_000_000
START_NS = 1_600_000_000_000_000_000


def pose_at(seconds: float, speed: float = 10.0, acceleration: float = 0.0) -> np.ndarray:
    return transform_from(quaternion_from_yaw(0.0), (speed * seconds + acceleration * seconds**2 / 2, 0.0, 0.0))


def tracker_with_tf(**motion: float) -> EgoTracker:
    transforms = TransformBuffer()
    for ms in range(0, 1001, 50):
        transforms.set_dynamic("map", "base_link", START_NS + ms * MILLISECOND, pose_at(ms / 1e3, **motion))
    return EgoTracker(transforms, "map", "base_link")


def add_odometry(tracker: EgoTracker, ms: int, speed: float, yaw_rate: float = 0.0) -> None:
    tracker.add_odometry("odom", START_NS + ms * MILLISECOND, pose_at(ms / 1e3, speed), speed, yaw_rate)


def test_each_stamp_gets_its_own_pose_from_the_transform_tree() -> None:
    tracker = tracker_with_tf()
    stamps = [START_NS + ms * MILLISECOND for ms in (500, 507, 542)]
    poses = tracker.poses(stamps, wait_s=0.0)
    assert poses.frame == "map"
    assert [poses.by_stamp[stamp][0, 3] for stamp in stamps] == pytest.approx([5.0, 5.07, 5.42])


def test_transform_tree_is_preferred_and_odometry_stands_in() -> None:
    tracker = tracker_with_tf()
    add_odometry(tracker, 500, speed=99.0)
    assert tracker.poses([START_NS + 500 * MILLISECOND], wait_s=0.0).frame == "map"
    alone = EgoTracker(TransformBuffer(), "map", "base_link")
    assert alone.poses([START_NS], wait_s=0.0).frame == ""
    add_odometry(alone, 0, speed=10.0)
    add_odometry(alone, 100, speed=10.0)
    poses = alone.poses([START_NS + 50 * MILLISECOND], wait_s=0.0)
    assert poses.frame == "odom"
    assert poses.by_stamp[START_NS + 50 * MILLISECOND][0, 3] == pytest.approx(0.5)


def test_odometry_takes_over_where_the_tree_ends_and_gives_back() -> None:
    tracker = tracker_with_tf()  # ends at 1000 ms
    for ms in range(0, 3001, 50):
        tracker.add_odometry("odom", START_NS + ms * MILLISECOND, pose_at(ms / 1e3, speed=7.0), 0.0, 0.0)
    within, beyond = START_NS + 1500 * MILLISECOND, START_NS + 2000 * MILLISECOND
    assert tracker.poses([within], wait_s=0.0).frame == "map"
    poses = tracker.poses([beyond - 40 * MILLISECOND, beyond], wait_s=0.0)
    assert poses.frame == "odom"
    assert [pose[0, 3] for pose in poses.by_stamp.values()] == pytest.approx([14.0, 13.72])
    status = tracker.status(beyond)
    assert status is not None
    assert status.speed_mps == pytest.approx(7.0)
    tracker._transforms.set_dynamic("map", "base_link", beyond, pose_at(2.0))
    assert tracker.poses([beyond], wait_s=0.0).frame == "map"


@pytest.mark.parametrize("localisations_a_second", [1.0, 2.0, 10.0])
def test_a_localisation_that_speaks_seldom_keeps_the_pose_in_the_map(localisations_a_second: float) -> None:
    transforms = TransformBuffer()
    tracker = EgoTracker(transforms, "map", "base_link")
    every_ms = round(1000 / localisations_a_second)
    for ms in range(0, 4000, 20):
        stamp_ns = START_NS + ms * MILLISECOND
        if ms % every_ms == 0:
            transforms.set_dynamic("map", "odom", stamp_ns, np.eye(4))
        transforms.set_dynamic("odom", "base_link", stamp_ns, pose_at(ms / 1e3))
        add_odometry(tracker, ms, speed=10.0)
        poses = tracker.poses([stamp_ns], wait_s=60.0)  # nothing is waited for
        assert (poses.frame, poses.lost, poses.late) == ("map", "", False)
        assert poses.by_stamp[stamp_ns][0, 3] == pytest.approx(ms / 100)


def test_a_step_of_the_localisation_is_no_motion() -> None:
    transforms = TransformBuffer()
    tracker = EgoTracker(transforms, "map", "base_link")
    for ms in range(0, 2001, 20):
        transforms.set_dynamic("odom", "base_link", START_NS + ms * MILLISECOND, pose_at(ms / 1e3))
    for ms, y in ((1800, 0.0), (1900, 0.5)):
        correction = transform_from(quaternion_from_yaw(0.0), (0.0, y, 0.0))
        transforms.set_dynamic("map", "odom", START_NS + ms * MILLISECOND, correction)
    for ms in (1900, 2000, 2400):
        stamp_ns = START_NS + ms * MILLISECOND
        pose = tracker.poses([stamp_ns], wait_s=0.0).by_stamp[stamp_ns]
        assert pose[:2, 3] == pytest.approx((ms / 100, 0.5))


def test_a_localisation_that_stopped_is_told() -> None:
    transforms = TransformBuffer()
    tracker = EgoTracker(transforms, "map", "base_link")
    transforms.set_dynamic("map", "odom", START_NS, np.eye(4))
    for ms in range(0, 7001, 50):
        transforms.set_dynamic("odom", "base_link", START_NS + ms * MILLISECOND, pose_at(ms / 1e3))
        add_odometry(tracker, ms, speed=10.0)
    held_ms = round(1000 * HOLD_S)
    assert tracker.poses([START_NS + held_ms * MILLISECOND], wait_s=0.0).frame == "map"
    poses = tracker.poses([START_NS + (held_ms + 1) * MILLISECOND], wait_s=0.0)
    assert poses.frame == "odom"
    assert poses.lost.startswith("map -> odom is known from ")


def test_pose_outside_what_is_known_is_left_out() -> None:
    tracker = tracker_with_tf()
    before, inside, far_ahead = START_NS - 1, START_NS, START_NS + 3000 * MILLISECOND
    assert set(tracker.poses([before, inside, far_ahead], wait_s=0.0).by_stamp) == {inside}


def test_motion_is_the_mean_of_odometrys_twist() -> None:
    tracker = EgoTracker(TransformBuffer(), "map", "base_link")
    for ms in range(0, 1001, 50):
        add_odometry(tracker, ms, speed=5.0 + 2.0 * ms / 1e3, yaw_rate=0.3)
    status = tracker.status(START_NS + 775 * MILLISECOND)
    assert status is not None
    assert status.speed_mps == pytest.approx(6.30)  # in the middle of a quarter of a second
    assert status.yaw_rate_rps == pytest.approx(0.3)
    assert status.acceleration_mps2 == pytest.approx(2.0)


def test_twists_and_poses_of_one_drive_say_the_same() -> None:
    from_poses = tracker_with_tf(speed=6.0, acceleration=-3.0)
    from_twists = EgoTracker(TransformBuffer(), "map", "base_link")
    for ms in range(0, 1001, 20):
        add_odometry(from_twists, ms, speed=6.0 - 3.0 * ms / 1e3)
    for ms in (510, 733, 1000):
        expected, got = (tracker.status(START_NS + ms * MILLISECOND) for tracker in (from_poses, from_twists))
        assert expected is not None
        assert got is not None
        assert got.speed_mps == pytest.approx(expected.speed_mps, abs=0.01)
        assert got.acceleration_mps2 == pytest.approx(expected.acceleration_mps2, abs=0.05)


def test_the_first_twist_is_the_motion_until_there_are_more() -> None:
    tracker = EgoTracker(TransformBuffer(), "map", "base_link")
    add_odometry(tracker, 0, speed=5.0, yaw_rate=0.1)
    status = tracker.status(START_NS)
    assert status is not None
    assert (status.speed_mps, status.yaw_rate_rps, status.acceleration_mps2) == (5.0, 0.1, 0.0)


def test_twist_that_is_always_zero_is_not_believed_on_a_straight() -> None:
    tracker = tracker_with_tf(speed=6.0, acceleration=1.0)
    for ms in range(0, 1001, 50):
        tracker.add_odometry("odom", START_NS + ms * MILLISECOND, np.eye(4), 0.0, 0.0)
    status = tracker.status(START_NS + 1000 * MILLISECOND)
    assert status is not None
    # A difference over a quarter of a second is the speed in its middle, 0.875 s after the start.
    assert status.speed_mps == pytest.approx(6.875)
    assert status.acceleration_mps2 == pytest.approx(1.0)


def test_motion_on_a_circle_follows_from_poses() -> None:
    transforms = TransformBuffer()
    radius, yaw_rate = 40.0, 0.2
    for ms in range(0, 1001, 50):
        yaw = yaw_rate * ms / 1e3
        position = (radius * np.sin(yaw), radius * (1 - np.cos(yaw)), 0.0)
        pose = transform_from(quaternion_from_yaw(yaw), position)
        transforms.set_dynamic("map", "base_link", START_NS + ms * MILLISECOND, pose)
    status = EgoTracker(transforms, "map", "base_link").status(START_NS + 1000 * MILLISECOND)
    assert status is not None
    assert status.speed_mps == pytest.approx(radius * yaw_rate, rel=1e-3)
    assert status.yaw_rate_rps == pytest.approx(yaw_rate)
    assert status.acceleration_mps2 == pytest.approx(0.0, abs=1e-6)


def test_standing_vehicle_stands() -> None:
    tracker = tracker_with_tf(speed=0.0)
    status = tracker.status(START_NS + 900 * MILLISECOND)
    assert status is not None
    assert (status.speed_mps, status.yaw_rate_rps, status.acceleration_mps2) == (0.0, 0.0, 0.0)


def test_motion_is_unknown_without_poses_or_before_there_are_two() -> None:
    assert EgoTracker(TransformBuffer(), "map", "base_link").status(START_NS) is None
    assert tracker_with_tf().status(START_NS + 100 * MILLISECOND) is None


def test_clock_that_jumps_back_forgets_twists() -> None:
    tracker = EgoTracker(TransformBuffer(), "map", "base_link")
    add_odometry(tracker, 60_000, speed=20.0)
    for ms in range(0, 501, 50):
        add_odometry(tracker, ms, speed=4.0)
    status = tracker.status(START_NS + 500 * MILLISECOND)
    assert status is not None
    assert status.speed_mps == pytest.approx(4.0)


def seconds_of(tracker: EgoTracker, ms: int, wait_s: float) -> tuple[float, EgoPoses]:
    started = time.monotonic()
    poses = tracker.poses([START_NS + ms * MILLISECOND], wait_s)
    return time.monotonic() - started, poses


def test_poses_that_come_seldom_are_waited_for_once() -> None:
    transforms = TransformBuffer()
    tracker = EgoTracker(transforms, "map", "base_link")
    wait_s, waits = 0.5, []
    for ms in range(0, 2001, 100):
        if ms % 500 == 0:
            transforms.set_dynamic("map", "base_link", START_NS + ms * MILLISECOND, pose_at(ms / 1e3))
            tracker.look_for_poses()
        seconds, poses = seconds_of(tracker, ms, wait_s)
        waits.append(seconds > 0.9 * wait_s)
        expected = ms / 100 if ms >= 500 else 0.0  # one pose has no velocity
        assert poses.by_stamp[START_NS + ms * MILLISECOND][0, 3] == pytest.approx(expected)
        assert poses.late == (ms >= 200)
    assert waits == [False, True, *[False] * 19]


def test_poses_are_waited_for_again_once_they_come_in_time_although_nobody_waits() -> None:
    transforms = TransformBuffer()
    tracker = EgoTracker(transforms, "map", "base_link")

    def bring(ms: int) -> None:
        transforms.set_dynamic("map", "base_link", START_NS + ms * MILLISECOND, pose_at(ms / 1e3))
        tracker.look_for_poses()

    bring(0)
    seconds_of(tracker, 50, wait_s=0.1)  # in vain
    frames = range(100, 100 + 50 * IN_TIME_IN_A_ROW, 50)
    for ms in frames:
        seconds, poses = seconds_of(tracker, ms, wait_s=60.0)
        assert (seconds < 30.0, poses.late) == (True, True)
        bring(ms)
    ms = frames[-1] + 50
    later = threading.Timer(0.2, bring, (ms,))
    later.start()
    seconds, poses = seconds_of(tracker, ms, wait_s=60.0)
    later.join()
    assert 0.1 < seconds < 30.0
    assert not poses.late
