"""One source of predictions measured on one split: every task."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from nuscenes.eval.detection.evaluate import DetectionEval
from nuscenes.eval.tracking.evaluate import TrackingEval
from nuscenes.nuscenes import NuScenes

from tinybev.runtime.options import PipelineOptions
from tinybev_training.data.dataset import NuScenesDataset, open_dataset
from tinybev_training.data.tables import open_tables
from tinybev_training.eval.detection import detection_measures
from tinybev_training.eval.detection_matches import ClassMatches, detection_matches
from tinybev_training.eval.evaluate import (
    GRIDS,
    Predict,
    SampleScores,
    Tasks,
    Thresholds,
    dense_tasks,
    score_dataset,
)
from tinybev_training.eval.prediction_files import DETECTIONS_FILE, TRACKS_FILE
from tinybev_training.eval.predictions import Prediction
from tinybev_training.eval.scene_statistics import SceneStatistics, statistics_of
from tinybev_training.eval.submission import detection_boxes, open_submission, tracking_boxes
from tinybev_training.eval.tracking import tracking_measures
from tinybev_training.eval.tracking_states import SceneStates, tracking_states


@dataclass(frozen=True)
class Split:
    """The samples to measure on: the tables, the name of the split, and its samples with their targets."""

    nusc: NuScenes
    name: str
    dataset: NuScenesDataset


@dataclass(frozen=True)
class SplitScores:
    """The figures of every task, each sample's part in those that are not the devkit's, and each scene's in all."""

    tasks: Tasks
    samples: tuple[SampleScores, ...]
    statistics: SceneStatistics


class SceneCollector:
    """Keeps what the devkit's evaluations know of each scene of a split."""

    def __init__(self, split: Split) -> None:
        numbers = {name: number for number, name in enumerate(_scene_names(split))}
        self._numbers = {where.keyframe.token: numbers[where.scene.name] for where in split.dataset.keyframes}
        tokens = {scene["name"]: scene["token"] for scene in split.nusc.scene}
        self._names, self._tokens = tuple(numbers), [tokens[name] for name in numbers]
        self._matches: dict[str, ClassMatches] = {}
        self._states: dict[str, tuple[SceneStates, ...]] = {}

    def keep_matches(self, evaluation: DetectionEval) -> None:
        """Of detection."""
        self._matches = detection_matches(evaluation, self._numbers, len(self._names))

    def keep_states(self, evaluation: TrackingEval) -> None:
        """Of tracking."""
        self._states = tracking_states(evaluation, self._tokens)

    def statistics(self, samples: Sequence[SampleScores]) -> SceneStatistics:
        """All that is known of the scenes, with the other tasks' scores of their samples."""
        return statistics_of(self._names, samples, self._matches, self._states)


def open_split(dataroot: Path, version: str, name: str) -> Split:
    """Reads the tables.

    Raises:
        UserError: the dataset or the split is not there.
    """
    dataset = open_dataset(dataroot, version, name, grids=GRIDS, keep_imageless=True, with_lidar=False, progress=True)
    return Split(open_tables(dataroot, version), name, dataset)


def evaluate_split(
    split: Split,
    predict: Predict,
    folder: Path | None,
    each: Callable[[Prediction], None] = lambda prediction: None,
    uses_lidar: bool = False,
) -> SplitScores:
    """Measures the predictions, one sample after the other: of each only its scores are kept.

    Args:
        split: the samples.
        predict: gives the prediction for a sample.
        folder: where the official result files go; None to keep none.
        each: is handed every prediction.
        uses_lidar: whether the result files shall say that the network looked at lidar points.

    Raises:
        UserError: a prediction is not there, or the devkit refuses the boxes.
    """
    defaults = PipelineOptions()
    thresholds = Thresholds(defaults.score_threshold, defaults.map_threshold, defaults.occupancy_threshold)
    scenes = SceneCollector(split)
    detected: dict[str, int] = {}
    tracked: dict[str, int] = {}
    with tempfile.TemporaryDirectory() as temporary:
        detections, tracks = ((folder or Path(temporary)) / name for name in (DETECTIONS_FILE, TRACKS_FILE))
        with (
            open_submission(detections, uses_lidar) as add_detections,
            open_submission(tracks, uses_lidar) as add_tracks,
        ):

            def collect(prediction: Prediction) -> None:
                boxes, tracked_boxes = detection_boxes(prediction), tracking_boxes(prediction)
                detected[prediction.token], tracked[prediction.token] = len(boxes), len(tracked_boxes)
                add_detections(prediction.token, boxes)
                add_tracks(prediction.token, tracked_boxes)
                each(prediction)

            samples = score_dataset(split.nusc, split.dataset, predict, thresholds, collect)
        boxes = {
            "detection": detection_measures(split.nusc, split.name, detected, detections, scenes.keep_matches),
            "tracking": tracking_measures(split.nusc, split.name, tracked, tracks, scenes.keep_states),
        }
    return SplitScores({**boxes, **dense_tasks(samples)}, tuple(samples), scenes.statistics(samples))


def _scene_names(split: Split) -> list[str]:
    return list(dict.fromkeys(where.scene.name for where in split.dataset.keyframes))
