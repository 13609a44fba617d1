"""The ego's status, plan, command and goal, on drives whose answers are known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scene_builder import LIDAR_AHEAD_M, build_scene, circle, pose, stamp_ns, straight
from tinybev_training.data.ego import command, ego_status, goal_point, plan_targets, pose_at
from tinybev_training.data.sample import PLAN_STEPS
from tinybev_training.data.scene_log import EgoTrack

from tinybev.geometry import invert
from tinybev.model.heads.planning import GOAL_DISTANCE_M
from tinybev.types import Command


def test_plan_of_a_straight_drive() -> None:
    ego = straight(5.0, x=100.0, y=-20.0, yaw=0.7)
    plan = plan_targets(build_scene(ego), 3, invert(pose(ego, 1.5)))
    expected = np.column_stack([2.5 * np.arange(1, PLAN_STEPS + 1), np.zeros(PLAN_STEPS)])
    np.testing.assert_allclose(plan.positions, expected, atol=1e-4)
    np.testing.assert_allclose(plan.yaws, 0.0, atol=1e-6)
    assert plan.valid.all()


def test_plan_of_a_left_hand_circle_turns_by_the_yaw_rate() -> None:
    ego = circle(8.0, 0.2)
    plan = plan_targets(build_scene(ego), 4, invert(pose(ego, 2.0)))
    seconds = 0.5 * np.arange(1, PLAN_STEPS + 1)
    np.testing.assert_allclose(plan.yaws, 0.2 * seconds, atol=1e-6)
    expected = np.column_stack([40 * np.sin(0.2 * seconds), 40 * (1 - np.cos(0.2 * seconds))])
    np.testing.assert_allclose(plan.positions, expected, atol=1e-4)


def test_plan_is_masked_where_the_recording_ends() -> None:
    ego = straight(5.0)
    scene = build_scene(ego, keyframes=5)
    assert plan_targets(scene, 2, invert(pose(ego, 1.0))).valid.tolist() == [True, True, False, False, False, False]
    last = plan_targets(scene, 4, invert(pose(ego, 2.0)))
    assert not last.valid.any()
    assert not last.positions.any()


@pytest.mark.parametrize(
    ("yaw_rate", "expected"), [(0.2, Command.LEFT), (-0.2, Command.RIGHT), (0.01, Command.FORWARD)]
)
def test_command_of_a_turn(yaw_rate: float, expected: Command) -> None:
    assert command(build_scene(circle(8.0, yaw_rate)), 0) == expected


def test_command_counts_the_lidar_and_only_the_steps_that_are_recorded() -> None:
    # base_link moves 1.5 m to the left while it turns by 90 degrees, which swings the lidar a metre further.
    swing = build_scene(lambda t: (0.0, 0.5 * t, math.pi / 6 * t), keyframes=7)
    assert 1.5 + LIDAR_AHEAD_M > 2.0
    assert command(swing, 0) == Command.LEFT
    # A sideways shift of 1.5 m in one step and 3 m in two: the last recorded step decides.
    shift = build_scene(lambda t: (10 * t, 3.0 * t, 0.0), keyframes=3)
    assert command(shift, 0) == Command.LEFT
    assert command(shift, 1) == Command.FORWARD
    assert command(shift, 2) == Command.FORWARD  # nothing is recorded


@pytest.mark.parametrize(
    ("lateral", "expected"), [(1.99, Command.FORWARD), (2.01, Command.LEFT), (-2.01, Command.RIGHT)]
)
def test_command_threshold_is_two_metres(lateral: float, expected: Command) -> None:
    assert command(build_scene(lambda t: (10 * t, lateral * t / 3.0, 0.0), keyframes=7), 0) == expected


def test_goal_lies_ahead_along_the_path_that_was_driven() -> None:
    ego = circle(8.0, 0.2)  # radius 40 m
    scene = build_scene(ego)
    goal = goal_point(scene.ego_track, pose(ego, 1.0), stamp_ns(1.0))
    assert goal is not None
    angle = 0.2 * 1.0 + GOAL_DISTANCE_M / 40.0
    np.testing.assert_allclose(goal[:2], [40 * math.sin(angle), 40 * (1 - math.cos(angle))], atol=0.02)


def test_goal_is_unknown_where_the_recording_ends_before() -> None:
    ego = straight(5.0)
    scene = build_scene(ego, keyframes=16)  # 7.5 s, 37.5 m
    assert goal_point(scene.ego_track, pose(ego, 1.4), stamp_ns(1.4)) is not None
    assert goal_point(scene.ego_track, pose(ego, 1.6), stamp_ns(1.6)) is None


def test_status_of_a_circle_and_of_a_braking_ego() -> None:
    turning = circle(8.0, 0.2)
    status = ego_status(build_scene(turning).ego_track, pose(turning, 2.0), stamp_ns(2.0))
    assert status is not None
    assert status.speed_mps == pytest.approx(8.0, abs=0.01)
    assert status.yaw_rate_rps == pytest.approx(0.2, abs=1e-6)
    assert status.acceleration_mps2 == pytest.approx(0.0, abs=0.01)

    def braking(t: float) -> tuple[float, float, float]:
        return 10 * t - t * t, 0.0, 0.0

    status = ego_status(build_scene(braking).ego_track, pose(braking, 2.0), stamp_ns(2.0))
    assert status is not None
    assert status.acceleration_mps2 == pytest.approx(-2.0, abs=1e-3)
    assert status.speed_mps == pytest.approx(10 - 2 * 2.0 + 0.25, abs=1e-3)  # the mean of the last 0.25 s


@pytest.mark.parametrize("cameras_s", [(), (0.0076, 0.0326, 0.0426)])
def test_acceleration_does_not_vanish_between_poses_that_are_half_a_second_apart(cameras_s: tuple[float, ...]) -> None:
    # Datasets of 2 Hz: a pose at each keyframe, and at its cameras.
    def braking(t: float) -> tuple[float, float, float]:
        return 10 * t - t * t, 0.0, 0.0

    seconds = sorted(0.5 * keyframe - camera for keyframe in range(1, 7) for camera in (0.0, *cameras_s))
    track = EgoTrack(np.array([stamp_ns(t) for t in seconds]), np.stack([pose(braking, t) for t in seconds]))
    for now in (2.0, 2.5):
        status = ego_status(track, pose(braking, now), stamp_ns(now))
        assert status is not None
        assert status.acceleration_mps2 == pytest.approx(-2.0, abs=0.25)


def test_status_knows_only_the_past() -> None:
    ego = straight(5.0)
    track = build_scene(ego).ego_track
    assert ego_status(track, pose(ego, 0.0), stamp_ns(0.0)) is None
    early = ego_status(track, pose(ego, 0.3), stamp_ns(0.3))
    assert early is not None
    assert early.acceleration_mps2 == 0.0


def test_pose_between_and_beyond_the_track() -> None:
    ego = straight(4.0)
    track = build_scene(ego, keyframes=3).ego_track
    between = pose_at(track, stamp_ns(0.123))
    assert between is not None
    np.testing.assert_allclose(between, pose(ego, 0.123), atol=1e-6)
    assert pose_at(track, stamp_ns(-0.001)) is None
    assert pose_at(track, stamp_ns(1.001)) is None
