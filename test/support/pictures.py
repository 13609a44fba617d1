"""Frames of six generated pictures, for tests of what reads images."""

from __future__ import annotations

import cv2
import numpy as np
from rigs import Rig, ring_rig

from tinybev.types import CAMERAS, CameraFrame, Frame, Goal

STAMP_NS = 1_533_151_603_500_000_000


def picture(image_size: tuple[int, int], seed: int = 0) -> np.ndarray:
    """Smooth random colours, RGB; smooth, so that resizing and compression change little."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 10, 3), dtype=np.uint8)
    return cv2.resize(coarse, (image_size[1], image_size[0]), interpolation=cv2.INTER_CUBIC)


def jpeg(pixels: np.ndarray, quality: int = 95) -> bytes:
    """An RGB picture as a JPEG file."""
    bgr = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)
    return cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()


def frame(image_size: tuple[int, int] = (450, 800), rig: Rig | None = None, stamp_ns: int = STAMP_NS) -> Frame:
    """Six JPEGs of a ring of cameras, all at one stamp, without ego pose."""
    rig = rig or ring_rig(image_size)
    images = {
        camera: CameraFrame(
            camera, stamp_ns, jpeg(picture(image_size, n)), rig.intrinsics[n], image_size, rig.base_T_camera[n]
        )
        for n, camera in enumerate(CAMERAS)
    }
    return Frame(stamp_ns, images, goal=Goal())
