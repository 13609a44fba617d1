"""Camera stamps of a nuScenes-format dataset, and the revolution that each image belongs to.

Reads the few fields it needs from the JSON tables. The revolutions come from what a synchronizer does not see: the
images of one keyframe sample belong together, so the samples tell each camera's offset and the starts of their own
revolutions, and all other images are counted in revolutions from the nearest of those.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tinybev.errors import UserError
from tinybev.types import CAMERAS

NANOSECONDS_PER_TABLE_UNIT = 1000
CONSECUTIVE = 1.5
"""Stamps of a camera that are closer than this times the closest ones are one revolution apart."""


@dataclass(frozen=True)
class CameraStamp:
    """An image: its camera, its stamp, its revolution (counted within the scene), and whether it is a keyframe."""

    camera: str
    stamp_ns: int
    revolution: int
    is_keyframe: bool


@dataclass(frozen=True)
class _Record:
    camera: str
    stamp_ns: int
    sample: str | None


def read_camera_stamps(
    dataroot: Path, version: str, scenes: Collection[str] | None = None
) -> dict[str, list[CameraStamp]]:
    """The images of each scene, in order of their stamps, whether or not their files are there.

    Raises:
        UserError: a table is missing or is no nuScenes table, a scene is unknown, or a scene has no full keyframe.
    """
    tables = dataroot / version
    channels = {row["token"]: row["channel"] for row in _read(tables, "sensor", "token", "channel")}
    mountings = {
        row["token"]: channels.get(row["sensor_token"])
        for row in _read(tables, "calibrated_sensor", "token", "sensor_token")
    }
    names = {row["token"]: row["name"] for row in _read(tables, "scene", "token", "name")}
    unknown = sorted(set(scenes or ()) - set(names.values()))
    if unknown:
        raise UserError(f"{tables} has no scene {unknown[0]!r}; it has {', '.join(sorted(names.values()))}.")
    scene_of_sample = {
        row["token"]: names.get(row["scene_token"]) for row in _read(tables, "sample", "token", "scene_token")
    }
    records: dict[str, list[_Record]] = defaultdict(list)
    fields = ("calibrated_sensor_token", "sample_token", "timestamp", "is_key_frame")
    for row in _read(tables, "sample_data", *fields):
        camera, scene = mountings.get(row["calibrated_sensor_token"]), scene_of_sample.get(row["sample_token"])
        if camera in CAMERAS and scene is not None and (not scenes or scene in scenes):
            sample = row["sample_token"] if row["is_key_frame"] else None
            records[scene].append(_Record(camera, row["timestamp"] * NANOSECONDS_PER_TABLE_UNIT, sample))
    if not records:
        raise UserError(f"{tables}/sample_data.json names no image of nuScenes' six cameras; choose another dataset.")
    return {scene: _with_revolutions(scene, records[scene]) for scene in sorted(records)}


def _read(tables: Path, name: str, *fields: str) -> list[dict[str, Any]]:
    path = tables / f"{name}.json"
    try:
        rows = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise UserError(
            f"{path} must be a table of a nuScenes-format dataset, but it cannot be read ({error}); "
            "check --dataroot and --version."
        ) from error
    if not isinstance(rows, list) or not all(isinstance(row, dict) and row.keys() >= set(fields) for row in rows):
        raise UserError(f"{path} must be a list of records with {', '.join(fields)}; get the dataset anew.")
    return rows


def _with_revolutions(scene: str, records: list[_Record]) -> list[CameraStamp]:
    records = sorted(records, key=lambda record: record.stamp_ns)
    samples: dict[str, dict[str, int]] = defaultdict(dict)
    for record in records:
        if record.sample is not None:
            samples[record.sample][record.camera] = record.stamp_ns
    full = [stamps for stamps in samples.values() if len(stamps) == len(CAMERAS)]
    if not full:
        raise UserError(f"{scene} must have a keyframe with all six cameras to count revolutions from; choose another.")
    offset_ns = {c: int(np.median([stamps[c] - min(stamps.values()) for stamps in full])) for c in CAMERAS}
    start_ns = np.sort([int(np.median([stamps[c] - offset_ns[c] for c in CAMERAS])) for stamps in full])
    period_ns = _revolution_ns(records)
    number = np.concatenate([[0], np.cumsum(np.round(np.diff(start_ns) / period_ns))])
    stamps = []
    for record in records:
        since_ns = record.stamp_ns - offset_ns[record.camera] - start_ns
        nearest = int(np.argmin(np.abs(since_ns)))
        revolution = int(number[nearest] + np.round(since_ns[nearest] / period_ns))
        stamps.append(CameraStamp(record.camera, record.stamp_ns, revolution, record.sample is not None))
    return stamps


def _revolution_ns(records: list[_Record]) -> float:
    """The time of one revolution: the usual distance of a camera's images that follow each other most closely."""
    by_camera = [[record.stamp_ns for record in records if record.camera == camera] for camera in CAMERAS]
    distances = np.concatenate([np.diff(stamps) for stamps in by_camera])
    distances = distances[distances > 0]
    if not len(distances):
        return 1e9  # each camera fired once: any period tells the one revolution
    return float(np.median(distances[distances < CONSECUTIVE * distances.min()]))
