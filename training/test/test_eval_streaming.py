"""However many scenes a split has, the predictions of few samples are in memory."""

from __future__ import annotations

import dataclasses
import weakref
from pathlib import Path

import numpy as np
import pytest
from tinybev_training.data.dataset import NuScenesDataset, open_dataset
from tinybev_training.data.sample import Sample
from tinybev_training.data.tables import open_tables
from tinybev_training.eval import predicting
from tinybev_training.eval.evaluate import GRIDS, Thresholds, by_scene, score_dataset
from tinybev_training.eval.ground_truth import Annotated, ground_truth
from tinybev_training.eval.predicting import PredictionRun, ScenePredictions
from tinybev_training.eval.prediction_files import SavedPredictions, save_predictions, save_sample
from tinybev_training.eval.predictions import MapMasks, Prediction, without_output
from tinybev_training.eval.submission import Submission, write_submission

from tinybev.geometry import BevGrid
from tinybev.runtime.options import PipelineOptions

SCENES, SAMPLES = 30, 2


class ManyScenes:
    """One keyframe's sample under the names of many scenes."""

    def __init__(self, dataset: NuScenesDataset) -> None:
        self._sample, where = dataset[0], dataset.keyframes[0]
        self.keyframes = [where] * (SCENES * SAMPLES)

    def __len__(self) -> int:
        return len(self.keyframes)

    def __getitem__(self, index: int) -> Sample:
        return dataclasses.replace(self._sample, scene=f"scene-{index // SAMPLES:03d}")


def test_a_prediction_is_released_once_it_is_measured(tiny_dataroot: Path) -> None:
    dataset = open_dataset(tiny_dataroot, "v1.0-mini", scenes=["tiny-0001"], grids=GRIDS, with_lidar=False)
    alive: list[weakref.ref[Prediction]] = []
    most = 0

    def predict(sample: Sample, known: Annotated) -> Prediction:
        nonlocal most
        most = max(most, sum(each() is not None for each in alive))
        prediction = ground_truth(sample, known)
        alive.append(weakref.ref(prediction))
        return prediction

    scores = score_dataset(
        open_tables(tiny_dataroot, "v1.0-mini"),
        ManyScenes(dataset),
        predict,
        Thresholds(0.3, 0.5, 0.3),  # type: ignore[arg-type]
    )
    assert len(scores) == len(alive) == SCENES * SAMPLES
    assert len(by_scene(scores)) == SCENES
    assert most <= 1  # the one before, until its name is given to the next
    assert sum(each() is not None for each in alive) == 0
    # What is kept of a sample holds no grid: fewer numbers than two rows of the smallest have cells.
    assert all(_numbers(score) < 400 for score in scores)


def _numbers(record: object) -> int:
    """Numbers in the arrays of a tree of dataclasses."""
    if isinstance(record, np.ndarray):
        return record.size
    if isinstance(record, dict):
        return sum(_numbers(value) for value in record.values())
    if dataclasses.is_dataclass(record):
        return sum(_numbers(getattr(record, field.name)) for field in dataclasses.fields(record))
    return 0


def predictions(scene: int) -> list[Prediction]:
    grid = BevGrid((-4.0, 4.0, 1.0), (-2.0, 2.0, 0.5))
    return [
        dataclasses.replace(
            without_output(f"{scene:02d}-{number}", np.eye(4)), map=MapMasks(np.full((4, *grid.shape), 0.5), grid)
        )
        for number in range(SAMPLES)
    ]


def test_a_bundles_predictions_are_read_scene_by_scene_and_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = PredictionRun("untrained:nano", tmp_path, "v", "s", PipelineOptions(), tmp_path)
    scenes = {}
    for scene in range(SCENES):
        made = predictions(scene)
        for prediction in made:
            save_sample(tmp_path, prediction)
            scenes[prediction.token] = f"scene-{scene}"
        write_submission(tmp_path / "scenes" / f"scene-{scene}.json", {each.token: [] for each in made})
    read: list[Path] = []
    read_submission = predicting.read_submission

    def counted(path: Path) -> Submission:
        read.append(path)
        return read_submission(path)

    monkeypatch.setattr(predicting, "read_submission", counted)
    found = ScenePredictions(run, scenes)
    assert not read
    loaded = [weakref.ref(found.load(token)) for token in scenes]
    assert len(read) == SCENES
    assert all(each() is None for each in loaded)


def test_saved_predictions_are_not_kept(tmp_path: Path) -> None:
    save_predictions(tmp_path, (each for scene in range(SCENES) for each in predictions(scene)))
    saved = SavedPredictions(tmp_path)
    assert len(saved.tokens) == SCENES * SAMPLES
    assert all(weakref.ref(saved.load(token))() is None for token in saved.tokens)
