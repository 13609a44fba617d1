"""Predictions on disk: a folder with the official result files, and beside them what these have no place for.

``detections.json`` and ``tracks.json`` are nuScenes submissions. ``samples/TOKEN.npz`` holds a keyframe's pose, track
ids, motion, map, occupancy and plan; arrays only, nothing that would have to be unpickled.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tinybev.errors import UserError
from tinybev.geometry import BevGrid
from tinybev.types import Command, Goal, Occupancy, Plan, Trajectories
from tinybev_training.eval.predictions import MapMasks, Prediction
from tinybev_training.eval.submission import (
    Box,
    detection_boxes,
    detections_from_boxes,
    open_submission,
    read_result_file,
    tracking_boxes,
)
from tinybev_training.long_work.write_file import write_binary

DETECTIONS_FILE, TRACKS_FILE, SAMPLES_FOLDER = "detections.json", "tracks.json", "samples"

Arrays = Mapping[str, np.ndarray[Any, Any]]


def save_predictions(folder: Path, predictions: Iterable[Prediction]) -> None:
    """Writes ``predictions``; the result files come last, so that they exist where everything does.

    Raises:
        UserError: the folder cannot be written to.
    """
    with open_submission(folder / DETECTIONS_FILE) as detections, open_submission(folder / TRACKS_FILE) as tracks:
        for prediction in predictions:
            save_sample(folder, prediction)
            detections(prediction.token, detection_boxes(prediction))
            tracks(prediction.token, tracking_boxes(prediction))


class SavedPredictions:
    """What :func:`save_predictions` wrote: the boxes are kept, all the rest is read when it is asked for.

    Raises:
        UserError: the file of the boxes is absent or damaged.
    """

    def __init__(self, folder: Path) -> None:
        found = read_result_file(folder / DETECTIONS_FILE)
        self._folder, self._boxes, self._uses_lidar = folder, found.boxes, found.uses_lidar

    @property
    def tokens(self) -> tuple[str, ...]:
        """Of the samples."""
        return tuple(self._boxes)

    @property
    def uses_lidar(self) -> bool:
        """Whether they say that they are of a network that looked at lidar points."""
        return self._uses_lidar

    def load(self, token: str) -> Prediction:
        """The prediction of one sample.

        Raises:
            UserError: its file is absent or damaged.
        """
        return load_sample(self._folder, token, self._boxes[token])


def save_sample(folder: Path, prediction: Prediction) -> None:
    """Writes the companion file of one keyframe."""
    arrays = _arrays(prediction)
    path = folder / SAMPLES_FOLDER / f"{prediction.token}.npz"
    write_binary(path, lambda file: np.savez_compressed(file, **arrays))


def load_sample(folder: Path, token: str, boxes: list[Box]) -> Prediction:
    """The prediction of one keyframe: its companion file, and its ``boxes`` of the official file.

    Raises:
        UserError: the companion file is absent or damaged, or does not belong to the boxes.
    """
    path = folder / SAMPLES_FOLDER / f"{token}.npz"
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        return _prediction(token, arrays, boxes)
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise UserError(
            f"the prediction file {path} cannot be read ({type(error).__name__}: {error}); predict again."
        ) from error


def _arrays(prediction: Prediction) -> Arrays:
    arrays: dict[str, Any] = {
        "map_T_base": prediction.map_T_base,
        "track_ids": prediction.detections.track_ids,
    }
    if prediction.trajectories is not None:
        motion = prediction.trajectories
        arrays |= {
            "motion_positions": motion.positions,
            "motion_sigmas": motion.sigmas,
            "motion_probabilities": motion.probabilities,
            "motion_time_step_s": motion.time_step_s,
        }
    if prediction.map is not None:
        arrays |= {"map_probability": prediction.map.probability, "map_grid": _bounds(prediction.map.grid)}
    if prediction.occupancy is not None:
        occupancy = prediction.occupancy
        arrays |= {
            "occupancy_probability": occupancy.probability,
            "occupancy_instances": occupancy.instances,
            "occupancy_grid": _bounds(occupancy.grid),
            "occupancy_time_step_s": occupancy.time_step_s,
        }
    if prediction.plan is not None:
        plan = prediction.plan
        arrays |= {
            "plan_positions": plan.positions,
            "plan_yaws": plan.yaws,
            "plan_speeds": plan.speeds,
            "plan_raw_positions": plan.raw_positions,
            "plan_command": int(plan.goal.command),
            "plan_goal_point": plan.goal.point or (np.nan, np.nan),
            "plan_time_step_s": plan.time_step_s,
        }
    return {name: np.asarray(array) for name, array in arrays.items()}


def _prediction(token: str, arrays: Arrays, boxes: list[Box]) -> Prediction:
    pose, track_ids = arrays["map_T_base"], arrays["track_ids"]
    if len(track_ids) != len(boxes):
        raise ValueError(f"{len(track_ids)} track ids for {len(boxes)} boxes")
    numbered = [{**box, "tracking_id": int(track_id)} for box, track_id in zip(boxes, track_ids, strict=True)]
    detections = detections_from_boxes(numbered, pose)
    trajectories = map_masks = occupancy = plan = None
    if "motion_positions" in arrays:
        trajectories = Trajectories(
            arrays["motion_positions"],
            arrays["motion_sigmas"],
            arrays["motion_probabilities"],
            detections.track_ids,
            detections.class_ids,
            float(arrays["motion_time_step_s"]),
        )
    if "map_probability" in arrays:
        map_masks = MapMasks(arrays["map_probability"], _grid(arrays["map_grid"]))
    if "occupancy_probability" in arrays:
        occupancy = Occupancy(
            arrays["occupancy_probability"],
            arrays["occupancy_instances"],
            _grid(arrays["occupancy_grid"]),
            float(arrays["occupancy_time_step_s"]),
        )
    if "plan_positions" in arrays:
        x, y = arrays["plan_goal_point"].tolist()
        plan = Plan(
            arrays["plan_positions"],
            arrays["plan_yaws"],
            arrays["plan_speeds"],
            arrays["plan_raw_positions"],
            Goal(Command(int(arrays["plan_command"])), None if np.isnan(x) else (x, y)),
            float(arrays["plan_time_step_s"]),
        )
    return Prediction(token, pose, detections, trajectories, map_masks, occupancy, plan)


def _bounds(grid: BevGrid) -> tuple[float, ...]:
    return (*grid.x_bound, *grid.y_bound)


def _grid(bounds: np.ndarray[Any, Any]) -> BevGrid:
    x_min, x_max, x_step, y_min, y_max, y_step = (float(value) for value in bounds)
    return BevGrid((x_min, x_max, x_step), (y_min, y_max, y_step))
