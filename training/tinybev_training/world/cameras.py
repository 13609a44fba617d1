"""The rig: six cameras laid out like nuScenes', each fired at a moment of its own, and a lidar on the roof.

The numbers are this project's: round figures of a like layout, no calibration of any real car.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from tinybev.geometry import Array
from tinybev.types import CAMERAS

_OPTICAL = np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])
"""Axes of an optical frame (x right, y down, z forward) in a body frame (x forward, y left, z up)."""


@dataclass(frozen=True)
class MountedCamera:
    """One camera of the rig.

    Attributes:
        name: nuScenes' channel.
        intrinsics: (3, 3) pinhole matrix.
        height, width: of the image, pixels.
        base_T_camera: (4, 4).
        offset_ns: when it fires, relative to the lidar.
    """

    name: str
    intrinsics: Array
    height: int
    width: int
    base_T_camera: Array
    offset_ns: int


# x, y, z in base_link, yaw in degrees, horizontal field of view in degrees, firing offset in milliseconds
_MOUNTS: dict[str, tuple[float, float, float, float, float, float]] = {
    "CAM_FRONT": (1.70, 0.00, 1.52, 0.0, 65.0, -35.5),
    "CAM_FRONT_RIGHT": (1.55, -0.50, 1.50, -55.0, 65.0, -27.5),
    "CAM_BACK_RIGHT": (1.05, -0.50, 1.55, -110.0, 65.0, -20.0),
    "CAM_BACK": (0.05, 0.00, 1.55, 180.0, 90.0, -10.5),
    "CAM_BACK_LEFT": (1.05, 0.50, 1.55, 110.0, 65.0, -0.5),
    "CAM_FRONT_LEFT": (1.55, 0.50, 1.50, 55.0, 65.0, -43.0),
}
BASE_T_LIDAR: Array = np.array(
    [[0.0, -1.0, 0.0, 0.95], [1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 1.0, 1.84], [0.0, 0.0, 0.0, 1.0]]
)
"""The lidar's x axis points to the right, its y axis forward, as nuScenes' does."""


def rig(height: int = 450, width: int = 800) -> tuple[MountedCamera, ...]:
    """The six cameras in the order of ``CAMERAS``, for images of a size."""
    cameras = []
    for name in CAMERAS:
        x, y, z, yaw_deg, view_deg, offset_ms = _MOUNTS[name]
        focal = width / 2 / math.tan(math.radians(view_deg) / 2)
        intrinsics = np.array([[focal, 0.0, (width - 1) / 2], [0.0, focal, 0.53 * (height - 1)], [0.0, 0.0, 1.0]])
        yaw = math.radians(yaw_deg)
        turn = np.array([[math.cos(yaw), -math.sin(yaw), 0.0], [math.sin(yaw), math.cos(yaw), 0.0], [0.0, 0.0, 1.0]])
        mounting = np.eye(4)
        mounting[:3, :3] = turn @ _OPTICAL
        mounting[:3, 3] = (x, y, z)
        cameras.append(MountedCamera(name, intrinsics, height, width, mounting, round(offset_ms * 1e6)))
    return tuple(cameras)
