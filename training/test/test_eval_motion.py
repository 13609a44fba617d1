"""Motion metrics on agents whose answers are known, on damaged truth, and beside the devkit's averaging."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from nuscenes.eval.common.data_classes import EvalBoxes
from nuscenes.eval.common.utils import center_distance
from nuscenes.eval.detection.algo import accumulate, calc_tp
from nuscenes.eval.detection.data_classes import DetectionBox
from tinybev_training.data.dataset import open_dataset
from tinybev_training.data.tables import open_tables
from tinybev_training.eval.ground_truth import annotated, ground_truth
from tinybev_training.eval.measure import Measures
from tinybev_training.eval.motion import MotionSample, motion_errors, motion_measures, motion_sample

SPEED_MPS = 5.0
STEPS = 12


def agents(count: int = 20, distance_m: float = 10.0) -> MotionSample:
    """Agents side by side that drive forward, predicted by one mode without an error."""
    centers = np.stack([np.zeros(count), distance_m * np.arange(count)], axis=1)
    along = SPEED_MPS * 0.5 * np.arange(1, STEPS + 1)
    futures = centers[:, None] + np.stack([along, np.zeros(STEPS)], axis=1)
    valid = np.ones((count, STEPS), dtype=np.bool_)
    return MotionSample(centers, np.linspace(0.9, 0.5, count), futures[:, None], centers, futures, valid)


def measured(samples: list[MotionSample]) -> Measures:
    return motion_measures([motion_errors(sample) for sample in samples])


def values(sample: MotionSample) -> dict[str, float]:
    return {name: measure.value for name, measure in measured([sample]).items()}


def test_the_truth_has_no_error() -> None:
    found = measured([agents(), agents()])
    assert {name: found[name].value for name in ("minADE", "minFDE", "MR", "EPA")} == {
        "minADE": 0.0,
        "minFDE": 0.0,
        "MR": 0.0,
        "EPA": 1.0,
    }
    assert {measure.count for measure in found.values()} == {40}


def test_shifted_by_a_metre() -> None:
    sample = agents()
    found = values(dataclasses.replace(sample, futures=sample.futures + np.array([0.6, 0.8])))
    assert [found["minADE"], found["minFDE"]] == pytest.approx([1.0, 1.0])
    assert (found["MR"], found["EPA"]) == (0.0, 1.0)


def test_delayed_by_a_step() -> None:
    sample = agents()
    late = np.concatenate([sample.centers[:, None, None], sample.futures[:, :, :-1]], axis=2)
    found = values(dataclasses.replace(sample, futures=late))
    assert [found["minADE"], found["minFDE"]] == pytest.approx([2.5, 2.5])
    assert (found["MR"], found["EPA"]) == (1.0, 0.0)


def test_the_futures_of_two_agents_exchanged() -> None:
    sample = agents()
    swapped = sample.futures.copy()
    swapped[[0, 1]] = swapped[[1, 0]]
    found = measured([dataclasses.replace(sample, futures=swapped)])
    assert found["EPA"].value == pytest.approx(18 / 20)
    # The two most confident matches are wrong by 10 m: the mean over n matches is 20 / n, averaged over recall.
    recalls = np.linspace(0, 1, 101)[11:]
    means = np.interp(recalls * 20, np.arange(1, 21), [20 / max(n, 2) for n in range(1, 21)])
    assert found["minADE"].value == pytest.approx(means.mean())
    assert found["MR"].value == pytest.approx(means.mean() / 10)


def test_each_error_has_its_own_best_mode() -> None:
    sample = agents(1)
    near_in_the_mean = sample.futures + np.array([0.0, 1.0])
    right_at_the_end = sample.futures + np.stack([np.zeros(STEPS), [*[3.0] * 11, 0.0]], axis=1)
    found = values(dataclasses.replace(sample, futures=np.concatenate([near_in_the_mean, right_at_the_end], axis=1)))
    assert (found["minADE"], found["minFDE"], found["MR"]) == (pytest.approx(1.0), 0.0, 0.0)


def test_only_annotated_steps_count() -> None:
    sample = agents()
    wrong_later = sample.futures.copy()
    wrong_later[:, :, 6:] += 100.0
    valid = sample.true_valid.copy()
    valid[:, 6:] = False
    found = values(dataclasses.replace(sample, futures=wrong_later, true_valid=valid))
    assert (found["minADE"], found["minFDE"], found["MR"], found["EPA"]) == (0.0, 0.0, 0.0, 1.0)


def test_agents_without_a_future() -> None:
    sample = agents()
    valid = sample.true_valid.copy()
    valid[10:] = False
    found = measured([dataclasses.replace(sample, futures=sample.futures + np.array([1.0, 0.0]), true_valid=valid)])
    assert found["minADE"].count == 20
    assert found["minADE"].value < 0.9  # UniAD's: those without one count as 0
    assert (found["with_future.minADE"].value, found["with_future.minADE"].count) == (pytest.approx(1.0), 10)
    assert found["EPA"].value == pytest.approx(10 / 20)
    none = measured([dataclasses.replace(sample, true_valid=np.zeros_like(valid))])
    for name in ("minADE", "minFDE", "MR", "EPA", "with_future.minADE"):
        assert not none[name].valid  # not 0, though UniAD's errors of every match are
    assert none["with_future.minADE"].count == 0


def test_false_positives_cost_half() -> None:
    sample = agents()
    extra = dataclasses.replace(
        sample,
        centers=np.concatenate([sample.centers, sample.centers[:4] - np.array([30.0, 0.0])]),
        scores=np.concatenate([sample.scores, np.full(4, 0.95)]),
        futures=np.concatenate([sample.futures, sample.futures[:4]]),
    )
    assert values(extra)["EPA"] == pytest.approx((20 - 0.5 * 4) / 20)


def test_boxes_two_metres_off_are_no_match() -> None:
    sample = agents()
    for offset, matched in ((1.99, True), (2.01, False)):
        found = measured([dataclasses.replace(sample, centers=sample.centers + np.array([offset, 0.0]))])
        assert found["minADE"].valid == matched
        assert found["EPA"].value == pytest.approx(1.0 if matched else -0.5)


def test_nothing_to_measure() -> None:
    assert all(not measure.valid and measure.count == 0 for measure in measured([]).values())
    few = agents()
    one = dataclasses.replace(few, centers=few.centers[:1], scores=few.scores[:1], futures=few.futures[:1])
    found = measured([one])  # 5 % recall: nothing to average
    assert not found["minADE"].valid
    assert found["minADE"].count == 1


def test_the_average_over_recall_is_the_devkits() -> None:
    """With constant futures the ADE is the distance of the centres, which the devkit averages as translation error."""
    rng = np.random.default_rng(3)
    samples, ours, theirs = [], EvalBoxes(), EvalBoxes()
    for number in range(15):
        true_centers = np.stack([12.0 * np.arange(5), rng.uniform(-30, 30, 5)], axis=1)
        offsets = rng.normal(scale=0.9, size=(7, 2))
        centers = np.concatenate([true_centers + offsets[:5], [[-20.0, 0.0], [-30.0, 0.0]]])
        scores = rng.uniform(0.1, 1.0, 7)
        samples.append(
            MotionSample(
                centers,
                scores,
                np.repeat(centers[:, None, None], STEPS, axis=2),
                true_centers,
                np.repeat(true_centers[:, None], STEPS, axis=1),
                np.ones((5, STEPS), dtype=np.bool_),
            )
        )
        token = str(number)
        ours.add_boxes(token, [_box(token, *row, float(score)) for row, score in zip(centers, scores, strict=True)])
        theirs.add_boxes(token, [_box(token, *row, -1.0) for row in true_centers])
    data = accumulate(theirs, ours, "car", center_distance, 2.0)
    assert measured(samples)["minADE"].value == pytest.approx(calc_tp(data, 0.1, "trans_err"))


def _box(token: str, x: float, y: float, score: float) -> DetectionBox:
    return DetectionBox(
        token, (x, y, 0.0), (2.0, 4.0, 1.5), (1.0, 0, 0, 0), (0.0, 0.0), detection_name="car", detection_score=score
    )


def test_the_truth_of_mini_val(nuscenes_dataroot: Path) -> None:
    nusc = open_tables(nuscenes_dataroot, "v1.0-mini")
    dataset = open_dataset(nuscenes_dataroot, "v1.0-mini", "mini_val", keep_imageless=True, with_lidar=False)
    for name in ("car", "pedestrian"):
        samples = []
        for index in range(0, 81, 4):
            sample = dataset[index]
            known = annotated(nusc, sample)
            truth = ground_truth(sample, known)
            assert truth.trajectories is not None
            samples.append(
                motion_sample(name, truth.detections, truth.trajectories, sample.agents, known.observed, 0.3)
            )
        found = measured(samples)
        assert [found[key].value for key in ("minADE", "minFDE", "MR")] == pytest.approx([0, 0, 0], abs=1e-5)
        assert 0.5 < found["EPA"].value < 1.0  # an agent whose annotation ends is never a hit
        assert found["with_future.minADE"].count < found["minADE"].count
