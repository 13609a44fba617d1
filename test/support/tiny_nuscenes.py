"""A tiny dataset in nuScenes' format, written in about a second, that the unmodified devkit loads.

Two scenes on an analytic course: the ego drives a left-hand circle at constant speed, so its pose and its velocity at
any stamp are known exactly. The six cameras look 60 degrees apart and fire as nuScenes' do: in a fixed order over 43 ms
of each 50 ms lidar revolution, in three of five revolutions (periods of 100, 100 and 50 ms). Pictures, lidar points,
boxes and the drivable area are small and generated. All stamps, tokens and bytes are the same in every run.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from tinybev.geometry import quaternion_from_rotation
from tinybev.types import CAMERAS

VERSION = "v1.0-mini"
SCENES = ("tiny-0001", "tiny-0002")
LOCATION = "singapore-onenorth"  # the devkit's map API knows four places and refuses others

SPEED_MPS = 8.0
YAW_RATE_RPS = 0.2
RADIUS_M = SPEED_MPS / YAW_RATE_RPS
CIRCLE_CENTER = (400.0, 1000.0)
ROAD_HALF_WIDTH_M = 5.0

START_US = 1_600_000_000_000_000
SCENE_DISTANCE_US = 60_000_000
REVOLUTION_US = 50_000
REVOLUTIONS_PER_KEYFRAME = 10
REVOLUTIONS_WITH_IMAGES = (0, 2, 4)  # of five
CAMERA_BEFORE_LIDAR_US = {
    "CAM_FRONT_LEFT": 43_100,
    "CAM_FRONT": 35_500,
    "CAM_FRONT_RIGHT": 27_500,
    "CAM_BACK_RIGHT": 20_000,
    "CAM_BACK": 10_400,
    "CAM_BACK_LEFT": 500,
}
CAMERA_YAW_DEG = {
    "CAM_FRONT": 0,
    "CAM_FRONT_RIGHT": -60,
    "CAM_BACK_RIGHT": -120,
    "CAM_BACK": 180,
    "CAM_BACK_LEFT": 120,
    "CAM_FRONT_LEFT": 60,
}
HORIZONTAL_VIEW_DEG = 70.0
LIDAR = "LIDAR_TOP"
LIDAR_POINTS = 64

CATEGORIES = ("vehicle.car", "human.pedestrian.adult", "movable_object.trafficcone")
ATTRIBUTE_NAMES = ("vehicle.parked", "pedestrian.moving")
EMPTY_MAP_LAYERS = (
    "line",
    "road_segment",
    "road_block",
    "lane",
    "lane_connector",
    "ped_crossing",
    "walkway",
    "stop_line",
    "carpark_area",
    "road_divider",
    "lane_divider",
    "traffic_light",
)
Record = dict[str, Any]


@dataclass(frozen=True)
class TinyObject:
    """An object on the course: offset from the scene's first ego pose, size (width, length, height), map velocity."""

    name: str
    category: str
    attribute: str | None
    ahead_m: float
    left_m: float
    size_wlh: tuple[float, float, float]
    velocity_mps: tuple[float, float] = (0.0, 0.0)


OBJECTS = (
    TinyObject("parked-car", "vehicle.car", "vehicle.parked", 15.0, -4.0, (1.9, 4.5, 1.6)),
    TinyObject("walker", "human.pedestrian.adult", "pedestrian.moving", 12.0, 6.0, (0.7, 0.6, 1.8), (1.0, -0.5)),
    TinyObject("cone", "movable_object.trafficcone", None, -8.0, 3.0, (0.4, 0.4, 1.0)),
)


def ego_pose(seconds: float) -> tuple[float, float, float]:
    """(x, y, yaw) of the ego in the map, ``seconds`` after the first lidar stamp of a scene; metres and radians."""
    yaw = YAW_RATE_RPS * seconds
    return CIRCLE_CENTER[0] + RADIUS_M * math.sin(yaw), CIRCLE_CENTER[1] - RADIUS_M * math.cos(yaw), yaw


def scene_start_us(scene_index: int) -> int:
    """The stamp of the first lidar revolution of a scene, microseconds."""
    return START_US + scene_index * SCENE_DISTANCE_US


def write_tiny_nuscenes(
    root: Path,
    *,
    seconds: float = 2.0,
    scenes: tuple[str, ...] = SCENES,
    image_size: tuple[int, int] = (180, 320),
) -> Path:
    """Writes the dataset into ``root`` and returns ``root``; load it as version ``VERSION``.

    Args:
        root: created where it is missing.
        seconds: length of each scene; keyframes come every 0.5 s, the first at 0.
        scenes: their names.
        image_size: (height, width) of the pictures; the intrinsics follow it.
    """
    root.mkdir(parents=True, exist_ok=True)
    tables = _fixed_tables(scenes, image_size)
    for index, scene in enumerate(scenes):
        _write_scene(root, tables, scene, index, seconds, image_size)
    for name, records in tables.items():
        path = root / VERSION / f"{name}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(records, indent=1))
    _write_map(root)
    return root


def _token(*parts: object) -> str:
    return hashlib.md5("/".join(str(part) for part in parts).encode(), usedforsecurity=False).hexdigest()


def _fixed_tables(scenes: tuple[str, ...], image_size: tuple[int, int]) -> dict[str, list[Record]]:
    channels = (*CAMERAS, LIDAR)
    return {
        "category": [{"token": _token("category", name), "name": name, "description": ""} for name in CATEGORIES],
        "attribute": [
            {"token": _token("attribute", name), "name": name, "description": ""} for name in ATTRIBUTE_NAMES
        ],
        "visibility": [{"token": "4", "level": "v80-100", "description": ""}],
        "sensor": [
            {
                "token": _token("sensor", channel),
                "channel": channel,
                "modality": "lidar" if channel == LIDAR else "camera",
            }
            for channel in channels
        ],
        "calibrated_sensor": [_calibration(channel, image_size) for channel in channels],
        "log": [
            {
                "token": _token("log"),
                "logfile": "tiny",
                "vehicle": "tiny",
                "date_captured": "2020-01-01",
                "location": LOCATION,
            }
        ],
        "map": [
            {
                "token": _token("map"),
                "category": "semantic_prior",
                "filename": "maps/tiny.png",
                "log_tokens": [_token("log")],
            }
        ],
        "instance": [],
        "scene": [],
        "sample": [],
        "sample_data": [],
        "ego_pose": [],
        "sample_annotation": [],
    }


def _calibration(channel: str, image_size: tuple[int, int]) -> Record:
    if channel == LIDAR:
        mounting = {"translation": [1.0, 0.0, 1.8], "rotation": [1.0, 0.0, 0.0, 0.0], "camera_intrinsic": []}
        return {"token": _token("calibration", channel), "sensor_token": _token("sensor", channel), **mounting}
    yaw = math.radians(CAMERA_YAW_DEG[channel])
    forward = np.array([math.cos(yaw), math.sin(yaw), 0.0])
    right = np.array([math.sin(yaw), -math.cos(yaw), 0.0])
    down = np.array([0.0, 0.0, -1.0])
    x, y, z, w = quaternion_from_rotation(np.stack([right, down, forward], axis=1))
    height, width = image_size
    focal = width / 2 / math.tan(math.radians(HORIZONTAL_VIEW_DEG) / 2)
    return {
        "token": _token("calibration", channel),
        "sensor_token": _token("sensor", channel),
        "translation": list(np.array([0.9, 0.0, 1.5]) + 0.6 * forward),
        "rotation": [w, x, y, z],
        "camera_intrinsic": [[focal, 0.0, width / 2 - 0.5], [0.0, focal, height / 2 - 0.5], [0.0, 0.0, 1.0]],
    }


def _write_scene(
    root: Path,
    tables: dict[str, list[Record]],
    scene: str,
    index: int,
    seconds: float,
    image_size: tuple[int, int],
) -> None:
    start_us = scene_start_us(index)
    revolutions = round(seconds * 1e6 / REVOLUTION_US)
    keyframes = range(0, revolutions, REVOLUTIONS_PER_KEYFRAME)
    sample_tokens = [_token(scene, "sample", revolution) for revolution in keyframes]
    tables["scene"].append(
        {
            "token": _token(scene),
            "log_token": _token("log"),
            "nbr_samples": len(sample_tokens),
            "first_sample_token": sample_tokens[0],
            "last_sample_token": sample_tokens[-1],
            "name": scene,
            "description": "generated",
        }
    )
    for number, revolution in enumerate(keyframes):
        tables["sample"].append(
            {
                "token": sample_tokens[number],
                "timestamp": start_us + revolution * REVOLUTION_US,
                "scene_token": _token(scene),
                **_links(sample_tokens, number),
            }
        )
    for channel in (*CAMERAS, LIDAR):
        fired = [r for r in range(revolutions) if channel == LIDAR or r % 5 in REVOLUTIONS_WITH_IMAGES]
        tokens = [_token(scene, channel, revolution) for revolution in fired]
        for number, revolution in enumerate(fired):
            stamp_us = start_us + revolution * REVOLUTION_US - CAMERA_BEFORE_LIDAR_US.get(channel, 0)
            is_key_frame = revolution in keyframes
            folder = "samples" if is_key_frame else "sweeps"
            suffix = "pcd.bin" if channel == LIDAR else "jpg"
            filename = f"{folder}/{channel}/{scene}__{channel}__{stamp_us}.{suffix}"
            height, width = (0, 0) if channel == LIDAR else image_size
            tables["sample_data"].append(
                {
                    "token": tokens[number],
                    "sample_token": sample_tokens[revolution // REVOLUTIONS_PER_KEYFRAME],
                    "ego_pose_token": tokens[number],
                    "calibrated_sensor_token": _token("calibration", channel),
                    "timestamp": stamp_us,
                    "fileformat": "pcd" if channel == LIDAR else "jpg",
                    "is_key_frame": is_key_frame,
                    "height": height,
                    "width": width,
                    "filename": filename,
                    **_links(tokens, number),
                }
            )
            x, y, yaw = ego_pose((stamp_us - start_us) / 1e6)
            tables["ego_pose"].append(
                {
                    "token": tokens[number],
                    "timestamp": stamp_us,
                    "rotation": [math.cos(yaw / 2), 0.0, 0.0, math.sin(yaw / 2)],
                    "translation": [x, y, 0.0],
                }
            )
            path = root / filename
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(_points(revolution) if channel == LIDAR else _picture(channel, revolution, image_size))
    for tiny_object in OBJECTS:
        _annotate(tables, scene, tiny_object, sample_tokens)


def _annotate(tables: dict[str, list[Record]], scene: str, tiny_object: TinyObject, sample_tokens: list[str]) -> None:
    x0, y0, _ = ego_pose(0.0)  # heading 0: ahead is x of the map, left is y
    instance = _token(scene, "instance", tiny_object.name)
    tokens = [_token(scene, "annotation", tiny_object.name, number) for number in range(len(sample_tokens))]
    tables["instance"].append(
        {
            "token": instance,
            "category_token": _token("category", tiny_object.category),
            "nbr_annotations": len(tokens),
            "first_annotation_token": tokens[0],
            "last_annotation_token": tokens[-1],
        }
    )
    for number, sample_token in enumerate(sample_tokens):
        seconds = number * REVOLUTIONS_PER_KEYFRAME * REVOLUTION_US / 1e6
        velocity_x, velocity_y = tiny_object.velocity_mps
        attribute = tiny_object.attribute
        tables["sample_annotation"].append(
            {
                "token": tokens[number],
                "sample_token": sample_token,
                "instance_token": instance,
                "visibility_token": "4",
                "attribute_tokens": [_token("attribute", attribute)] if attribute else [],
                "translation": [
                    x0 + tiny_object.ahead_m + velocity_x * seconds,
                    y0 + tiny_object.left_m + velocity_y * seconds,
                    tiny_object.size_wlh[2] / 2,
                ],
                "size": list(tiny_object.size_wlh),
                "rotation": [math.cos(0.15), 0.0, 0.0, math.sin(0.15)],
                "num_lidar_pts": 5,
                "num_radar_pts": 0,
                **_links(tokens, number),
            }
        )


def _links(tokens: list[str], number: int) -> dict[str, str]:
    return {
        "prev": tokens[number - 1] if number > 0 else "",
        "next": tokens[number + 1] if number + 1 < len(tokens) else "",
    }


def _picture(channel: str, revolution: int, image_size: tuple[int, int]) -> bytes:
    """A JPEG of a plain sky and ground in the camera's own tint, with a bar that moves from picture to picture."""
    height, width = image_size
    tint = 40 + 30 * CAMERAS.index(channel)
    image = np.zeros((height, width, 3), np.uint8)
    image[: height // 2] = (200, tint, 80)
    image[height // 2 :] = (60, tint, 120)
    column = (7 * revolution) % (width - 8)
    image[height // 4 : -height // 4, column : column + 8] = 255
    encoded, jpeg = cv2.imencode(".jpg", image)
    assert encoded
    return bytes(jpeg.tobytes())


def _points(revolution: int) -> bytes:
    """A ring of lidar points as nuScenes stores them: float32 (x, y, z, intensity, ring index)."""
    angle = np.linspace(0, 2 * math.pi, LIDAR_POINTS, endpoint=False)
    columns = [
        10 * np.cos(angle),
        10 * np.sin(angle),
        np.full_like(angle, -1.8),
        np.full_like(angle, revolution % 256),
        np.arange(LIDAR_POINTS) % 32,
    ]
    return np.stack(columns, axis=1).astype(np.float32).tobytes()


def _write_map(root: Path) -> None:
    """The devkit's mask (a blank picture) and a map expansion: a ring road around the circle that the ego drives."""
    (root / "maps" / "expansion").mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(root / "maps" / "tiny.png"), np.zeros((8, 8), np.uint8))
    nodes: list[Record] = []
    rings: list[list[str]] = []
    for side, radius in (("outer", RADIUS_M + ROAD_HALF_WIDTH_M), ("inner", RADIUS_M - ROAD_HALF_WIDTH_M)):
        ring = []
        for step in range(72):
            angle = 2 * math.pi * step / 72
            x, y = CIRCLE_CENTER[0] + radius * math.cos(angle), CIRCLE_CENTER[1] + radius * math.sin(angle)
            ring.append(_token("node", side, step))
            nodes.append({"token": ring[-1], "x": x, "y": y})
        rings.append(ring)
    expansion: dict[str, Any] = {
        "version": "1.3",
        "canvas_edge": [1585.6, 2025.0],
        "node": nodes,
        "polygon": [
            {
                "token": _token("road"),
                "exterior_node_tokens": rings[0],
                "holes": [{"node_tokens": rings[1]}],
            }
        ],
        "drivable_area": [{"token": _token("drivable"), "polygon_tokens": [_token("road")]}],
        "arcline_path_3": {},
        "connectivity": {},
        **{layer: [] for layer in EMPTY_MAP_LAYERS},
    }
    (root / "maps" / "expansion" / f"{LOCATION}.json").write_text(json.dumps(expansion))
