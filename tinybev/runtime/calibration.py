"""Calibrations: refused at the door where they cannot be a camera's, and put into the reference stamp's base_link."""

from __future__ import annotations

import numpy as np

from tinybev.errors import UserError
from tinybev.geometry import Array, determinants, invert
from tinybev.types import CameraFrame, Floats

ROTATION_TOLERANCE = 1e-3
"""How far a rotation matrix may be from orthonormal."""


def check_calibration(camera: str, intrinsics: Floats, image_size: tuple[int, int], base_T_camera: Floats) -> None:
    """Whether these can be the calibration of a pinhole camera.

    Args:
        camera: its name, for the complaint.
        intrinsics: (3, 3) pinhole matrix, pixels.
        image_size: (height, width), pixels.
        base_T_camera: (4, 4) mounting.

    Raises:
        UserError: a number is not finite, a focal length or a side is not positive, the principal point is outside the
            image, or the mounting is not a rigid transform.
    """
    matrix, mounting = np.asarray(intrinsics, dtype=np.float64), np.asarray(base_T_camera, dtype=np.float64)
    height, width = image_size
    if height <= 0 or width <= 0:
        raise UserError(f"{camera}: expected the calibration of an image with pixels, got size {width} x {height}.")
    if matrix.shape != (3, 3) or not np.isfinite(matrix).all() or not np.allclose(matrix[2], [0, 0, 1]):
        raise UserError(
            f"{camera}: expected a pinhole matrix with last row 0 0 1, got {matrix.tolist()}; calibrate it."
        )
    if matrix[0, 0] <= 0 or matrix[1, 1] <= 0 or abs(matrix[1, 0]) > 1e-6 * matrix[1, 1]:
        raise UserError(f"{camera}: expected positive focal lengths fx and fy, got {matrix.tolist()}; calibrate it.")
    if not (0 <= matrix[0, 2] <= width and 0 <= matrix[1, 2] <= height):
        raise UserError(
            f"{camera}: expected the principal point within {width} x {height} pixels, got "
            f"({matrix[0, 2]:g}, {matrix[1, 2]:g}); give the calibration of this image size."
        )
    rotation = mounting[:3, :3] if mounting.shape == (4, 4) else np.zeros((3, 3))
    orthonormal = np.abs(rotation @ rotation.T - np.eye(3)).max() <= ROTATION_TOLERANCE and determinants(rotation) > 0
    if not (np.isfinite(mounting).all() and orthonormal and np.allclose(mounting[3], [0, 0, 0, 1])):
        raise UserError(f"{camera}: expected a rigid transform as its mounting, got {mounting.tolist()}; correct it.")


def mounting_at_reference(image: CameraFrame, map_T_base: Floats | None) -> Array:
    """Where the camera was when it exposed, (4, 4) in base_link at the frame's reference stamp.

    Between a camera's stamp and the reference stamp the vehicle moves, 0.4 m at 9 m/s over one revolution of nuScenes'
    cameras. Where either pose is unknown the vehicle is taken to have stood still.
    """
    base_T_camera = np.asarray(image.base_T_camera, dtype=np.float64)
    if map_T_base is None or image.map_T_base is None:
        return base_T_camera
    return invert(map_T_base) @ np.asarray(image.map_T_base, dtype=np.float64) @ base_T_camera
