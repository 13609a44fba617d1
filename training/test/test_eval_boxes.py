"""Detection and tracking through nuScenes' own classes: the truth as prediction, and the truth damaged."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from nuscenes.nuscenes import NuScenes
from tinybev_training.data.dataset import NuScenesDataset, open_dataset
from tinybev_training.data.tables import open_tables
from tinybev_training.eval.detection import detection_measures
from tinybev_training.eval.ground_truth import annotated, ground_truth
from tinybev_training.eval.measure import Measures
from tinybev_training.eval.predictions import Prediction
from tinybev_training.eval.submission import detection_boxes, read_submission, tracking_boxes, write_submission
from tinybev_training.eval.tracking import tracking_measures

from tinybev.errors import UserError
from tinybev.types import Detections

Damage = Callable[[list[Detections]], list[Detections]]


@pytest.fixture(scope="module")
def tables(nuscenes_dataroot: Path) -> NuScenes:
    return open_tables(nuscenes_dataroot, "v1.0-mini")


@pytest.fixture(scope="module")
def truth(nuscenes_dataroot: Path, tables: NuScenes) -> list[Prediction]:
    """The boxes of mini_val, scene by scene in time order."""
    dataset = open_dataset(nuscenes_dataroot, "v1.0-mini", "mini_val", keep_imageless=True, with_lidar=False)
    return _truth(tables, dataset)


def _truth(nusc: NuScenes, dataset: NuScenesDataset) -> list[Prediction]:
    samples = (dataset[index] for index in range(len(dataset)))
    return [ground_truth(sample, annotated(nusc, sample)) for sample in samples]


def _detection(nusc: NuScenes, split: str, predictions: list[Prediction], folder: Path) -> Measures:
    path = folder / "detections.json"
    write_submission(path, {prediction.token: detection_boxes(prediction) for prediction in predictions})
    return detection_measures(nusc, split, read_submission(path), path)


def _tracking(nusc: NuScenes, split: str, predictions: list[Prediction], folder: Path) -> Measures:
    path = folder / "tracks.json"
    write_submission(path, {prediction.token: tracking_boxes(prediction) for prediction in predictions})
    return tracking_measures(nusc, split, read_submission(path), path)


def _shifted(prediction: Prediction, metres: float) -> Prediction:
    boxes = prediction.detections
    return dataclasses.replace(
        prediction, detections=dataclasses.replace(boxes, centers=boxes.centers + np.array([metres, 0, 0]))
    )


def test_the_truth_of_mini_val_scores_its_ceiling(tables: NuScenes, truth: list[Prediction], tmp_path: Path) -> None:
    found = _detection(tables, "mini_val", truth, tmp_path)
    assert found["mAP"].value == pytest.approx(0.700, abs=5e-4)
    assert found["NDS"].value == pytest.approx(0.707, abs=5e-4)
    assert found["mAP"].count == 7
    assert found["mAP_present"].value == pytest.approx(1.0, abs=1e-3)
    for absent in ("trailer", "construction_vehicle", "barrier"):
        assert not found[f"{absent}.AP"].valid
        assert found[f"{absent}.AP"].count == 0
    assert found["car.AP"].count > 100


def test_boxes_shifted_by_a_metre_lose_the_two_narrow_thresholds(
    tables: NuScenes, truth: list[Prediction], tmp_path: Path
) -> None:
    found = _detection(tables, "mini_val", [_shifted(prediction, 1.01) for prediction in truth], tmp_path)
    # Of the thresholds 0.5, 1, 2 and 4 m two are passed; now and then a shifted box meets a neighbour.
    assert found["car.AP"].value == pytest.approx(0.5, abs=0.03)
    # Three absent classes count as 1; where objects stand close, the nearest one is nearer than a metre.
    assert 0.85 < found["mATE"].value <= (7 * 1.01 + 3) / 10 + 1e-3


def test_the_truth_tracks_perfectly_and_swapped_ids_do_not(
    tables: NuScenes, truth: list[Prediction], tmp_path: Path
) -> None:
    perfect = _tracking(tables, "mini_val", truth, tmp_path)
    assert perfect["IDS"].value == 0
    assert perfect["car.AMOTA"].value > 0.95
    assert not perfect["trailer.AMOTA"].valid
    # From the middle of each scene on, the ids of neighbouring rows are exchanged pairwise, class by class.
    swapped = [_swapped(prediction) if number % 40 >= 20 else prediction for number, prediction in enumerate(truth)]
    found = _tracking(tables, "mini_val", swapped, tmp_path)
    assert found["IDS"].value > 10
    assert found["AMOTA"].value < perfect["AMOTA"].value
    assert found["TP"].value <= perfect["TP"].value


def _swapped(prediction: Prediction) -> Prediction:
    boxes = prediction.detections
    ids = boxes.track_ids.copy()
    for class_id in np.unique(boxes.class_ids):
        rows = np.flatnonzero(boxes.class_ids == class_id)
        for first, second in zip(rows[0::2], rows[1::2], strict=False):
            ids[first], ids[second] = boxes.track_ids[second], boxes.track_ids[first]
    return dataclasses.replace(prediction, detections=dataclasses.replace(boxes, track_ids=ids))


def test_delayed_boxes_lose_what_moves(tables: NuScenes, truth: list[Prediction], tmp_path: Path) -> None:
    late = [
        dataclasses.replace(prediction, detections=truth[max(n - 1, n // 40 * 40)].detections)
        for n, prediction in enumerate(truth)
    ]
    found = _detection(tables, "mini_val", late, tmp_path)
    assert found["mAP"].value < 0.65
    assert found["mATE"].value > 0.35


def test_shifted_tracks_are_kept_and_delayed_ones_are_lost(
    tables: NuScenes, truth: list[Prediction], tmp_path: Path
) -> None:
    perfect = _tracking(tables, "mini_val", truth, tmp_path)
    shifted = _tracking(tables, "mini_val", [_shifted(prediction, 1.0) for prediction in truth], tmp_path)
    # Within 2 m a box is found: its distance shows in the precision, and neighbours may take each other's.
    assert shifted["car.AMOTA"].value > 0.9 * perfect["car.AMOTA"].value
    assert perfect["MOTP"].value == pytest.approx(0.0, abs=1e-3)
    assert shifted["MOTP"].value == pytest.approx(1.0, abs=0.05)
    far = _tracking(tables, "mini_val", [_shifted(prediction, 2.5) for prediction in truth], tmp_path)
    assert far["car.AMOTA"].value < 0.5 * perfect["car.AMOTA"].value
    late = [
        dataclasses.replace(prediction, detections=truth[max(n - 1, n // 40 * 40)].detections)
        for n, prediction in enumerate(truth)
    ]
    delayed = _tracking(tables, "mini_val", late, tmp_path)
    assert delayed["AMOTA"].value < perfect["AMOTA"].value
    assert delayed["FN"].value > perfect["FN"].value


def test_predictions_of_other_samples_are_refused(tables: NuScenes, truth: list[Prediction], tmp_path: Path) -> None:
    with pytest.raises(UserError, match="1 absent, 0 of other samples"):
        _detection(tables, "mini_val", truth[1:], tmp_path)
    with pytest.raises(UserError, match=r"splits\.json"):
        _tracking(tables, "no_such_split", truth, tmp_path)


def test_a_split_of_ones_own_and_predictions_without_boxes(tiny_dataroot: Path, tmp_path: Path) -> None:
    root = tmp_path / "data"
    shutil.copytree(tiny_dataroot, root)
    (root / "v1.0-mini" / "splits.json").write_text(json.dumps({"mine": ["tiny-0002"]}))
    nusc = open_tables(root, "v1.0-mini")
    truth = _truth(nusc, open_dataset(root, "v1.0-mini", "mine", keep_imageless=True, with_lidar=False))
    found = _detection(nusc, "mine", truth, tmp_path)
    assert found["car.AP"].value == pytest.approx(1.0, abs=1e-2)
    assert not found["bus.AP"].valid
    assert _tracking(nusc, "mine", truth, tmp_path)["car.AMOTA"].valid
    empty = [dataclasses.replace(p, detections=p.detections.first(0)) for p in truth]
    nothing = _detection(nusc, "mine", empty, tmp_path)
    assert (nothing["mAP"].value, nothing["mAP"].valid) == (0.0, True)
    assert not nothing["mATE"].valid
    assert (nothing["car.AP"].value, nothing["bus.AP"].valid) == (0.0, False)
    assert _tracking(nusc, "mine", empty, tmp_path)["AMOTA"].value == 0.0


def test_the_average_precision_of_missed_and_invented_boxes_of_a_generated_scene(
    tiny_dataroot: Path, tmp_path: Path
) -> None:
    root = tmp_path / "data"
    shutil.copytree(tiny_dataroot, root)
    (root / "v1.0-mini" / "splits.json").write_text(json.dumps({"mine": ["tiny-0002"]}))
    nusc = open_tables(root, "v1.0-mini")
    truth = _truth(nusc, open_dataset(root, "v1.0-mini", "mine", keep_imageless=True, with_lidar=False))
    half = [prediction if n % 2 else _first(prediction, 0) for n, prediction in enumerate(truth)]
    # Every second keyframe without boxes: precision 1 up to a recall of one half, of the recalls 0.11 to 1.
    assert _detection(nusc, "mine", half, tmp_path)["car.AP"].value == pytest.approx(40 / 90, abs=0.02)
    # For each box a more confident one across the ego, where there is nothing: precision r / (1 + r) at recall r.
    recalls = np.arange(0.11, 1.001, 0.01)
    doubled = [_doubled(prediction) for prediction in truth]
    found = _detection(nusc, "mine", doubled, tmp_path)
    assert found["car.AP"].value == pytest.approx(np.mean(np.maximum(recalls / (1 + recalls) - 0.1, 0)) / 0.9, abs=0.01)
    # Ids are nothing to detection.
    assert _detection(nusc, "mine", [_swapped(p) for p in truth], tmp_path) == _detection(nusc, "mine", truth, tmp_path)


def _first(prediction: Prediction, count: int) -> Prediction:
    return dataclasses.replace(prediction, detections=prediction.detections.first(count))


def _doubled(prediction: Prediction) -> Prediction:
    boxes = prediction.detections
    names = [field.name for field in dataclasses.fields(boxes)]
    twice = {name: np.repeat(getattr(boxes, name), 2, axis=0) for name in names}
    twice["centers"][1::2, :2] *= -1.0
    twice["scores"] = np.tile([0.5, 0.9], len(boxes))
    return dataclasses.replace(prediction, detections=Detections(**twice))


def test_a_split_without_annotations_has_nothing_to_measure(tiny_dataroot: Path, tmp_path: Path) -> None:
    root = tmp_path / "data"
    shutil.copytree(tiny_dataroot, root)
    (root / "v1.0-mini" / "splits.json").write_text(json.dumps({"mine": ["tiny-0001"]}))
    truth = _truth(open_tables(root, "v1.0-mini"), open_dataset(root, "v1.0-mini", "mine", keep_imageless=True))
    for table in ("sample_annotation", "instance"):
        (root / "v1.0-mini" / f"{table}.json").write_text("[]")
    nusc = open_tables(root, "v1.0-mini")
    for found in (_detection(nusc, "mine", truth, tmp_path), _tracking(nusc, "mine", truth, tmp_path)):
        assert found
        assert all(not measure.valid and measure.count == 0 for measure in found.values())
