"""Rigid transforms, cameras and the bird's-eye-view grid.

Conventions, stated once for the whole project:

* Metres, seconds, radians. Frames follow REP-103 and REP-105: ``base`` is ``base_link`` (x forward, y left, z up;
  nuScenes' ego frame), a camera is an optical frame (x right, y down, z forward).
* ``a_T_b`` is a 4x4 matrix that takes points from b to a.
* The grid: rows run along x from rear to front, columns along y from right to left. Cell (row, column) covers
  ``[x_min + row * x_step, x_min + (row + 1) * x_step)`` and likewise in y, so a tensor's axes ``XY`` are (row, column)
  and no axis is ever flipped between a tensor and base_link.
* Quaternions are (x, y, z, w), as in ROS. nuScenes stores (w, x, y, z): convert at that door with
  :func:`quaternion_from_wxyz`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
Bound = tuple[float, float, float]
"""(min, max, step) of one axis, metres."""


@dataclass(frozen=True)
class BevGrid:
    """The bird's-eye-view grid of base_link: ``x_bound`` and ``y_bound`` are (min, max, step) in metres."""

    x_bound: Bound
    y_bound: Bound

    def __post_init__(self) -> None:
        for name, bound in (("x_bound", self.x_bound), ("y_bound", self.y_bound)):
            count_cells(bound, name)

    @property
    def shape(self) -> tuple[int, int]:
        """(rows along x, columns along y)."""
        return count_cells(self.x_bound, "x_bound"), count_cells(self.y_bound, "y_bound")

    def cell_centers(self) -> tuple[Array, Array]:
        """The metric centres of the rows (x) and of the columns (y), metres in base_link."""
        rows, columns = self.shape
        x = self.x_bound[0] + (np.arange(rows) + 0.5) * self.x_bound[2]
        y = self.y_bound[0] + (np.arange(columns) + 0.5) * self.y_bound[2]
        return x, y

    def metric_to_cell(self, xy: ArrayLike) -> Array:
        """Continuous (row, column) of points (..., 2) in base_link; a cell's centre is at its integer + 0.5."""
        points = np.asarray(xy, dtype=np.float64)
        origin = np.array([self.x_bound[0], self.y_bound[0]])
        step = np.array([self.x_bound[2], self.y_bound[2]])
        return (points - origin) / step

    def cell_to_metric(self, cell: ArrayLike) -> Array:
        """The inverse of :meth:`metric_to_cell`: continuous (row, column) (..., 2) to metres in base_link."""
        points = np.asarray(cell, dtype=np.float64)
        origin = np.array([self.x_bound[0], self.y_bound[0]])
        step = np.array([self.x_bound[2], self.y_bound[2]])
        return points * step + origin


def count_cells(bound: Bound, name: str = "bound") -> int:
    """The number of cells of a (min, max, step) bound.

    Raises:
        ValueError: the step is not positive, or does not divide the range, or a number is not finite.
    """
    low, high, step = bound
    cells = (high - low) / step if step > 0 else 0.0
    if not math.isfinite(cells) or round(cells) < 1 or abs(cells - round(cells)) > 1e-6:
        raise ValueError(f"{name}: expected (min, max, step) with min < max and a step that divides it, got {bound}")
    return round(cells)


def transform_from(rotation_xyzw: ArrayLike, translation: ArrayLike) -> Array:
    """A 4x4 transform from a quaternion (x, y, z, w) and a translation (3,) in metres.

    Raises:
        ValueError: the quaternion has no length, or a number is not finite.
    """
    transform = np.eye(4)
    transform[:3, :3] = rotation_from_quaternion(rotation_xyzw)
    transform[:3, 3] = np.asarray(translation, dtype=np.float64)
    if not np.isfinite(transform).all():
        raise ValueError(f"transform: expected finite numbers, got translation {translation!r}")
    return transform


def rotation_from_quaternion(xyzw: ArrayLike) -> Array:
    """The 3x3 rotation of a quaternion (x, y, z, w), normalised first.

    Raises:
        ValueError: the quaternion has no length or is not finite.
    """
    quaternion = np.asarray(xyzw, dtype=np.float64)
    norm = float(np.linalg.norm(quaternion))
    if quaternion.shape != (4,) or not math.isfinite(norm) or norm < 1e-6:
        raise ValueError(f"quaternion: expected four numbers (x, y, z, w) of unit length, got {xyzw!r}")
    x, y, z, w = quaternion / norm
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )


def quaternion_from_rotation(rotation: ArrayLike) -> Array:
    """The unit quaternion (x, y, z, w), w >= 0, of a 3x3 rotation matrix."""
    r = np.asarray(rotation, dtype=np.float64)
    # The four candidates of Shepperd's method; the largest is the best conditioned.
    diagonal = np.array([r[0, 0], r[1, 1], r[2, 2], r[0, 0] + r[1, 1] + r[2, 2]])
    largest = int(np.argmax(diagonal))
    if largest == 3:
        quaternion = np.array([r[2, 1] - r[1, 2], r[0, 2] - r[2, 0], r[1, 0] - r[0, 1], 1 + diagonal[3]])
    else:
        i, j, k = largest, (largest + 1) % 3, (largest + 2) % 3
        quaternion = np.empty(4)
        quaternion[i] = 1 + r[i, i] - r[j, j] - r[k, k]
        quaternion[j] = r[j, i] + r[i, j]
        quaternion[k] = r[k, i] + r[i, k]
        quaternion[3] = r[k, j] - r[j, k]
    quaternion /= np.linalg.norm(quaternion)
    return quaternion if quaternion[3] >= 0 else -quaternion


def quaternion_from_wxyz(wxyz: Sequence[float]) -> Array:
    """nuScenes' (w, x, y, z) as (x, y, z, w)."""
    w, x, y, z = wxyz
    return np.array([x, y, z, w], dtype=np.float64)


def quaternion_from_yaw(yaw: float) -> Array:
    """The quaternion (x, y, z, w) of a rotation by ``yaw`` radians about +z."""
    return np.array([0.0, 0.0, math.sin(yaw / 2), math.cos(yaw / 2)])


def yaw_of(rotation: ArrayLike) -> float:
    """The heading of a 3x3 rotation: the angle of its x axis in the xy plane, radians in (-pi, pi]."""
    r = np.asarray(rotation, dtype=np.float64)
    return math.atan2(r[1, 0], r[0, 0])


def wrap_angle(angle: ArrayLike) -> Array:
    """Angles in radians, brought into [-pi, pi)."""
    return (np.asarray(angle, dtype=np.float64) + math.pi) % (2 * math.pi) - math.pi


def invert(a_T_b: ArrayLike) -> Array:
    """The inverse of rigid transforms (..., 4, 4)."""
    transform = np.asarray(a_T_b, dtype=np.float64)
    rotation_t = np.swapaxes(transform[..., :3, :3], -1, -2)
    inverse = np.zeros_like(transform)
    inverse[..., :3, :3] = rotation_t
    inverse[..., :3, 3] = -(rotation_t @ transform[..., :3, 3:])[..., 0]
    inverse[..., 3, 3] = 1.0
    return inverse


def determinants(matrices_N33: ArrayLike) -> Array:
    """The determinants (...) of matrices (..., 3, 3).

    LAPACK hands even so small a matrix to a thread pool, and waits for it where the cores are busy with a network.
    """
    first, second, third = np.moveaxis(np.asarray(matrices_N33, dtype=np.float64), -2, 0)
    return np.asarray((np.cross(first, second) * third).sum(axis=-1))


def invert_matrices(matrices_N33: ArrayLike) -> Array:
    """The inverses of matrices (..., 3, 3), by their cofactors; see :func:`determinants`. A singular one gives no
    finite numbers."""
    rows = np.moveaxis(np.asarray(matrices_N33, dtype=np.float64), -2, 0)
    columns = [np.cross(rows[(n + 1) % 3], rows[(n + 2) % 3]) for n in range(3)]
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.stack(columns, axis=-1) / determinants(matrices_N33)[..., None, None])


def transform_points(a_T_b: ArrayLike, points_b: ArrayLike) -> Array:
    """Points (N, 3) of frame b, in frame a."""
    transform = np.asarray(a_T_b, dtype=np.float64)
    return np.asarray(points_b, dtype=np.float64) @ transform[:3, :3].T + transform[:3, 3]


def interpolate_transform(a_T_b0: Array, a_T_b1: Array, fraction: float) -> Array:
    """The pose at ``fraction`` (0 to 1) of the way: linear in position, constant rate in rotation."""
    q0 = quaternion_from_rotation(a_T_b0[:3, :3])
    q1 = quaternion_from_rotation(a_T_b1[:3, :3])
    dot = float(q0 @ q1)
    if dot < 0:  # the two signs are one rotation: take the short way
        q1, dot = -q1, -dot
    if dot > 0.9995:
        quaternion = q0 + fraction * (q1 - q0)
    else:
        angle = math.acos(dot)
        quaternion = (math.sin((1 - fraction) * angle) * q0 + math.sin(fraction * angle) * q1) / math.sin(angle)
    translation = (1 - fraction) * a_T_b0[:3, 3] + fraction * a_T_b1[:3, 3]
    return transform_from(quaternion, translation)


def project(points_camera: ArrayLike, intrinsics: ArrayLike) -> tuple[Array, Array]:
    """Pixels (N, 2) and depths (N,) of points (N, 3) in an optical frame; pixels mean nothing where depth <= 0.

    ``intrinsics`` is the 3x3 pinhole matrix; pixel (0, 0) is the centre of the first pixel, as in OpenCV.
    """
    points = np.asarray(points_camera, dtype=np.float64)
    depth = points[:, 2]
    homogeneous = points @ np.asarray(intrinsics, dtype=np.float64).T
    with np.errstate(divide="ignore", invalid="ignore"):
        pixels = homogeneous[:, :2] / homogeneous[:, 2:3]
    return pixels, depth


def box_corners(center: ArrayLike, size: ArrayLike, yaw: float) -> Array:
    """The eight corners (8, 3) of a box of ``size`` (length along its x, width, height), metres, turned by ``yaw``.

    The first four are the bottom (front-left, front-right, rear-right, rear-left), the last four the top.
    """
    length, width, height = np.asarray(size, dtype=np.float64) / 2
    x = np.array([length, length, -length, -length] * 2)
    y = np.array([width, -width, -width, width] * 2)
    z = np.array([-height] * 4 + [height] * 4)
    cos, sin = math.cos(yaw), math.sin(yaw)
    return np.stack([cos * x - sin * y, sin * x + cos * y, z], axis=1) + np.asarray(center, dtype=np.float64)
