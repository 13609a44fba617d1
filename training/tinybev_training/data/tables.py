"""The official devkit's tables -> ``SceneLog``: the only module that knows how nuScenes stores things."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from nuscenes.eval.detection.utils import category_to_detection_name
from nuscenes.nuscenes import NuScenes
from nuscenes.utils.splits import get_scenes_of_split

from tinybev.errors import UserError
from tinybev.geometry import Array, quaternion_from_wxyz, transform_from
from tinybev.types import ATTRIBUTES, CAMERAS, DETECTION_CLASSES
from tinybev_training.data.scene_log import Annotations, CameraRecord, EgoTrack, Keyframe, LidarRecord, SceneLog

LIDAR = "LIDAR_TOP"
"""The annotations are made at this sensor's stamps; the devkit's own evaluation asks for it in every sample."""

Record = dict[str, Any]


def open_tables(dataroot: Path, version: str) -> NuScenes:
    """Loads the tables of ``dataroot/version``.

    Raises:
        UserError: the folder or the version is not there, or the devkit cannot load its tables.
    """
    if not (dataroot / version / "scene.json").is_file():
        found = ", ".join(sorted(path.parent.name for path in dataroot.glob("*/scene.json"))) or "none"
        raise UserError(
            f"expected a nuScenes-format dataset with version {version!r} in {dataroot}, the versions there are: "
            f"{found}; choose with --dataroot and --version."
        )
    try:
        return NuScenes(version=version, dataroot=str(dataroot), verbose=False)
    except (AssertionError, KeyError, OSError, json.JSONDecodeError) as error:
        raise UserError(
            f"the tables in {dataroot / version} cannot be loaded ({type(error).__name__}: {error}); complete or "
            "repeat the download of the metadata."
        ) from error


def scenes_of_split(nusc: NuScenes, split: str) -> tuple[str, ...]:
    """The names of a split's scenes: one of the devkit's, or one of the version folder's ``splits.json``.

    Raises:
        UserError: there is no such split.
    """
    try:
        return tuple(get_scenes_of_split(split, nusc))
    except (ValueError, AssertionError, json.JSONDecodeError) as error:
        raise UserError(
            f"expected one of the devkit's splits (train, val, test, mini_train, mini_val, …) or one that "
            f"{Path(nusc.dataroot) / nusc.version / 'splits.json'} lists, got {split!r} ({error}); choose another."
        ) from error


def read_scene(nusc: NuScenes, name: str) -> SceneLog:
    """The scene of that name.

    Raises:
        UserError: there is none; the sentence names those that exist. Or a sample has no keyframe of the lidar.
    """
    scene = next((scene for scene in nusc.scene if scene["name"] == name), None)
    if scene is None:
        names = sorted(scene["name"] for scene in nusc.scene)
        shown = ", ".join(names[:20]) + (f" and {len(names) - 20} more" if len(names) > 20 else "")
        raise UserError(f"expected a scene of {nusc.version}, got {name!r}; it has {shown}.")
    samples = list(_samples(nusc, scene))
    track_ids: dict[str, int] = {}
    keyframes = tuple(_keyframe(nusc, sample, track_ids) for sample in samples)
    location = nusc.get("log", scene["log_token"])["location"]
    return SceneLog(name, location, keyframes, _ego_track(nusc, samples))


def _samples(nusc: NuScenes, scene: Record) -> Iterator[Record]:
    token = scene["first_sample_token"]
    while token:
        sample = nusc.get("sample", token)
        yield sample
        token = sample["next"]


def _keyframe(nusc: NuScenes, sample: Record, track_ids: dict[str, int]) -> Keyframe:
    if LIDAR not in sample["data"]:
        raise UserError(
            f"expected a keyframe of {LIDAR} in sample {sample['token']}, as the devkit does, and there is none; "
            f"add its row to sample_data.json (the file itself may be absent)."
        )
    record = nusc.get("sample_data", sample["data"][LIDAR])
    lidar = LidarRecord(
        Path(nusc.dataroot) / record["filename"],
        record["timestamp"] * 1000,
        _transform(nusc.get("calibrated_sensor", record["calibrated_sensor_token"])),
        _transform(nusc.get("ego_pose", record["ego_pose_token"])),
    )
    cameras = tuple(_camera(nusc, camera, sample["data"][camera]) for camera in CAMERAS if camera in sample["data"])
    return Keyframe(sample["token"], cameras, lidar, _annotations(nusc, sample["anns"], track_ids))


def _camera(nusc: NuScenes, camera: str, token: str) -> CameraRecord:
    record = nusc.get("sample_data", token)
    calibration = nusc.get("calibrated_sensor", record["calibrated_sensor_token"])
    return CameraRecord(
        camera,
        record["timestamp"] * 1000,
        Path(nusc.dataroot) / record["filename"],
        np.asarray(calibration["camera_intrinsic"], dtype=np.float64),
        (record["height"], record["width"]),
        _transform(calibration),
        _transform(nusc.get("ego_pose", record["ego_pose_token"])),
    )


def _annotations(nusc: NuScenes, tokens: Sequence[str], track_ids: dict[str, int]) -> Annotations:
    """The annotations ``tokens``; ``track_ids`` numbers the scene's instances and gets those it has not met yet."""
    rows = []
    for token in tokens:
        record = nusc.get("sample_annotation", token)
        class_name = category_to_detection_name(record["category_name"])
        if class_name is None:
            continue
        track_id = track_ids.setdefault(record["instance_token"], len(track_ids) + 1)
        rows.append((track_id, DETECTION_CLASSES.index(class_name), token, record))
    rows.sort(key=lambda row: row[0])
    records = [record for *_, record in rows]
    width_length_height = _column([record["size"] for record in records])
    return Annotations(
        track_ids=np.array([row[0] for row in rows], dtype=np.int64),
        centers=_column([record["translation"] for record in records]),
        sizes=width_length_height[:, [1, 0, 2]],
        headings=_column([_transform(record)[:3, 0] for record in records]),
        velocities=_column([nusc.box_velocity(token) for _, _, token, _ in rows]),
        class_ids=np.array([row[1] for row in rows], dtype=np.int64),
        attribute_ids=np.array([_attribute(nusc, record) for record in records], dtype=np.int64),
        lidar_points=np.array([record["num_lidar_pts"] for record in records], dtype=np.int64),
        visibility=np.array([_visibility(nusc, record) for record in records], dtype=np.int64),
    )


def _column(vectors: Sequence[Sequence[float] | Array]) -> Array:
    return np.array(vectors, dtype=np.float64).reshape(-1, 3)


def _attribute(nusc: NuScenes, annotation: Record) -> int:
    names = [nusc.get("attribute", token)["name"] for token in annotation["attribute_tokens"]]
    return ATTRIBUTES.index(names[0]) if names and names[0] in ATTRIBUTES else -1


def _visibility(nusc: NuScenes, annotation: Record) -> int:
    """The level 1 to 4: nuScenes' visibility tokens are the levels themselves; 0 where the table lacks the token."""
    token = annotation.get("visibility_token", "")
    return int(token) if token in ("1", "2", "3", "4") else 0


def _ego_track(nusc: NuScenes, samples: Sequence[Record]) -> EgoTrack:
    """The ego poses of the lidar's keyframes and sweeps (20 Hz in nuScenes) from the first keyframe to the last."""
    token, last = samples[0]["data"][LIDAR], samples[-1]["data"][LIDAR]
    poses: dict[int, Array] = {}
    while token:
        record = nusc.get("sample_data", token)
        poses[record["timestamp"] * 1000] = _transform(nusc.get("ego_pose", record["ego_pose_token"]))
        token = record["next"] if token != last else ""
    for sample in samples:  # where the chain is broken, at least the keyframes
        record = nusc.get("sample_data", sample["data"][LIDAR])
        poses.setdefault(record["timestamp"] * 1000, _transform(nusc.get("ego_pose", record["ego_pose_token"])))
    stamps = np.array(sorted(poses), dtype=np.int64)
    return EgoTrack(stamps, np.stack([poses[int(stamp)] for stamp in stamps]))


def _transform(record: Record) -> Array:
    """The transform of a row with ``rotation`` (w, x, y, z) and ``translation``."""
    return transform_from(quaternion_from_wxyz(record["rotation"]), record["translation"])
