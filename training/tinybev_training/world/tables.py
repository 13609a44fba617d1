"""Rows of nuScenes' tables that are the same for every scene, and what rows are made of."""

from __future__ import annotations

import hashlib
from typing import Any

from tinybev.geometry import Array
from tinybev.types import CAMERAS
from tinybev_training.world.weather import Weather

Row = dict[str, Any]

Rows = dict[str, list[Row]]
"""Rows of the tables, by the table's name."""

LIDAR = "LIDAR_TOP"


def token(*parts: object) -> str:
    """A token as nuScenes has them, 32 hexadecimal digits, that depends on what it stands for alone."""
    return hashlib.md5("/".join(str(part) for part in parts).encode(), usedforsecurity=False).hexdigest()


def sensor_rows() -> list[Row]:
    """The table ``sensor``."""
    rows = [{"token": token("sensor", name), "channel": name, "modality": "camera"} for name in CAMERAS]
    return [*rows, {"token": token("sensor", LIDAR), "channel": LIDAR, "modality": "lidar"}]


def describe(weather: Weather) -> str:
    """A weather in words, as nuScenes' descriptions are: keywords."""
    words = ["night" if weather.night > 0 else "day"]
    words += [name for name in ("fog", "rain", "blur") if getattr(weather, name) > 0]
    words += [f"{camera} dead" for camera in weather.dead]
    return ", ".join(words)


def wxyz(xyzw: Array) -> list[float]:
    x, y, z, w = (float(value) for value in xyzw)
    return [w, x, y, z]
