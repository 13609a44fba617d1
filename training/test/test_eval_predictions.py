"""Predictions survive the way to the official format and to disk and back."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nuscenes.eval.common.config import config_factory
from nuscenes.eval.detection.data_classes import DetectionBox
from nuscenes.eval.tracking.data_classes import TrackingBox
from tinybev_training.eval.prediction_files import (
    DETECTIONS_FILE,
    SAMPLES_FOLDER,
    TRACKS_FILE,
    SavedPredictions,
    save_predictions,
)
from tinybev_training.eval.predictions import MapMasks, Prediction, without_output
from tinybev_training.eval.submission import (
    detection_boxes,
    detections_from_boxes,
    open_submission,
    read_submission,
    tracking_boxes,
)

from tinybev.errors import UserError
from tinybev.geometry import BevGrid, quaternion_from_yaw, transform_from, wrap_angle
from tinybev.types import DETECTION_CLASSES, Command, Detections, Goal, Occupancy, Plan, Trajectories

GRID = BevGrid((-4.0, 4.0, 1.0), (-2.0, 2.0, 0.5))
POSE = transform_from(quaternion_from_yaw(np.pi / 2), (100.0, 200.0, 1.0))


def boxes(count: int, seed: int = 0) -> Detections:
    """Random boxes; every second one is tracked."""
    rng = np.random.default_rng(seed)
    return Detections(
        centers=rng.uniform(-40, 40, (count, 3)),
        sizes=rng.uniform(0.5, 10, (count, 3)),
        yaws=rng.uniform(-3, 3, count),
        velocities=rng.uniform(-10, 10, (count, 2)),
        scores=rng.uniform(0, 1, count),
        class_ids=rng.integers(0, len(DETECTION_CLASSES), count),
        attribute_ids=rng.integers(-1, 8, count),
        track_ids=np.arange(count) % 2 * np.arange(1, count + 1),
    )


def full_prediction(token: str = "a" * 32) -> Prediction:
    """A prediction with every task."""
    rng = np.random.default_rng(1)
    detections = boxes(3)
    return Prediction(
        token,
        POSE,
        detections,
        Trajectories(
            rng.normal(size=(3, 6, 12, 2)),
            rng.uniform(size=(3, 6, 12, 2)),
            np.full((3, 6), 1 / 6),
            detections.track_ids,
            detections.class_ids,
            0.5,
        ),
        MapMasks(rng.uniform(size=(4, *GRID.shape)), GRID),
        Occupancy(rng.uniform(size=(5, *GRID.shape)), rng.integers(0, 4, (5, *GRID.shape)), GRID, 0.5),
        Plan(
            rng.normal(size=(6, 2)),
            rng.normal(size=6),
            rng.uniform(size=6),
            rng.normal(size=(6, 2)),
            Goal(Command.LEFT, (3.0, 4.0)),
            0.5,
        ),
    )


def assert_same_boxes(found: Detections, expected: Detections) -> None:
    np.testing.assert_allclose(found.centers, expected.centers, atol=1e-9)
    np.testing.assert_allclose(found.sizes, expected.sizes, atol=1e-12)
    np.testing.assert_allclose(wrap_angle(found.yaws - expected.yaws), 0, atol=1e-9)
    np.testing.assert_allclose(found.velocities, expected.velocities, atol=1e-9)
    np.testing.assert_array_equal(found.scores, expected.scores)
    np.testing.assert_array_equal(found.class_ids, expected.class_ids)


def test_a_box_ahead_of_an_ego_that_faces_north_is_north_of_it() -> None:
    one = Detections(
        np.array([[10.0, 1.0, 0.5]]),
        np.array([[4.0, 2.0, 1.5]]),
        np.array([0.0]),
        np.array([[3.0, 0.0]]),
        np.array([0.9]),
        np.array([0]),
        np.array([5]),
        np.array([7]),
    )
    (box,) = detection_boxes(Prediction("t", POSE, one))
    np.testing.assert_allclose(box["translation"], [99.0, 210.0, 1.5])
    assert box["size"] == [2.0, 4.0, 1.5]
    np.testing.assert_allclose(box["rotation"], [np.sqrt(0.5), 0, 0, np.sqrt(0.5)])  # w first
    np.testing.assert_allclose(box["velocity"], [0.0, 3.0], atol=1e-12)
    assert (box["detection_name"], box["attribute_name"]) == ("car", "vehicle.moving")
    (track,) = tracking_boxes(Prediction("t", POSE, one))
    assert (track["tracking_id"], track["tracking_name"], track["tracking_score"]) == ("7", "car", 0.9)


@settings(max_examples=25)
@given(
    yaw=st.floats(-3.1, 3.1),
    x=st.floats(-1e4, 1e4),
    y=st.floats(-1e4, 1e4),
    seed=st.integers(0, 2**16),
    count=st.integers(0, 20),
)
def test_boxes_come_back_from_the_global_frame(yaw: float, x: float, y: float, seed: int, count: int) -> None:
    pose = transform_from(quaternion_from_yaw(yaw), (x, y, 2.0))
    expected = boxes(count, seed)
    found = detections_from_boxes(detection_boxes(Prediction("t", pose, expected)), pose)
    assert_same_boxes(found, expected)
    np.testing.assert_array_equal(found.attribute_ids, expected.attribute_ids)


def test_the_devkit_reads_the_boxes() -> None:
    prediction = full_prediction()
    for box in json.loads(json.dumps(detection_boxes(prediction))):
        assert DetectionBox.deserialize(box).sample_token == prediction.token
    config_factory("tracking_nips_2019")  # the devkit learns the classes of its tracking boxes from it
    tracked = tracking_boxes(Prediction("t", POSE, boxes(40)))
    assert 0 < len(tracked) < 20  # untracked ones, cones, barriers and construction vehicles are left out
    for box in json.loads(json.dumps(tracked)):
        assert TrackingBox.deserialize(box).tracking_name == box["tracking_name"]


def test_a_folder_of_predictions_reads_back(tmp_path: Path) -> None:
    full, empty = full_prediction("b" * 32), without_output("c" * 32, POSE)
    save_predictions(tmp_path, [full, empty])
    loaded = SavedPredictions(tmp_path)
    assert loaded.tokens == (full.token, empty.token)
    found = loaded.load(full.token)
    assert_same_boxes(found.detections, full.detections)
    np.testing.assert_array_equal(found.detections.track_ids, full.detections.track_ids)
    assert found.trajectories is not None
    assert full.trajectories is not None
    np.testing.assert_array_equal(found.trajectories.positions, full.trajectories.positions)
    np.testing.assert_array_equal(found.trajectories.track_ids, full.trajectories.track_ids)
    assert found.map is not None
    assert full.map is not None
    assert found.map.grid == GRID
    np.testing.assert_array_equal(found.map.probability, full.map.probability)
    assert found.occupancy is not None
    assert full.occupancy is not None
    np.testing.assert_array_equal(found.occupancy.instances, full.occupancy.instances)
    assert found.plan is not None
    assert full.plan is not None
    assert found.plan.goal == full.plan.goal
    np.testing.assert_array_equal(found.plan.raw_positions, full.plan.raw_positions)
    assert len(loaded.load(empty.token).detections) == 0
    assert loaded.load(empty.token).plan is None
    assert set(read_submission(tmp_path / TRACKS_FILE)) == set(loaded.tokens)
    assert not list(tmp_path.rglob("*.partial"))


def test_damaged_files_are_refused_with_a_sentence(tmp_path: Path) -> None:
    full = full_prediction()
    save_predictions(tmp_path, [full])
    companion = tmp_path / SAMPLES_FOLDER / f"{full.token}.npz"
    companion.write_bytes(companion.read_bytes()[:100])
    with pytest.raises(UserError, match=r"npz cannot be read .*predict again"):
        SavedPredictions(tmp_path).load(full.token)
    (tmp_path / DETECTIONS_FILE).write_text("[]")
    with pytest.raises(UserError, match="expected a nuScenes result file"):
        SavedPredictions(tmp_path)


def test_a_box_without_its_fields_is_refused() -> None:
    (box,) = detection_boxes(Prediction("t", POSE, boxes(1)))
    for name in ("size", "rotation", "detection_name"):
        damaged = {key: value for key, value in box.items() if key != name}
        with pytest.raises(UserError, match="expected boxes of nuScenes' result format in sample 't'"):
            detections_from_boxes([damaged], POSE)
    with pytest.raises(UserError, match="finite"):
        detections_from_boxes([{**box, "detection_score": float("nan")}], POSE)


def test_predictions_that_cannot_be_written_leave_nothing(tmp_path: Path) -> None:
    target = tmp_path / "file"
    target.write_text("no folder")
    with pytest.raises(UserError, match="cannot be written"):
        save_predictions(target, [full_prediction()])
    assert target.read_text() == "no folder"


def test_a_submission_written_sample_by_sample_is_whole_or_not_there(tmp_path: Path) -> None:
    path = tmp_path / "new" / "detections.json"
    expected = {token: detection_boxes(Prediction(token, POSE, boxes(count))) for token, count in (("a", 3), ("b", 0))}
    with open_submission(path) as add:
        for token, found in expected.items():
            add(token, found)
        assert not path.exists()
    assert read_submission(path) == expected

    def interrupted() -> None:
        with open_submission(path) as add:
            add("c", [])
            (tmp_path / "absent").read_bytes()

    with pytest.raises(FileNotFoundError):  # not taken for an error of this file
        interrupted()
    assert read_submission(path) == expected
    assert [each.name for each in path.parent.iterdir()] == ["detections.json"]
    with open_submission(path):
        pass
    assert read_submission(path) == {}
