"""What ranks the samples in the report, on boxes whose answers are known."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from tinybev_training.eval.detection_rings import detection_rings
from tinybev_training.eval.evaluate import SampleScores
from tinybev_training.eval.measure import Measure
from tinybev_training.eval.ranking import DETECTION, RANKINGS, TRACKING, ranked_cases
from tinybev_training.eval.sample_boxes import SampleBoxes, accuracies, f1, sample_boxes

from tinybev.types import DETECTION_CLASSES, Detections

CAR, CONE = DETECTION_CLASSES.index("car"), DETECTION_CLASSES.index("traffic_cone")


def row_of(count: int, class_id: int = CAR) -> Detections:
    """Objects 5 m apart, with the track ids 1, 2 …"""
    centers = np.stack([np.zeros(count), 5.0 * np.arange(count), np.zeros(count)], axis=1)
    return Detections(
        centers,
        np.tile([4.0, 2.0, 1.5], (count, 1)),
        np.zeros(count),
        np.zeros((count, 2)),
        np.linspace(0.9, 0.5, count),
        np.full(count, class_id),
        np.full(count, -1),
        np.arange(1, count + 1),
    )


def compared(predicted: Detections, truth: Detections) -> SampleBoxes:
    return sample_boxes(predicted, truth, np.ones(len(truth), dtype=np.bool_), 0.3)


def moved(boxes: Detections, metres: float) -> Detections:
    return dataclasses.replace(boxes, centers=boxes.centers + np.array([metres, 0.0, 0.0]))


def test_the_truth_shifted_truth_and_half_of_it() -> None:
    truth = row_of(4)
    for metres, value in ((0.0, 1.0), (1.0, 1.0), (2.5, 0.0)):
        assert f1(compared(moved(truth, metres), truth)) == Measure(value, 4 if value else 8)
    assert f1(compared(truth.first(2), truth)) == Measure(pytest.approx(2 / 3), 4)
    other_class = dataclasses.replace(truth, class_ids=np.full(4, CONE))
    assert f1(compared(other_class, truth)) == Measure(0.0, 8)
    doubtful = dataclasses.replace(truth, scores=np.full(4, 0.2))
    assert compared(doubtful, truth).found == 0


def test_what_nothing_has_met_and_what_is_far_off_does_not_count() -> None:
    truth = row_of(4)
    met = np.array([True, True, False, False])
    assert sample_boxes(truth.first(2), truth, met, 0.3) == SampleBoxes(2, 0, 0, ((1, 1), (2, 2)), 0, 0)
    assert not f1(compared(moved(truth, 60.0), moved(truth, 60.0))).count
    assert not f1(compared(truth.first(0), truth.first(0))).valid


def test_two_ids_exchanged_cost_two_changes_once() -> None:
    truth = row_of(4)
    swapped = dataclasses.replace(truth, track_ids=np.array([2, 1, 3, 4]))
    scene = [compared(boxes, truth) for boxes in (truth, swapped, swapped)]
    assert [each.value for each in accuracies(scene)] == pytest.approx([1.0, 1 - 2 / 4, 1.0])
    assert [f1(each).value for each in scene] == [1.0, 1.0, 1.0]


def test_missed_and_invented_tracks() -> None:
    truth = row_of(4)
    (missed,) = accuracies([compared(truth.first(3), truth)])
    assert missed == Measure(0.75, 4)
    (invented,) = accuracies([compared(truth, truth.first(1))])
    assert invented == Measure(1 - 3 / 1, 1)
    cones = row_of(4, CONE)
    assert not accuracies([compared(cones, cones)])[0].valid  # cones are not tracked
    untracked = dataclasses.replace(truth, track_ids=np.zeros(4, dtype=np.int64))
    assert accuracies([compared(untracked, truth)])[0].value == 0.0


def test_samples_are_ranked_scene_by_scene_from_best_to_worst() -> None:
    truth = row_of(4)
    swapped = dataclasses.replace(truth, track_ids=np.array([2, 1, 3, 4]))
    shown = [("a", truth), ("a", swapped), ("b", swapped), ("b", truth.first(1)), ("b", truth.first(0))]
    known = (np.full(len(truth), 4), np.ones(len(truth), dtype=np.bool_))
    scores = [
        SampleScores(scene, None, None, None, None, None, compared(boxes, truth), detection_rings(boxes, truth, *known))
        for scene, boxes in shown
    ]
    ranked = ranked_cases(scores)
    assert list(ranked) == list(RANKINGS)
    assert [case.index for case in ranked[DETECTION]] == [0, 1, 2, 3, 4]
    # A new scene remembers no ids of the one before it; its last sample finds nothing.
    tracking = {case.index: case.value for case in ranked[TRACKING]}
    assert tracking == pytest.approx({0: 1.0, 1: 0.5, 2: 1.0, 3: 1 - (3 + 1) / 4, 4: 0.0})
    assert all(not cases for ranking, cases in ranked.items() if ranking.metric is not None)
