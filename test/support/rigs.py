"""Camera rigs for tests: an analytic one, and the real ones of nuScenes' tables."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tinybev.geometry import Array, quaternion_from_wxyz, transform_from
from tinybev.types import CAMERAS

IMAGE_SIZE = (900, 1600)
"""(height, width) of nuScenes' images."""
FORWARD_CAMERA = np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])
"""Rotation, to base_link, of an optical frame that looks along base_link's x."""


@dataclass(frozen=True)
class Rig:
    """Calibration of the six cameras: pinhole matrices (6, 3, 3) of ``image_size``, mountings (6, 4, 4)."""

    intrinsics: Array
    base_T_camera: Array
    image_size: tuple[int, int]


def yaw_transform(yaw: float, x: float = 0.0, y: float = 0.0) -> Array:
    """A turn by ``yaw`` about +z, then a move by (x, y)."""
    cos, sin = math.cos(yaw), math.sin(yaw)
    return np.array([[cos, -sin, 0, x], [sin, cos, 0, y], [0, 0, 1, 0], [0, 0, 0, 1]], dtype=np.float64)


def ring_rig(image_size: tuple[int, int], focal: float = 0.8) -> Rig:
    """Six level cameras 1.5 m above the ground, 60 degrees apart clockwise; ``focal`` in widths of the image."""
    height, width = image_size
    matrix = np.array([[focal * width, 0, (width - 1) / 2], [0, focal * width, (height - 1) / 2], [0, 0, 1]])
    forward = np.eye(4)
    forward[:3, :3], forward[:3, 3] = FORWARD_CAMERA, (1.0, 0.0, 1.5)
    mountings = np.stack([yaw_transform(-n * math.pi / 3) @ forward for n in range(len(CAMERAS))])
    return Rig(np.tile(matrix, (len(CAMERAS), 1, 1)), mountings, image_size)


def nuscenes_rigs(dataroot: Path) -> list[Rig]:
    """Every different rig of the six cameras in the tables of v1.0-mini."""

    def table(name: str) -> list[dict]:
        return json.loads((dataroot / "v1.0-mini" / f"{name}.json").read_text())

    channel = {sensor["token"]: sensor["channel"] for sensor in table("sensor")}
    calibrations = {record["token"]: record for record in table("calibrated_sensor")}
    by_sample: dict[str, dict[str, str]] = {}
    for data in table("sample_data"):
        camera = channel[calibrations[data["calibrated_sensor_token"]]["sensor_token"]]
        if data["is_key_frame"] and camera in CAMERAS:
            by_sample.setdefault(data["sample_token"], {})[camera] = data["calibrated_sensor_token"]
    rigs = []
    for tokens in sorted({tuple(cameras[camera] for camera in CAMERAS) for cameras in by_sample.values()}):
        records = [calibrations[token] for token in tokens]
        intrinsics = np.array([record["camera_intrinsic"] for record in records])
        mountings = [transform_from(quaternion_from_wxyz(r["rotation"]), r["translation"]) for r in records]
        rigs.append(Rig(intrinsics, np.stack(mountings), IMAGE_SIZE))
    return rigs
