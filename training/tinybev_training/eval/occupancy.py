"""Occupancy: IoU and video panoptic quality, near (30 m by 30 m) and far (100 m by 100 m), as in UniAD.

Each is summed over the five steps (now to 2 s) of all samples whose recording goes on that far.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray

from tinybev.geometry import BevGrid
from tinybev.types import Floats, Ints, Occupancy
from tinybev_training.data.sample import OccupancyTargets
from tinybev_training.eval.measure import NOTHING, Measure, Measures, ratio
from tinybev_training.eval.resample import resample

NEAR_M, FAR_M = 15.0, 50.0
"""Half the side of the two squares about the ego."""
REGIONS = {"near": NEAR_M, "far": FAR_M}
MATCH_IOU = 0.5
"""Two segments are the same object where their IoU is above."""


@dataclass(frozen=True)
class OccupancyScore:
    """One sample in one region.

    Attributes:
        intersection, union: occupied cells in both, in either, over all steps.
        matched_iou: sum of the IoU of the matched segments.
        matched, false_positives, false_negatives: segments, over all steps.
    """

    intersection: int
    union: int
    matched_iou: float
    matched: int
    false_positives: int
    false_negatives: int


@dataclass(frozen=True)
class SampleOccupancy:
    """One sample, near and far."""

    near: OccupancyScore
    far: OccupancyScore


def occupancy_score(predicted: Occupancy, truth: OccupancyTargets, threshold: float) -> SampleOccupancy | None:
    """Compares on the truth's grid; None where a step of the truth is not annotated, as UniAD skips such samples.

    Args:
        predicted: of at least the truth's steps.
        truth: the ids per cell.
        threshold: from this probability on a cell is occupied.
    """
    if not truth.valid.all():
        return None
    steps = len(truth.instances)
    probability = cast(Floats, resample(np.asarray(predicted.probability[:steps]), predicted.grid, truth.grid))
    instances = cast(Ints, resample(np.asarray(predicted.instances[:steps]), predicted.grid, truth.grid))
    near, far = (
        _score((probability >= threshold)[region], instances[region], truth.instances[region])
        for region in (_region(truth.grid, half_side) for half_side in (NEAR_M, FAR_M))
    )
    return SampleOccupancy(near, far)


def occupancy_measures(samples: Sequence[SampleOccupancy]) -> Measures:
    """``IoU_near``, ``IoU_far``, ``VPQ_near``, ``VPQ_far``; counts are cells of the union, and segments in all."""
    measures: Measures = {}
    for name in REGIONS:
        scores: list[OccupancyScore] = [getattr(sample, name) for sample in samples]
        matched = sum(score.matched for score in scores)
        wrong = sum(score.false_positives + score.false_negatives for score in scores)
        quality = sum(score.matched_iou for score in scores)
        union = sum(score.union for score in scores)
        measures[f"IoU_{name}"] = ratio(sum(score.intersection for score in scores), union)
        segments = matched + wrong
        measures[f"VPQ_{name}"] = Measure(quality / (matched + wrong / 2), segments) if segments else NOTHING
    return measures


def _region(grid: BevGrid, half_side: float) -> tuple[slice, slice, slice]:
    """The cells whose centre is in the square, as an index into (T, X, Y)."""
    rows, columns = (np.flatnonzero(np.abs(centers) <= half_side) for centers in grid.cell_centers())
    return slice(None), slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


def _score(occupied: NDArray[np.bool_], predicted: Ints, truth: Ints) -> OccupancyScore:
    taken = truth > 0
    matched_iou, matched, false_positives, false_negatives = 0.0, 0, 0, 0
    partner: dict[int, int] = {}  # the truth's id -> the predicted id that it had last
    for predicted_XY, truth_XY in zip(predicted, truth, strict=True):
        pairs = _same_segments(predicted_XY, truth_XY)
        false_positives += _segments(predicted_XY) - len(pairs)
        false_negatives += _segments(truth_XY) - len(pairs)
        for truth_id, predicted_id, iou in pairs:
            if partner.get(truth_id, predicted_id) == predicted_id:
                matched, matched_iou = matched + 1, matched_iou + iou
            else:  # the id has changed: the object counts as lost and another one as invented
                false_positives, false_negatives = false_positives + 1, false_negatives + 1
            partner[truth_id] = predicted_id
    return OccupancyScore(
        int((occupied & taken).sum()),
        int((occupied | taken).sum()),
        matched_iou,
        matched,
        false_positives,
        false_negatives,
    )


def _segments(ids: Ints) -> int:
    return int(np.count_nonzero(np.unique(ids)))


def _same_segments(predicted: Ints, truth: Ints) -> list[tuple[int, int, float]]:
    """(truth's id, predicted id, IoU) of the segments (X, Y) that overlap by more than half of their union.

    Above one half a segment has at most one such partner.
    """
    both = (predicted > 0) & (truth > 0)
    pairs, overlaps = np.unique(np.stack([truth[both], predicted[both]]), axis=1, return_counts=True)
    truth_area = dict(zip(*(part.tolist() for part in np.unique(truth, return_counts=True)), strict=True))
    predicted_area = dict(zip(*(part.tolist() for part in np.unique(predicted, return_counts=True)), strict=True))
    same = []
    for truth_id, predicted_id, overlap in zip(*pairs.tolist(), overlaps.tolist(), strict=True):
        iou = overlap / (truth_area[truth_id] + predicted_area[predicted_id] - overlap)
        if iou > MATCH_IOU:
            same.append((truth_id, predicted_id, iou))
    return same
