"""Average precision by distance and by visibility: where a network finds what is around it (the figures are ours).

Classes are merged: ``vehicle`` is car, truck, bus, trailer and construction_vehicle, which are not told apart here;
bicycles and motorcycles are none, unlike in motion and occupancy. ``pedestrian`` stands alone. In each sample the
predicted boxes of a merged class, whatever their score, the most confident one first, take the nearest free annotated
box of it whose centre is nearer than 1 m or 2 m in the plane. So does nuScenes, but here every annotated box can be
taken: a predicted box that takes one that a figure does not count is left out of it, neither right nor wrong.

* Annotated boxes count up to 45 m from base_link's origin, where lidar or radar has met them. Overall and by ring those
  of visibility level 2 to 4 count, and those whose level is unknown. They belong to the ring in which they lie
  themselves, as do the predicted boxes without a match; a ring holds its inner border and not its outer one.
* The figure of a visibility level counts the annotated boxes of that level alone, but every predicted box without a
  match, as nothing tells which level it would have had. A rare level has therefore a lower figure than a common one
  that is found as well.
* Average precision is the area under the interpolated precision over recall, at every point of the curve: each recall
  has the best precision at that recall or a higher one, down to 0 % recall and 0 % precision. Boxes of one score enter
  the curve together, so no order of the samples changes it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from tinybev.geometry import Array
from tinybev.types import DETECTION_CLASSES, Detections
from tinybev_training.eval.measure import NOTHING, Measure, Measures
from tinybev_training.eval.rings import RING_EDGES_M, RING_NAMES, RINGS, ring_of

RING_CLASSES = {
    "vehicle": ("car", "truck", "bus", "trailer", "construction_vehicle"),
    "pedestrian": ("pedestrian",),
}
"""What the detection classes are merged into."""
MATCH_M = (2.0, 1.0)
WITHIN_M = 20.0
"""The rings up to here have a figure together."""
VISIBILITY_LEVELS = (1, 2, 3, 4)
COUNTED_LEVELS = (0, 2, 3, 4)
"""Visibility levels that count overall and by ring; 0 is unknown."""

_LEVELS = 1 + max(VISIBILITY_LEVELS)
_UNMATCHED = -1


@dataclass(frozen=True)
class RingMatches:
    """The P predicted boxes of one merged class, matched within one distance, that some figure counts.

    Attributes:
        scores: (P,) of a sample in any order, of several joined the most confident box first.
        rings: (P,) index of the ring of the match or, without one, of the box itself.
        levels: (P,) visibility level of the match, -1 without one.
        annotated: (rings, levels) how many annotated boxes there are; of several scenes (S, rings, levels).
    """

    scores: NDArray[np.float32]
    rings: NDArray[np.int8]
    levels: NDArray[np.int8]
    annotated: NDArray[np.int64]


SampleRings = dict[tuple[str, float], RingMatches]
"""By merged class and distance of a match."""


@dataclass(frozen=True)
class _Part:
    """What a figure counts: its group in the names, and indices of rings and visibility levels."""

    prefix: str
    rings: tuple[int, ...]
    levels: tuple[int, ...]


_PARTS = (
    _Part("", tuple(range(RINGS)), COUNTED_LEVELS),
    *(_Part(f"{RING_NAMES[ring]}.", (ring,), COUNTED_LEVELS) for ring in range(RINGS)),
    _Part(
        f"within_{WITHIN_M:.0f}m.",
        tuple(ring for ring in range(RINGS) if RING_EDGES_M[ring + 1] <= WITHIN_M),
        COUNTED_LEVELS,
    ),
    *(_Part(f"visibility_{level}.", tuple(range(RINGS)), (level,)) for level in VISIBILITY_LEVELS),
)


def detection_rings(
    predicted: Detections, truth: Detections, visibility: NDArray[np.int64], observed: NDArray[np.bool_]
) -> SampleRings:
    """Matches one sample's boxes, which are in base_link.

    Args:
        predicted: every box that is submitted.
        truth: the M annotated boxes.
        visibility: (M,) nuScenes' level 1 to 4, 0 where unknown.
        observed: (M,) which annotated boxes lidar or radar have met.
    """
    matches: SampleRings = {}
    for name, classes in RING_CLASSES.items():
        ids = [DETECTION_CLASSES.index(each) for each in classes]
        ours = np.flatnonzero(np.isin(predicted.class_ids, ids))
        ours = ours[np.argsort(-predicted.scores[ours], kind="stable")]
        theirs = np.isin(truth.class_ids, ids)
        centers = np.asarray(predicted.centers[ours, :2], dtype=np.float64)
        true_centers = np.asarray(truth.centers[theirs, :2], dtype=np.float64)
        true_rings, levels = ring_of(true_centers), visibility[theirs]
        counted = observed[theirs] & (true_rings < RINGS)
        annotated = np.zeros((RINGS, _LEVELS), dtype=np.int64)
        np.add.at(annotated, (true_rings[counted], levels[counted]), 1)
        distances = np.linalg.norm(centers[:, None] - true_centers, axis=2)
        for match_m in MATCH_M:
            partners = _partners(distances, match_m)
            found = partners != _UNMATCHED
            partners = partners[found]
            box_rings, box_levels = ring_of(centers), np.full(len(centers), _UNMATCHED)
            box_rings[found], box_levels[found] = true_rings[partners], levels[partners]
            kept = box_rings < RINGS
            kept[found] = counted[partners]
            matches[name, match_m] = RingMatches(
                predicted.scores[ours][kept].astype(np.float32),
                box_rings[kept].astype(np.int8),
                box_levels[kept].astype(np.int8),
                annotated,
            )
    return matches


def ring_measures(samples: Sequence[SampleRings]) -> Measures:
    """``vehicle.AP_2m``, ``vehicle.20-30m.AP_2m``, ``vehicle.within_20m.AP_2m``, ``vehicle.visibility_2.AP_2m`` and so
    on, for 1 m and ``pedestrian`` as well; counts are annotated boxes."""
    return {
        name: Measure(*figure) if figure[1] else NOTHING
        for name, figure in ring_figures(scene_rings([samples]), np.ones(1, dtype=np.int64)).items()
    }


@dataclass(frozen=True)
class PrecisionRecall:
    """What a curve of precision over recall is made of, whichever of S scenes are drawn.

    Attributes:
        scenes: (P,) the scene of each box, the most confident box first.
        right: (P,) whether it has a match.
        last: (K,) the last box of each of the K scores: a point of the curve has all boxes of its score and of higher
            ones.
        annotated: (S,) annotated boxes.
    """

    scenes: NDArray[np.int64]
    right: NDArray[np.bool_]
    last: NDArray[np.int64]
    annotated: NDArray[np.int64]

    def average_precision(self, drawn: NDArray[np.int64], annotated: int) -> float:
        """The area under the interpolated precision over recall.

        Args:
            drawn: (S,) how often each scene is there.
            annotated: how many boxes there are to be found, at least 1.
        """
        times = drawn[self.scenes]
        found, boxes = np.cumsum(self.right * times)[self.last], np.cumsum(times)[self.last]
        precision = np.maximum.accumulate((found / np.maximum(boxes, 1))[::-1])[::-1]
        return float((np.diff(found, prepend=0) * precision).sum() / annotated)


@dataclass(frozen=True)
class SceneRings:
    """The matches of S scenes, of one merged class and distance.

    Attributes:
        matches: of all of them, the most confident box first; ``annotated`` is (S, rings, levels).
        scenes: (P,) the scene of each box.
    """

    matches: RingMatches
    scenes: NDArray[np.int64]

    @cached_property
    def curves(self) -> tuple[PrecisionRecall, ...]:
        """Of each of the figures."""
        every, curves = self.matches, []
        for part in _PARTS:
            kept = np.isin(every.rings, part.rings) & np.isin(every.levels, (_UNMATCHED, *part.levels))
            annotated = every.annotated[:, part.rings][:, :, part.levels].sum(axis=(1, 2))
            last = np.flatnonzero(np.diff(every.scores[kept], append=-np.inf))
            curves.append(PrecisionRecall(self.scenes[kept], every.levels[kept] != _UNMATCHED, last, annotated))
        return tuple(curves)


def scene_rings(scenes: Sequence[Sequence[SampleRings]]) -> dict[str, SceneRings]:
    """By ``vehicle.AP_2m`` and so on, of the samples of each scene."""
    return {
        f"{name}.AP_{match_m:.0f}m": _joined([[sample[name, match_m] for sample in samples] for samples in scenes])
        for name in RING_CLASSES
        for match_m in MATCH_M
    }


def ring_figures(rings: Mapping[str, SceneRings], drawn: NDArray[np.int64]) -> dict[str, tuple[float, int]]:
    """Each figure of :func:`ring_measures`, NaN where nothing is annotated, and the number of annotated boxes.

    Args:
        rings: of S scenes.
        drawn: (S,) how often each scene is there.
    """
    figures = {}
    for key, found in rings.items():
        name, figure = key.split(".")
        for part, curve in zip(_PARTS, found.curves, strict=True):
            annotated = int(drawn @ curve.annotated)
            value = curve.average_precision(drawn, annotated) if annotated else float("nan")
            figures[f"{name}.{part.prefix}{figure}"] = value, annotated
    return figures


def _partners(distances: Array, match_m: float) -> NDArray[np.intp]:
    """(P,) column of the annotated box that each predicted box takes, -1 without one.

    Args:
        distances: (P, M) between predicted boxes, the most confident one first, and annotated ones.
        match_m: a match is nearer than this.
    """
    partners = np.full(len(distances), _UNMATCHED, dtype=np.intp)
    free = np.ones(distances.shape[1], dtype=np.bool_)
    near = distances < match_m
    for row in np.flatnonzero(near.any(axis=1)):
        open_to = np.flatnonzero(near[row] & free)
        if len(open_to):
            partners[row] = open_to[distances[row, open_to].argmin()]
            free[partners[row]] = False
    return partners


def _joined(scenes: Sequence[Sequence[RingMatches]]) -> SceneRings:
    """The samples of all scenes as one, the most confident box first."""
    matches = [each for samples in scenes for each in samples]
    numbers = [np.full(len(each.scores), scene) for scene, samples in enumerate(scenes) for each in samples]
    scores = np.concatenate([np.zeros(0, dtype=np.float32), *(each.scores for each in matches)])
    order = np.argsort(-scores, kind="stable")
    none = np.zeros(0, dtype=np.int8)
    nothing = np.zeros((RINGS, _LEVELS), dtype=np.int64)
    joined = RingMatches(
        scores[order],
        np.concatenate([none, *(each.rings for each in matches)])[order],
        np.concatenate([none, *(each.levels for each in matches)])[order],
        np.array([sum((each.annotated for each in samples), nothing) for samples in scenes]).reshape(
            -1, *nothing.shape
        ),
    )
    return SceneRings(joined, np.concatenate([np.zeros(0, dtype=np.int64), *numbers])[order])
