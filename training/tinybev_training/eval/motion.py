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
from tinybev.runtime.decode.occupancy import VEHICLES
from tinybev.types import DETECTION_CLASSES, Detections, Trajectories
from tinybev_training.data.sample import AgentTargets
from tinybev_training.eval.measure import NOTHING, Measure, Measures, ratio

MOTION_CLASSES = {"car": VEHICLES, "pedestrian": ("pedestrian",)}
"""What UniAD merges the detection classes into."""
RANGE_M = {"car": 50.0, "pedestrian": 40.0}
MATCH_M = 2.0
HIT_M = 2.0
MISS_M = 2.0
ERRORS = ("minADE", "minFDE", "MR")
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
class MotionErrors:
    """What one sample adds to the figures: its P predicted boxes, the most confident one first.

    Attributes:
        scores: (P,).
        matched: (P,) whether the box has a match.
        has_future: (P,) whether its match is annotated at a later step.
        errors: (P, 3) ADE, FDE and miss of the match; 0 where its object is not annotated any more, NaN without one.
        hits: matches with an FDE below ``HIT_M``.
        annotated, continued: annotated boxes, and those that are annotated at a later step.
    """

    scores: Array
    matched: NDArray[np.bool_]
    has_future: NDArray[np.bool_]
    errors: Array
    hits: int
    annotated: int
    continued: int


@dataclass(frozen=True)
class _Match:
    """The errors of a matched box; 0 where its object is not annotated any more."""

    has_future: bool
    ade: float
    fde: float
    miss: float


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


def motion_errors(sample: MotionSample) -> MotionErrors:
    """Matches one sample's boxes; no sample has a say in another's matches."""
    order = np.argsort(-sample.scores, kind="stable")
    matches = _match(sample, order, lambda match: True)
    hits = _match(sample, order, lambda match: match.has_future and match.fde < HIT_M)
    return MotionErrors(
        scores=sample.scores[order],
        matched=np.array([match is not None for match in matches], dtype=np.bool_),
        has_future=np.array([match is not None and match.has_future for match in matches], dtype=np.bool_),
        errors=np.array(
            [(np.nan,) * 3 if match is None else (match.ade, match.fde, match.miss) for match in matches]
        ).reshape(-1, 3),
        hits=sum(match is not None for match in hits),
        annotated=len(sample.true_centers),
        continued=int(sample.true_valid.any(axis=1).sum()),
    )


def joined(samples: Sequence[MotionErrors]) -> MotionErrors:
    """The samples as one."""
    scores = np.concatenate([np.zeros(0), *(sample.scores for sample in samples)])
    order = np.argsort(-scores, kind="stable")
    none = np.zeros(0, dtype=np.bool_)
    return MotionErrors(
        scores[order],
        np.concatenate([none, *(sample.matched for sample in samples)])[order],
        np.concatenate([none, *(sample.has_future for sample in samples)])[order],
        np.concatenate([np.zeros((0, 3)), *(sample.errors for sample in samples)])[order],
        sum(sample.hits for sample in samples),
        sum(sample.annotated for sample in samples),
        sum(sample.continued for sample in samples),
    )


def motion_measures(samples: Sequence[MotionErrors]) -> Measures:
    """``minADE``, ``minFDE``, ``MR``, ``EPA`` and ``with_future.minADE`` … of one class.

    The count of an error is that of its matches, that of EPA that of the annotated boxes.
    """
    every = joined(samples)
    false_positives = int((~every.matched).sum())
    counted = ~every.matched | every.has_future
    epa = ratio(every.hits - FALSE_POSITIVE_WEIGHT * false_positives, every.annotated if every.continued else 0)
    # Errors that are all 0 because not one match has a future would be no figure.
    annotated = every.annotated if every.has_future.any() else 0
    return {
        **_averages("", every.scores, every.matched, every.errors, annotated),
        "EPA": epa,
        **_averages(
            "with_future.", every.scores[counted], every.matched[counted], every.errors[counted], every.continued
        ),
    }


def _within(boxes: Detections, class_ids: Sequence[int], distance_m: float) -> NDArray[np.bool_]:
    near = np.linalg.norm(boxes.centers[:, :2], axis=1) < distance_m
    return np.asarray(near & np.isin(boxes.class_ids, class_ids))


def _match(sample: MotionSample, order: NDArray[np.intp], accept: Callable[[_Match], bool]) -> list[_Match | None]:
    """The matches that are accepted, of the predicted boxes in the given order."""
    free = np.ones(len(sample.true_centers), dtype=np.bool_)
    matches: list[_Match | None] = []
    for row in order:
        match = None
        distances = np.linalg.norm(sample.true_centers - sample.centers[row], axis=1)
        distances[~free] = np.inf
        if len(distances) and distances.min() < MATCH_M:
            nearest = int(distances.argmin())
            match = _compare(sample.futures[row], sample.true_futures[nearest], sample.true_valid[nearest])
            match = match if accept(match) else None
            free[nearest] = match is None
        matches.append(match)
    return matches


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


def _averages(prefix: str, scores: Array, matched: NDArray[np.bool_], errors: Array, annotated: int) -> Measures:
    """The three errors, averaged over recall, of boxes in order of confidence."""
    if not matched.any() or not annotated:
        return {prefix + name: NOTHING for name in ERRORS}
    recall = np.cumsum(matched) / annotated
    score_at_recall = np.interp(np.linspace(0, 1, RECALL_POINTS), recall, scores, right=0)
    reached = int(np.flatnonzero(score_at_recall).max(initial=0))
    points = score_at_recall[FIRST_RECALL_POINT : reached + 1]
    count = int(matched.sum())
    means = np.cumsum(errors[matched], axis=0) / np.arange(1, count + 1)[:, None]
    measures: Measures = {}
    for column, name in enumerate(ERRORS):
        along = np.interp(points[::-1], scores[matched][::-1], means[::-1, column])
        measures[prefix + name] = Measure(float(along.mean()) if len(points) else math.nan, count)
    return measures
