"""A camera and objects whose pixels can be computed by hand.

The camera sits at (0, 0, 1.5) and looks along +x: focal length 100 pixels, image 240 x 160, principal point at its
middle. A point (x, y, z) of base_link is at u = 119.5 - 100 y / x, v = 79.5 - 100 (z - 1.5) / x.
"""

from __future__ import annotations

import numpy as np

from tinybev.draw.camera_projection import CameraProjection
from tinybev.geometry import invert
from tinybev.types import CAMERAS, CameraFrame, Detections, Frame

SIZE = (160, 240)
INTRINSICS = np.array([[100.0, 0.0, 119.5], [0.0, 100.0, 79.5], [0.0, 0.0, 1.0]])
BASE_T_CAMERA = np.array([[0.0, 0.0, 1.0, 0.0], [-1.0, 0.0, 0.0, 0.0], [0.0, -1.0, 0.0, 1.5], [0.0, 0.0, 0.0, 1.0]])
PROJECTION = CameraProjection(invert(BASE_T_CAMERA), INTRINSICS, SIZE)


def pixel(x: float, y: float, z: float) -> tuple[float, float]:
    return 119.5 - 100 * y / x, 79.5 - 100 * (z - 1.5) / x


def detections(*rows: tuple[float, ...], class_id: int = 0, track_id: int = 0) -> Detections:
    """One box a row: x, y, z, length, width, height, yaw."""
    table = np.array(rows, dtype=np.float64).reshape(-1, 7)
    count = len(table)
    return Detections(
        centers=table[:, :3],
        sizes=table[:, 3:6],
        yaws=table[:, 6],
        velocities=np.zeros((count, 2)),
        scores=np.ones(count),
        class_ids=np.full(count, class_id),
        attribute_ids=np.full(count, -1),
        track_ids=np.full(count, track_id),
    )


def camera_frame(camera: str, rgb: tuple[int, int, int], stamp_ns: int = 0) -> CameraFrame:
    """A camera of one colour, 160 x 90 pixels."""
    image = np.full((90, 160, 3), rgb, dtype=np.uint8)
    intrinsics = np.array([[80.0, 0.0, 79.5], [0.0, 80.0, 44.5], [0.0, 0.0, 1.0]])
    return CameraFrame(camera, stamp_ns, image, intrinsics, (90, 160), BASE_T_CAMERA, np.eye(4))


def frame_of(*images: CameraFrame) -> Frame:
    return Frame(0, {image.camera: image for image in images}, np.eye(4))


def colors() -> dict[str, tuple[int, int, int]]:
    """A dark colour of its own for each camera, red, green and blue all different."""
    return {camera: (10 + 12 * i, 100 - 9 * i, 30 + 5 * i) for i, camera in enumerate(CAMERAS)}
