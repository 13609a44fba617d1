"""Boxes in base_link <-> nuScenes' official result format.

The format (nuScenes' detection and tracking tasks): boxes in the global frame, size as width, length, height, rotation
as a quaternion (w, x, y, z), velocity (x, y) in m/s; every number a Python float.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tinybev.errors import UserError
from tinybev.geometry import (
    Array,
    invert,
    quaternion_from_wxyz,
    quaternion_from_yaw,
    rotation_from_quaternion,
    transform_points,
    yaw_of,
)
from tinybev.types import ATTRIBUTES, DETECTION_CLASSES, Detections
from tinybev_training.eval.predictions import Prediction
from tinybev_training.long_work.write_file import refusing, replacing, write_text

TRACKING_CLASSES = ("bicycle", "bus", "car", "motorcycle", "pedestrian", "trailer", "truck")
"""The seven classes of the official tracking task."""

Box = dict[str, Any]
Submission = dict[str, list[Box]]
"""Boxes by sample token."""


@dataclass(frozen=True)
class ResultFile:
    """A result file's boxes, and whether it states that lidar points are an input."""

    boxes: Submission
    uses_lidar: bool


def detection_boxes(prediction: Prediction) -> list[Box]:
    """The boxes of a keyframe, in their order, as the official detection format has them."""
    boxes, pose = prediction.detections, prediction.map_T_base
    return [
        {
            **_placed(prediction.token, boxes, pose, n),
            "detection_name": DETECTION_CLASSES[boxes.class_ids[n]],
            "detection_score": float(boxes.scores[n]),
            "attribute_name": ATTRIBUTES[boxes.attribute_ids[n]] if boxes.attribute_ids[n] >= 0 else "",
        }
        for n in range(len(boxes))
    ]


def tracking_boxes(prediction: Prediction) -> list[Box]:
    """The tracked boxes of the seven classes of the official tracking task, in its format.

    The score of a box is its detection's; the format's score of a track is the mean of its boxes', taken by the devkit.
    """
    boxes, pose = prediction.detections, prediction.map_T_base
    return [
        {
            **_placed(prediction.token, boxes, pose, n),
            "tracking_id": str(int(boxes.track_ids[n])),
            "tracking_name": DETECTION_CLASSES[boxes.class_ids[n]],
            "tracking_score": float(boxes.scores[n]),
        }
        for n in range(len(boxes))
        if boxes.track_ids[n] > 0 and DETECTION_CLASSES[boxes.class_ids[n]] in TRACKING_CLASSES
    ]


def detections_from_boxes(boxes: Sequence[Box], map_T_base: Array) -> Detections:
    """Boxes of either official format, in base_link; a detection has track id 0, a track no attribute.

    Raises:
        UserError: a field is absent or has an unknown value; the sentence names the box's sample.
    """
    base_T_map = invert(map_T_base)
    turn = base_T_map[:3, :3]
    try:
        size_wlh = _rows([box["size"] for box in boxes], 3)
        velocities = np.pad(_rows([box["velocity"] for box in boxes], 2), ((0, 0), (0, 1)))
        rotations = [rotation_from_quaternion(quaternion_from_wxyz(box["rotation"])) for box in boxes]
        return Detections(
            centers=transform_points(base_T_map, _rows([box["translation"] for box in boxes], 3)),
            sizes=size_wlh[:, [1, 0, 2]],
            yaws=np.array([yaw_of(turn @ rotation) for rotation in rotations]),
            velocities=(velocities @ turn.T)[:, :2],
            scores=np.array([_either(box, "detection_score", "tracking_score") for box in boxes], dtype=np.float64),
            class_ids=_ids([DETECTION_CLASSES.index(_either(b, "detection_name", "tracking_name")) for b in boxes]),
            attribute_ids=_ids([_attribute(box.get("attribute_name", "")) for box in boxes]),
            track_ids=_ids([int(box.get("tracking_id", 0)) for box in boxes]),
        )
    except (KeyError, ValueError, TypeError) as error:
        raise UserError(
            f"expected boxes of nuScenes' result format in sample {boxes[0].get('sample_token')!r}, got one with "
            f"{type(error).__name__}: {error}; see https://www.nuscenes.org/object-detection for its fields."
        ) from error


def write_submission(path: Path, boxes: Mapping[str, Sequence[Box]], uses_lidar: bool = False) -> None:
    """Writes a result file, at once or not at all; it states whether the network ``uses_lidar`` beside cameras."""
    write_text(path, json.dumps({"meta": _meta(uses_lidar), "results": boxes}))


@contextmanager
def open_submission(path: Path, uses_lidar: bool = False) -> Iterator[Callable[[str, Sequence[Box]], None]]:
    """Writes a result file sample by sample, at once or not at all: what it yields takes a sample's token and boxes.
    As ``write_submission`` it states whether the network ``uses_lidar``.

    A split's boxes are some gigabytes in memory; this way those of one sample are.
    """
    with replacing(path) as file:

        def write(text: str) -> None:
            with refusing(path):
                file.write(text.encode())

        write(f'{{"meta": {json.dumps(_meta(uses_lidar))}, "results": {{')
        separator = ""

        def add(token: str, boxes: Sequence[Box]) -> None:
            nonlocal separator
            write(f"{separator}{json.dumps(token)}: {json.dumps(boxes)}")
            separator = ",\n"

        yield add
        write("}}")


def read_submission(path: Path) -> Submission:
    """The boxes of a result file.

    Raises:
        UserError: it cannot be read, or is not of the format.
    """
    return read_result_file(path).boxes


def read_result_file(path: Path) -> ResultFile:
    """A result file; one that states nothing of lidar uses none.

    Raises:
        UserError: it cannot be read, or is not of the format.
    """
    try:
        data = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise UserError(f"the result file {path} cannot be read ({error}); name a nuScenes result JSON.") from error
    results = data.get("results") if isinstance(data, dict) else None
    if not isinstance(results, dict) or not all(isinstance(boxes, list) for boxes in results.values()):
        raise UserError(
            f"expected a nuScenes result file with `meta` and `results` (boxes by sample token) in {path}, got "
            f"something else; see https://www.nuscenes.org/object-detection for the format."
        )
    meta = data.get("meta")
    return ResultFile(results, isinstance(meta, dict) and meta.get("use_lidar") is True)


def check_tokens(found: Iterable[str], expected: Iterable[str], what: str) -> None:
    """Refuses predictions that are not exactly those of the split's samples.

    Raises:
        UserError: a sample lacks its entry, or there is an entry for a sample of elsewhere.
    """
    found_set, expected_set = set(found), set(expected)
    if found_set != expected_set:
        raise UserError(
            f"expected {what} for each of the split's {len(expected_set)} samples and no others (an empty list for a "
            f"sample without boxes), got {len(found_set)}: {len(expected_set - found_set)} absent, "
            f"{len(found_set - expected_set)} of other samples; predict the split that is evaluated."
        )


def _meta(uses_lidar: bool) -> dict[str, bool]:
    """What the official format asks a submission to state of its inputs.

    Whether a network learnt from other datasets its weights do not tell: that is for whoever sends the file to set.
    """
    return {
        "use_camera": True,
        "use_lidar": uses_lidar,
        "use_radar": False,
        "use_map": False,
        "use_external": False,
    }


def _placed(token: str, boxes: Detections, map_T_base: Array, n: int) -> Box:
    """Where box ``n`` is, in the global frame."""
    turn = map_T_base[:3, :3]
    heading = _level(turn, np.array([np.cos(boxes.yaws[n]), np.sin(boxes.yaws[n])]))
    x, y, z, w = quaternion_from_yaw(float(np.arctan2(heading[1], heading[0])))
    length, width, height = boxes.sizes[n]
    velocity = _level(turn, boxes.velocities[n])
    return {
        "sample_token": token,
        "translation": [float(value) for value in transform_points(map_T_base, boxes.centers[n][None])[0]],
        "size": [float(width), float(length), float(height)],
        "rotation": [float(w), float(x), float(y), float(z)],
        "velocity": [float(velocity[0]), float(velocity[1])],
    }


def _level(map_R_base: Array, xy: Array) -> Array:
    """The horizontal vector (x, y) of the map whose components along base_link's x and y are ``xy``.

    The two frames lean against each other by up to a few degrees; what drives or walks in nuScenes is level in the map.
    """
    z = -(map_R_base[2, :2] @ xy) / map_R_base[2, 2]
    return np.asarray((map_R_base @ np.array([*xy, z]))[:2])


def _rows(values: Sequence[Sequence[float]], width: int) -> Array:
    rows = np.array(values, dtype=np.float64).reshape(-1, width)
    if len(rows) != len(values):
        raise ValueError(f"expected {width} numbers a box")
    return rows


def _ids(values: Sequence[int]) -> np.ndarray[Any, np.dtype[np.int64]]:
    return np.array(values, dtype=np.int64)


def _either(box: Box, first: str, second: str) -> Any:
    value = box[first] if first in box else box[second]
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{first}: expected a finite number, got {value}")
    return value


def _attribute(name: str) -> int:
    return ATTRIBUTES.index(name) if name else -1
