"""How deep bodies on the ground reach into each other: oriented boxes seen from above."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def penetration(
    poses_a: NDArray[np.floating],
    sizes_a: NDArray[np.floating],
    poses_b: NDArray[np.floating],
    sizes_b: NDArray[np.floating],
) -> Floats:
    """By how much one of two boxes would have to be moved for them to part; negative for boxes that are apart.

    By the separating axis theorem: two convex outlines are apart exactly if their shadows on the normal of one of
    their sides are; for rectangles that is four axes.

    Args:
        poses_a: (..., 3) x, y of the middle, yaw.
        sizes_a: (..., 2 or more) length, width.
        poses_b: as ``poses_a``; shapes broadcast.
        sizes_b: as ``sizes_a``.

    Returns:
        (...) metres: the least move that parts them, or minus a lower bound of the gap between them.
    """
    a, b = np.asarray(poses_a, dtype=np.float64), np.asarray(poses_b, dtype=np.float64)
    half_a, half_b = np.asarray(sizes_a, dtype=np.float64) / 2, np.asarray(sizes_b, dtype=np.float64) / 2
    turn = b[..., 2] - a[..., 2]
    cos, sin = np.abs(np.cos(turn)), np.abs(np.sin(turn))
    between = b[..., :2] - a[..., :2]
    ahead_a, left_a = _in_frame(between, a[..., 2])
    ahead_b, left_b = _in_frame(between, b[..., 2])
    axes = [
        half_a[..., 0] + half_b[..., 0] * cos + half_b[..., 1] * sin - np.abs(ahead_a),
        half_a[..., 1] + half_b[..., 0] * sin + half_b[..., 1] * cos - np.abs(left_a),
        half_b[..., 0] + half_a[..., 0] * cos + half_a[..., 1] * sin - np.abs(ahead_b),
        half_b[..., 1] + half_a[..., 0] * sin + half_a[..., 1] * cos - np.abs(left_b),
    ]
    return np.minimum.reduce(axes)


def contacts(
    poses: NDArray[np.floating], sizes: NDArray[np.floating], present: NDArray[np.bool_], tolerance_m: float
) -> NDArray[np.bool_]:
    """Which bodies ever reach into each other by more than a tolerance.

    Args:
        poses: (T, N, 3) x, y of the middle, yaw.
        sizes: (N, 2 or more) length, width.
        present: (T, N) whether the body is there at the tick.
        tolerance_m: allowed :func:`penetration`.

    Returns:
        (N, N) symmetric, false on the diagonal.
    """
    count = len(sizes)
    touching = np.zeros((count, count), dtype=np.bool_)
    first, second = np.triu_indices(count, 1)
    reach = np.hypot(sizes[:, 0], sizes[:, 1]) / 2
    for at, there in zip(poses, present, strict=True):
        gap = np.linalg.norm(at[first, :2] - at[second, :2], axis=1)
        near = (gap < reach[first] + reach[second]) & there[first] & there[second]
        a, b = first[near], second[near]
        deep = penetration(at[a], sizes[a], at[b], sizes[b]) > tolerance_m
        touching[a[deep], b[deep]] = True
    return touching | touching.T


def keep_apart(touching: NDArray[np.bool_], rank: NDArray[np.int64]) -> NDArray[np.bool_]:
    """(N,) a choice of bodies of which no two touch, taken in the order of (N,) ``rank``, then of their numbers."""
    kept = np.zeros(len(rank), dtype=np.bool_)
    for body in np.argsort(rank, kind="stable"):
        kept[body] = not touching[body, kept].any()
    return kept


def _in_frame(vectors: Floats, yaw: Floats) -> tuple[Floats, Floats]:
    """Parts of vectors (..., 2) ahead and to the left of who looks along ``yaw``."""
    cos, sin = np.cos(yaw), np.sin(yaw)
    return cos * vectors[..., 0] + sin * vectors[..., 1], cos * vectors[..., 1] - sin * vectors[..., 0]
