"""Motion forecasting by UniAD's definitions: minADE, minFDE, miss rate and EPA of detected agents.

Classes are merged: ``car`` is every vehicle, two-wheelers included, and ``pedestrian``. Predicted boxes, the most
confident one first, take the nearest free annotated box of their class in their sample; nearer than 2 m is a match.

* A match's errors are those of its best mode, each error with a best mode of its own: ADE is the mean distance over the
  annotated steps, FDE that at the last of them, a miss is a largest distance above 2 m.
* As with nuScenes' errors of true positives, an error is averaged over recall: at each percent of recall, the mean over
  the matches up to its confidence; these are averaged from 11 % to the recall that is reached.
* EPA = (hits - 0.5 * false positives) / annotated boxes, where a hit is a match with an FDE below 2 m, and a false
  positive a box without a match. A match that is no hit leaves its annotated box to others.

Annotated boxes count up to 50 m (pedestrians: 40 m) where lidar or radar has met them, predicted ones up to the same
distance. UniAD gives a match whose object is not annotated any more the errors 0; ``with_future`` leaves those out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tinybev.geometry import Array
from tinybev.types import DETECTION_CLASSES, Detections, Trajectories
from tinybev_training.data.occupancy import OCCUPYING_CLASSES
from tinybev_training.data.sample import AgentTargets
from tinybev_training.eval.measure import NOTHING, Measure, Measures, ratio

MOTION_CLASSES = {"car": OCCUPYING_CLASSES, "pedestrian": ("pedestrian",)}
"""What UniAD merges the detection classes into."""
RANGE_M = {"car": 50.0, "pedestrian": 40.0}
MATCH_M = 2.0
HIT_M = 2.0
MISS_M = 2.0
FALSE_POSITIVE_WEIGHT = 0.5
RECALL_POINTS = 101
FIRST_RECALL_POINT = 11
"""nuScenes leaves out the errors up to 10 % recall."""


@dataclass(frozen=True)
class MotionSample:
    """One sample's agents of one class.

    Attributes:
        centers: (N, 2) of the predicted boxes.
        scores: (N,) of the boxes.
        futures: (N, K, T, 2) of K modes.
        true_centers: (M, 2) of the annotated boxes.
        true_futures: (M, T, 2).
        true_valid: (M, T) whether the agent is annotated then.
    """

    centers: Array
    scores: Array
    futures: Array
    true_centers: Array
    true_futures: Array
    true_valid: NDArray[np.bool_]


@dataclass(frozen=True)
class _Match:
    """The errors of a matched box; 0 where its object is not annotated any more."""

    has_future: bool
    ade: float
    fde: float
    miss: float


@dataclass(frozen=True)
class _Box:
    """A predicted box: its score, and its match where it has one."""

    score: float
    match: _Match | None


def motion_sample(
    name: str,
    detections: Detections,
    trajectories: Trajectories,
    truth: AgentTargets,
    observed: NDArray[np.bool_],
    threshold: float,
) -> MotionSample:
    """The agents of the class ``name`` of ``MOTION_CLASSES`` that count; ``observed`` (M,) by lidar or radar.

    Predicted boxes below the score ``threshold`` are left out: EPA punishes every box that is submitted.
    """
    ids = [DETECTION_CLASSES.index(each) for each in MOTION_CLASSES[name]]
    ours = _within(detections, ids, RANGE_M[name]) & (detections.scores >= threshold)
    theirs = _within(truth.boxes, ids, RANGE_M[name]) & observed
    steps = min(trajectories.positions.shape[2], truth.futures.shape[1])
    return MotionSample(
        np.asarray(detections.centers[ours, :2], dtype=np.float64),
        np.asarray(detections.scores[ours], dtype=np.float64),
        np.asarray(trajectories.positions[ours][:, :, :steps], dtype=np.float64),
        np.asarray(truth.boxes.centers[theirs, :2], dtype=np.float64),
        np.asarray(truth.futures[theirs, :steps], dtype=np.float64),
        truth.futures_valid[theirs, :steps],
    )


def motion_measures(samples: Sequence[MotionSample]) -> Measures:
    """``minADE``, ``minFDE``, ``MR``, ``EPA`` and ``with_future.minADE`` … of one class.

    The count of an error is that of its matches, that of EPA that of the annotated boxes.
    """
    annotated = sum(len(sample.true_centers) for sample in samples)
    continued = sum(int(sample.true_valid.any(axis=1).sum()) for sample in samples)
    boxes = _match(samples, lambda match: True)
    false_positives = sum(box.match is None for box in boxes)
    hits = sum(box.match is not None for box in _match(samples, lambda match: match.has_future and match.fde < HIT_M))
    return {
        **_errors("", boxes, annotated),
        "EPA": ratio(hits - FALSE_POSITIVE_WEIGHT * false_positives, annotated),
        **_errors("with_future.", [box for box in boxes if box.match is None or box.match.has_future], continued),
    }


def _within(boxes: Detections, class_ids: Sequence[int], distance_m: float) -> NDArray[np.bool_]:
    near = np.linalg.norm(boxes.centers[:, :2], axis=1) < distance_m
    return np.asarray(near & np.isin(boxes.class_ids, class_ids))


def _match(samples: Sequence[MotionSample], accept: Callable[[_Match], bool]) -> list[_Box]:
    """The predicted boxes, the most confident one first, with the matches that are accepted."""
    order = sorted(
        ((float(score), number, row) for number, one in enumerate(samples) for row, score in enumerate(one.scores)),
        reverse=True,
    )
    free = [np.ones(len(sample.true_centers), dtype=np.bool_) for sample in samples]
    boxes = []
    for score, number, row in order:
        sample, match = samples[number], None
        distances = np.linalg.norm(sample.true_centers - sample.centers[row], axis=1)
        distances[~free[number]] = np.inf
        if len(distances) and distances.min() < MATCH_M:
            nearest = int(distances.argmin())
            match = _compare(sample.futures[row], sample.true_futures[nearest], sample.true_valid[nearest])
            match = match if accept(match) else None
            free[number][nearest] = match is None
        boxes.append(_Box(score, match))
    return boxes


def _compare(futures: Array, true_future: Array, valid: NDArray[np.bool_]) -> _Match:
    """One box's modes (K, T, 2) against the annotated future (T, 2)."""
    if not valid.any():
        return _Match(False, 0.0, 0.0, 0.0)
    distances = np.linalg.norm(futures - true_future, axis=2)[:, valid]
    return _Match(
        True,
        float(distances.mean(axis=1).min()),
        float(distances[:, -1].min()),
        float(distances.max(axis=1).min() > MISS_M),
    )


def _errors(prefix: str, boxes: Sequence[_Box], annotated: int) -> Measures:
    """The three errors, averaged over recall, of boxes in order of confidence."""
    matched = [(box.score, box.match) for box in boxes if box.match is not None]
    if not matched or not annotated:
        return {prefix + name: NOTHING for name in ("minADE", "minFDE", "MR")}
    recall = np.cumsum([box.match is not None for box in boxes]) / annotated
    score_at_recall = np.interp(np.linspace(0, 1, RECALL_POINTS), recall, [box.score for box in boxes], right=0)
    reached = int(np.flatnonzero(score_at_recall).max(initial=0))
    points = score_at_recall[FIRST_RECALL_POINT : reached + 1]
    scores = np.array([score for score, _ in matched])
    measures: Measures = {}
    for name, errors in (
        ("minADE", [match.ade for _, match in matched]),
        ("minFDE", [match.fde for _, match in matched]),
        ("MR", [match.miss for _, match in matched]),
    ):
        means = np.cumsum(errors) / np.arange(1, len(errors) + 1)
        value = float(np.interp(points[::-1], scores[::-1], means[::-1]).mean()) if len(points) else math.nan
        measures[prefix + name] = Measure(value, len(matched))
    return measures
