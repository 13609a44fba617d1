"""The velocity of the ego from its poses."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from tinybev.geometry import Array, quaternion_from_rotation

HALF_WINDOW_NS = 50_000_000
"""Poses of different sensors come within a millisecond of each other; this span keeps their noise small."""


def twists_from_poses(stamps_ns: NDArray[np.int64], map_T_base: Array) -> tuple[Array, Array]:
    """Linear (N, 3) m/s and angular (N, 3) rad/s velocity of base_link at each stamp, along the axes of base_link.

    Central differences: from the last pose at least 50 ms before a stamp to the first one at least 50 ms after it; at
    the ends of the recording the first and the last pose stand in, so the difference becomes one-sided.

    Args:
        stamps_ns: (N,) strictly increasing.
        map_T_base: (N, 4, 4).
    """
    count = len(stamps_ns)
    linear, angular = np.zeros((count, 3)), np.zeros((count, 3))
    before = np.searchsorted(stamps_ns, stamps_ns - HALF_WINDOW_NS, side="right") - 1
    after = np.searchsorted(stamps_ns, stamps_ns + HALF_WINDOW_NS, side="left")
    for index, (first, last) in enumerate(zip(np.maximum(before, 0), np.minimum(after, count - 1), strict=True)):
        if first == last:  # a recording of a single pose: nothing to tell a velocity from
            continue
        seconds = (stamps_ns[last] - stamps_ns[first]) * 1e-9
        displacement = map_T_base[last, :3, 3] - map_T_base[first, :3, 3]
        turn = map_T_base[first, :3, :3].T @ map_T_base[last, :3, :3]
        linear[index] = map_T_base[index, :3, :3].T @ displacement / seconds
        angular[index] = _rotation_vector(turn) / seconds
    return linear, angular


def _rotation_vector(rotation: Array) -> Array:
    """Axis times angle (3,) of a 3x3 rotation."""
    x, y, z, w = quaternion_from_rotation(rotation)
    axis = np.array([x, y, z])
    sine = float(np.linalg.norm(axis))
    if sine < 1e-12:
        return np.zeros(3)
    return axis / sine * 2 * math.atan2(sine, w)
