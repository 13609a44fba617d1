"""Poses of bodies on tracks whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest
from tinybev_training.world.bodies import body_poses, ego_poses
from tinybev_training.world.catalogue import EGO_MODEL, EGO_REAR_AXLE_TO_CENTER, EGO_WHEELBASE
from tinybev_training.world.scenario import TICK_S
from tinybev_training.world.traffic import Track

SPEED_MPS = 6.0
SMOOTHING_M = 0.1
"""By which smoothing in time makes the circles smaller."""


def track(turn: float, ticks: int) -> Track:
    """Straight ahead along x for 5 s, then on a circle with a curvature of ``turn``, at a steady speed."""
    metres = np.arange(ticks) * SPEED_MPS * TICK_S
    straight = 5.0 * SPEED_MPS
    yaw = np.maximum(metres - straight, 0.0) * turn
    ahead = np.minimum(metres, straight)
    points = np.stack([ahead + np.sin(yaw) / turn, (1 - np.cos(yaw)) / turn], axis=1)
    return Track("ego", -1, EGO_MODEL.size[0], 0.0, 0, points, yaw)


@pytest.mark.parametrize("turn", [0.1, -0.08])
def test_the_egos_rear_axle_rolls_on_a_smaller_circle_than_its_front_axle(turn: float) -> None:
    poses = ego_poses(track(turn, 360))
    center = np.array([5.0 * SPEED_MPS, 1 / turn])
    settled = poses[-70:-10]
    front = settled[:, :2] + EGO_WHEELBASE * np.stack([np.cos(settled[:, 2]), np.sin(settled[:, 2])], axis=1)
    radius = np.linalg.norm(front - center, axis=1)
    assert radius == pytest.approx(1 / abs(turn), abs=SMOOTHING_M)
    rear = np.linalg.norm(settled[:, :2] - center, axis=1)
    assert rear == pytest.approx(np.sqrt(radius**2 - EGO_WHEELBASE**2), abs=0.04)


def test_the_ego_never_slides_sideways() -> None:
    poses = ego_poses(track(0.12, 300))
    step, yaw = np.diff(poses[:, :2], axis=0), poses[:, 2]
    between = (yaw[1:] + yaw[:-1]) / 2
    sideways = step[:, 1] * np.cos(between) - step[:, 0] * np.sin(between)
    assert np.abs(sideways).max() < 0.01 * SPEED_MPS * TICK_S
    assert np.ptp(yaw) > 1.0  # it turned


def test_on_a_straight_way_base_link_is_behind_the_foremost_point_and_stands_when_that_stands() -> None:
    driven = track(0.1, 80)
    stands = np.repeat(driven.points[-1:], 40, axis=0)
    whole = Track("ego", -1, driven.length, 0.0, 0, np.concatenate([driven.points, stands]), np.zeros(120))
    poses = ego_poses(whole)
    behind = EGO_MODEL.size[0] / 2 + EGO_REAR_AXLE_TO_CENTER
    np.testing.assert_allclose(poses[20:60, 0], driven.points[20:60, 0] - behind, atol=0.02)
    np.testing.assert_allclose(poses[-20:], np.tile(poses[-1], (20, 1)), atol=1e-9)
    np.testing.assert_allclose(poses[:, 1:], 0.0, atol=1e-9)


def test_a_body_lies_on_the_way_of_its_front() -> None:
    """Both axles of others than the ego are on the circle, so that its middle is inside by the sagitta."""
    car = track(0.1, 360)
    settled = body_poses(car)[-70:-10]
    half = 0.72 * car.length / 2
    middle = np.linalg.norm(settled[:, :2] - np.array([5.0 * SPEED_MPS, 10.0]), axis=1)
    assert middle == pytest.approx(np.sqrt(10.0**2 - half**2), abs=SMOOTHING_M)
