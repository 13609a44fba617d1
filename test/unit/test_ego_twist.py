"""Velocities from poses, against motions whose velocity is known."""

from __future__ import annotations

import numpy as np
import pytest

from tinybev.geometry import Array, transform_from
from tinybev_ros.ego_twist import twists_from_poses


def screw_motion(stamps_ns: Array, rate: Array, speed: float) -> Array:
    """Poses that turn about ``rate`` (rad/s) and move along the same axis with ``speed``, from a tilted start."""
    axis = rate / np.linalg.norm(rate)
    start = transform_from([0.3, -0.2, 0.5, 0.7], [10.0, -4.0, 2.0])
    poses = []
    for seconds in stamps_ns * 1e-9:
        half = np.linalg.norm(rate) * seconds / 2
        step = transform_from([*(axis * np.sin(half)), np.cos(half)], axis * speed * seconds)
        poses.append(start @ step)
    return np.stack(poses)


@pytest.mark.parametrize("rate", [(0.0, 0.0, 0.4), (0.0, 0.0, -2.0), (0.3, -0.6, 0.2)])
def test_a_screw_motion_has_its_own_velocity_everywhere(rate: tuple[float, float, float]) -> None:
    stamps = np.cumsum([0, *np.random.default_rng(5).integers(200_000, 90_000_000, 60)])
    angular_velocity = np.array(rate)
    linear, angular = twists_from_poses(stamps, screw_motion(stamps, angular_velocity, 3.0))
    np.testing.assert_allclose(angular, np.tile(angular_velocity, (61, 1)), atol=1e-9)
    expected = 3.0 * angular_velocity / np.linalg.norm(angular_velocity)
    np.testing.assert_allclose(linear, np.tile(expected, (61, 1)), atol=1e-6)


def test_noise_of_neighbouring_poses_is_not_amplified() -> None:
    stamps = np.sort(np.concatenate([np.arange(0, 10**9, 50_000_000), np.arange(500_000, 10**9, 50_000_000)]))
    poses = np.tile(np.eye(4), (len(stamps), 1, 1))
    poses[:, 0, 3] = 5.0 * stamps * 1e-9 + np.random.default_rng(3).uniform(-1e-3, 1e-3, len(stamps))
    linear, _ = twists_from_poses(stamps, poses)
    # At worst 2 mm over 50 ms, at the ends; neighbours half a millisecond apart would make 4 m/s of it.
    assert np.abs(linear[:, 0] - 5.0).max() <= 2e-3 / 0.05


def test_a_single_pose_stands_still() -> None:
    linear, angular = twists_from_poses(np.array([7]), np.eye(4)[None])
    assert not linear.any()
    assert not angular.any()
