"""Scenes with known answers, built in memory: an ego and objects that move as simple functions of time."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tinybev_training.data.scene_log import Annotations, EgoTrack, Keyframe, LidarRecord, SceneLog

from tinybev.geometry import Array, quaternion_from_yaw, transform_from
from tinybev.types import DETECTION_CLASSES

Motion = Callable[[float], tuple[float, float, float]]
"""Seconds to (x, y, yaw) in the map."""

SECOND_NS = 1_000_000_000
START_NS = 1_600_000_000 * SECOND_NS
LIDAR_AHEAD_M = 1.0


@dataclass(frozen=True)
class BuiltObject:
    """An object: its motion, class and size (length, width, height), and the keyframes it is annotated in."""

    motion: Motion
    class_name: str = "car"
    size: tuple[float, float, float] = (4.0, 2.0, 1.6)
    keyframes: Sequence[int] | None = None


def straight(speed_mps: float, x: float = 0.0, y: float = 0.0, yaw: float = 0.0) -> Motion:
    """Along ``yaw`` from (x, y) on."""
    return lambda t: (x + speed_mps * t * math.cos(yaw), y + speed_mps * t * math.sin(yaw), yaw)


def circle(speed_mps: float, yaw_rate_rps: float) -> Motion:
    """From the origin, first along x; a positive yaw rate turns left."""
    radius = speed_mps / yaw_rate_rps
    return lambda t: (
        radius * math.sin(yaw_rate_rps * t),
        radius * (1 - math.cos(yaw_rate_rps * t)),
        yaw_rate_rps * t,
    )


def pose(motion: Motion, seconds: float) -> Array:
    """(4, 4) in the map."""
    x, y, yaw = motion(seconds)
    return transform_from(quaternion_from_yaw(yaw), (x, y, 0.0))


def stamp_ns(seconds: float) -> int:
    """Of the scene's clock."""
    return START_NS + round(seconds * SECOND_NS)


def build_scene(ego: Motion, objects: Sequence[BuiltObject] = (), keyframes: int = 16, step_s: float = 0.5) -> SceneLog:
    """A scene without cameras; the lidar sits ``LIDAR_AHEAD_M`` ahead and its poses come at 20 Hz."""
    base_T_lidar = transform_from((0.0, 0.0, 0.0, 1.0), (LIDAR_AHEAD_M, 0.0, 1.8))
    frames = []
    for number in range(keyframes):
        seconds = number * step_s
        lidar = LidarRecord(Path("/nowhere.bin"), stamp_ns(seconds), base_T_lidar, pose(ego, seconds))
        frames.append(Keyframe(f"token-{number}", (), lidar, _annotations(objects, number, seconds)))
    track_s = np.arange(0.0, (keyframes - 1) * step_s + 1e-9, 0.05)
    track = EgoTrack(np.array([stamp_ns(s) for s in track_s]), np.stack([pose(ego, s) for s in track_s]))
    return SceneLog("built", "nowhere", tuple(frames), track)


def _annotations(objects: Sequence[BuiltObject], number: int, seconds: float) -> Annotations:
    rows = [(n + 1, o) for n, o in enumerate(objects) if o.keyframes is None or number in o.keyframes]
    poses = [pose(o.motion, seconds) for _, o in rows]
    nearby = 1e-3
    velocities = [
        (pose(o.motion, seconds + nearby)[:3, 3] - p[:3, 3]) / nearby for (_, o), p in zip(rows, poses, strict=True)
    ]
    count = len(rows)
    return Annotations(
        track_ids=np.array([n for n, _ in rows], dtype=np.int64),
        centers=np.array([p[:3, 3] + [0, 0, o.size[2] / 2] for (_, o), p in zip(rows, poses, strict=True)]).reshape(
            -1, 3
        ),
        sizes=np.array([o.size for _, o in rows]).reshape(-1, 3),
        headings=np.array([p[:3, 0] for p in poses]).reshape(-1, 3),
        velocities=np.array(velocities).reshape(-1, 3),
        class_ids=np.array([DETECTION_CLASSES.index(o.class_name) for _, o in rows], dtype=np.int64),
        attribute_ids=np.full(count, -1, dtype=np.int64),
        lidar_points=np.full(count, 5, dtype=np.int64),
        visibility=np.full(count, 4, dtype=np.int64),
    )
