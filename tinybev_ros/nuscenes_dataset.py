"""A scene of a nuScenes-format dataset, read through the official devkit, as the readings of its sensors in time."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from nuscenes.nuscenes import NuScenes

from tinybev.errors import UserError
from tinybev.geometry import Array, quaternion_from_wxyz, transform_from

Record = dict[str, Any]
"""A row of one of the devkit's tables."""


@dataclass(frozen=True)
class SensorReading:
    """One row of ``sample_data``, keyframe or sweep.

    Attributes:
        channel: nuScenes' name of the sensor, e.g. ``CAM_FRONT``.
        modality: ``camera``, ``lidar`` or ``radar``.
        stamp_ns: when it was taken.
        path: its file, which may be absent.
        image_size: (height, width) in pixels, (0, 0) where it is no image.
        map_T_base: (4, 4) ego pose at ``stamp_ns``.
    """

    channel: str
    modality: str
    stamp_ns: int
    path: Path
    image_size: tuple[int, int]
    map_T_base: Array


@dataclass(frozen=True)
class SensorMounting:
    """Where a sensor sits: (4, 4) ``base_T_sensor``, and the (3, 3) intrinsics of a camera (None for the others)."""

    base_T_sensor: Array
    intrinsics: Array | None


def open_dataset(dataroot: Path, version: str) -> NuScenes:
    """Loads the tables of ``dataroot/version``.

    Raises:
        UserError: the folder or the version is not there, or the devkit cannot load its tables.
    """
    if not dataroot.is_dir():
        raise UserError(f"expected the folder of a nuScenes-format dataset, but {dataroot} does not exist.")
    if not (dataroot / version / "scene.json").is_file():
        versions = sorted(path.parent.name for path in dataroot.glob("*/scene.json"))
        found = f"it holds {', '.join(versions)}" if versions else "it holds no version at all"
        raise UserError(f"expected the tables of version {version} in {dataroot}, but {found}; choose with --version.")
    try:
        return NuScenes(version=version, dataroot=str(dataroot), verbose=False)
    except (AssertionError, KeyError, OSError, json.JSONDecodeError) as error:
        raise UserError(
            f"the tables in {dataroot / version} cannot be loaded ({type(error).__name__}: {error}); "
            "complete or repeat the download of the metadata."
        ) from error


def find_scene(nusc: NuScenes, name: str) -> Record:
    """The row of the scene of that name.

    Raises:
        UserError: there is none; the sentence names those that exist.
    """
    for scene in nusc.scene:
        if scene["name"] == name:
            return dict(scene)
    names = sorted(scene["name"] for scene in nusc.scene)
    shown = ", ".join(names[:20]) + (f" and {len(names) - 20} more" if len(names) > 20 else "")
    raise UserError(f"expected a scene of {nusc.version}, got {name!r}; it has {shown}.")


def scene_samples(nusc: NuScenes, scene: Record) -> Iterator[Record]:
    """The keyframes (rows of ``sample``) of a scene, in time order."""
    token = scene["first_sample_token"]
    while token:
        sample = nusc.get("sample", token)
        yield sample
        token = sample["next"]


def scene_readings(nusc: NuScenes, scene: Record) -> list[SensorReading]:
    """All readings of all sensors of a scene, keyframes and sweeps, sorted by stamp and then by channel."""
    first_tokens: dict[str, str] = {}
    for sample in scene_samples(nusc, scene):
        for channel, token in sample["data"].items():
            first_tokens.setdefault(channel, token)
    readings = [
        _reading(nusc, record) for token in first_tokens.values() for record in _chain(nusc, token, scene["token"])
    ]
    return sorted(readings, key=lambda reading: (reading.stamp_ns, reading.channel))


def scene_mountings(nusc: NuScenes, scene: Record) -> dict[str, SensorMounting]:
    """The mounting of every sensor of a scene by channel, from its first keyframe; it is fixed within a scene."""
    mountings: dict[str, SensorMounting] = {}
    for sample in scene_samples(nusc, scene):
        for channel, token in sample["data"].items():
            if channel not in mountings:
                calibration = nusc.get("calibrated_sensor", nusc.get("sample_data", token)["calibrated_sensor_token"])
                matrix = np.asarray(calibration["camera_intrinsic"], dtype=np.float64)
                mountings[channel] = SensorMounting(_transform(calibration), matrix if matrix.size else None)
    return mountings


def _chain(nusc: NuScenes, token: str, scene_token: str) -> Iterator[Record]:
    """The rows of one sensor in one scene that are linked to ``token``: those before it, itself, those after it."""
    start = nusc.get("sample_data", token)
    yield start
    for direction in ("prev", "next"):
        token = start[direction]
        while token:
            record = nusc.get("sample_data", token)
            if nusc.get("sample", record["sample_token"])["scene_token"] != scene_token:
                break
            yield record
            token = record[direction]


def _reading(nusc: NuScenes, record: Record) -> SensorReading:
    return SensorReading(
        channel=record["channel"],
        modality=record["sensor_modality"],
        stamp_ns=record["timestamp"] * 1000,
        path=Path(nusc.dataroot) / record["filename"],
        image_size=(record["height"], record["width"]),
        map_T_base=_transform(nusc.get("ego_pose", record["ego_pose_token"])),
    )


def _transform(record: Record) -> Array:
    """The transform of a row with ``rotation`` (w, x, y, z) and ``translation``."""
    return transform_from(quaternion_from_wxyz(record["rotation"]), record["translation"])
