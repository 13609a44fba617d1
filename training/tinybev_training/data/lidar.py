"""Lidar sweeps of nuScenes -> points in base_link at another stamp."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tinybev.errors import UserError
from tinybev.geometry import Array, invert, transform_points
from tinybev_training.data.scene_log import LidarRecord

COLUMNS = 5
"""x, y, z, intensity, ring: what nuScenes stores for a point, as float32."""

NO_POINTS: NDArray[np.float32] = np.zeros((0, COLUMNS), dtype=np.float32)


def read_lidar(record: LidarRecord, map_T_base: Array) -> NDArray[np.float32]:
    """The points (P, 5) of a sweep: x, y, z in base_link where the ego's pose is ``map_T_base``, intensity, ring.

    The ego's motion between the sweep's stamp and the pose's is taken out; within a sweep nuScenes has done so.

    Raises:
        UserError: the file is damaged.
    """
    points = _read(record.path)
    base_T_lidar = invert(map_T_base) @ record.map_T_base @ record.base_T_lidar
    points[:, :3] = transform_points(base_T_lidar, points[:, :3])
    return points


def _read(path: Path) -> NDArray[np.float32]:
    numbers = np.fromfile(path, dtype=np.float32)
    if not len(numbers) or len(numbers) % COLUMNS or path.stat().st_size % (4 * COLUMNS):
        raise UserError(
            f"expected points of {COLUMNS} float32 numbers in {path}, got {path.stat().st_size} bytes; repeat its "
            "download, or remove the file to go without."
        )
    return numbers.reshape(-1, COLUMNS).copy()
