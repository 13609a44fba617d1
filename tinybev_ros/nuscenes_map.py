"""The drivable area around a path, from nuScenes' map expansion."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import shapely
from numpy.typing import NDArray
from nuscenes.map_expansion.map_api import NuScenesMap, locations

from tinybev.geometry import Array

MARGIN_M = 60.0
RESOLUTION_M = 0.5


class MapUnavailableError(Exception):
    """There is no map to read; the message says why, as the end of a sentence."""


@dataclass(frozen=True)
class DrivableArea:
    """Where one may drive, as cells of the map.

    Attributes:
        origin: (x, y) of the corner of cell (0, 0) in the map, metres.
        resolution: side of a cell, metres.
        drivable: (rows along y, columns along x); a cell is drivable where its centre is.
    """

    origin: tuple[float, float]
    resolution: float
    drivable: NDArray[np.bool_]


def drivable_area_around(dataroot: Path, location: str, path: Array) -> DrivableArea:
    """The drivable area within ``MARGIN_M`` of the bounding box of ``path`` (N, 2), metres in the map.

    Raises:
        MapUnavailableError: nuScenes has no map of that place, or its expansion is absent or cannot be read.
    """
    city = _open_map(dataroot, location)
    low = np.floor((path.min(axis=0) - MARGIN_M) / RESOLUTION_M) * RESOLUTION_M
    high = np.ceil((path.max(axis=0) + MARGIN_M) / RESOLUTION_M) * RESOLUTION_M
    columns, rows = np.round((high - low) / RESOLUTION_M).astype(int)
    x = low[0] + (np.arange(columns) + 0.5) * RESOLUTION_M
    y = low[1] + (np.arange(rows) + 0.5) * RESOLUTION_M
    window = shapely.box(*low, *high)
    drivable = np.zeros((rows, columns), dtype=bool)
    for record in city.drivable_area:
        for token in record["polygon_tokens"]:
            polygon = city.extract_polygon(token)
            if not polygon.intersects(window.envelope):
                continue
            inside = polygon.buffer(0).intersection(window)  # buffer(0) mends outlines that touch themselves
            shapely.prepare(inside)
            drivable |= shapely.contains_xy(inside, *np.meshgrid(x, y))
    return DrivableArea((float(low[0]), float(low[1])), RESOLUTION_M, drivable)


@lru_cache(maxsize=1)
def _open_map(dataroot: Path, location: str) -> NuScenesMap:
    if location not in locations:
        raise MapUnavailableError(f"nuScenes has no map of {location!r}")
    expansion = dataroot / "maps" / "expansion" / f"{location}.json"
    if not expansion.is_file():
        raise MapUnavailableError(f"the map expansion {expansion} is absent")
    try:
        return NuScenesMap(dataroot=str(dataroot), map_name=location)
    except Exception as error:  # the devkit raises bare Exception for an outdated map
        raise MapUnavailableError(f"the map expansion {expansion} cannot be read ({error})") from error
