"""A frame to measure with where no recording is at hand: six smooth noisy pictures of a ring of cameras."""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np

from tinybev.geometry import Array
from tinybev.types import CAMERAS, CameraFrame, Frame

IMAGE_SIZE = (900, 1600)
JPEG_QUALITY = 90
FOCAL_PX = 1266.0
"""The values of nuScenes' cameras, about; at this quality files are as large as its are on average, 180 kB."""
HEIGHT_M, FORWARD_M = 1.5, 1.0
_BASE_R_CAMERA = np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])


def made_frame(seed: int = 0) -> Frame:
    """Six JPEG files with their calibrations, the cameras 60 degrees apart; the same for the same seed."""
    return Frame(stamp_ns=0, images=made_ring(CAMERAS, seed))


def made_ring(names: Sequence[str], seed: int = 0) -> dict[str, CameraFrame]:
    """JPEG files of so many cameras, clockwise from the front at equal angles; the same for the same seed."""
    rng = np.random.default_rng(seed)
    height, width = IMAGE_SIZE
    intrinsics = np.array([[FOCAL_PX, 0.0, width / 2], [0.0, FOCAL_PX, height / 2], [0.0, 0.0, 1.0]])
    return {
        name: CameraFrame(name, 0, _jpeg(rng), intrinsics, IMAGE_SIZE, _mounting(-n * 2 * math.pi / len(names)))
        for n, name in enumerate(names)
    }


def _jpeg(rng: np.random.Generator) -> bytes:
    height, width = IMAGE_SIZE
    coarse = rng.integers(0, 256, (height // 50, width // 50, 3)).astype(np.uint8)
    picture = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC).astype(np.int16)
    noisy = np.clip(picture + rng.integers(-2, 3, picture.shape), 0, 255).astype(np.uint8)
    return bytes(cv2.imencode(".jpg", noisy, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1])


def _mounting(yaw: float) -> Array:
    cos, sin = math.cos(yaw), math.sin(yaw)
    base_T_camera = np.eye(4)
    base_T_camera[:3, :3] = np.array([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]]) @ _BASE_R_CAMERA
    base_T_camera[:3, 3] = FORWARD_M * cos, FORWARD_M * sin, HEIGHT_M
    return base_T_camera
