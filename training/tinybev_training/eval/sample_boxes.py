"""How well the boxes of one sample are found and kept apart: what ranks samples in the report (the figures are ours).

The official figures of detection and tracking are averages over thresholds and recall, and a single sample has none.
Here boxes from the robot's score threshold on, up to 50 m, take the nearest free annotated box of their class within
2 m, the most confident one first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tinybev.types import DETECTION_CLASSES, Detections
from tinybev_training.eval.measure import NOTHING, Measure
from tinybev_training.eval.submission import TRACKING_CLASSES

MATCH_M = 2.0
RANGE_M = 50.0
_TRACKED = [DETECTION_CLASSES.index(name) for name in TRACKING_CLASSES]


@dataclass(frozen=True)
class SampleBoxes:
    """One sample.

    Attributes:
        found, missed, invented: boxes of every class.
        partners: annotated track ids and the predicted ids that found them, of the classes that are tracked.
        untracked, invented_tracks: annotated objects without a predicted track, predicted tracks without an object.
    """

    found: int
    missed: int
    invented: int
    partners: tuple[tuple[int, int], ...]
    untracked: int
    invented_tracks: int


def sample_boxes(
    predicted: Detections, truth: Detections, observed: NDArray[np.bool_], threshold: float
) -> SampleBoxes:
    """Counts one sample's boxes; ``observed`` tells which annotated ones lidar or radar have met."""
    ours = np.flatnonzero(_near(predicted) & (predicted.scores >= threshold))
    theirs = np.flatnonzero(_near(truth) & observed)
    pairs = _pairs(predicted, truth, ours, theirs)
    tracks = ours[(predicted.track_ids[ours] > 0) & np.isin(predicted.class_ids[ours], _TRACKED)]
    objects = theirs[np.isin(truth.class_ids[theirs], _TRACKED)]
    partners = tuple(
        (int(truth.track_ids[their]), int(predicted.track_ids[our]))
        for our, their in _pairs(predicted, truth, tracks, objects)
    )
    return SampleBoxes(
        found=len(pairs),
        missed=len(theirs) - len(pairs),
        invented=len(ours) - len(pairs),
        partners=partners,
        untracked=len(objects) - len(partners),
        invented_tracks=len(tracks) - len(partners),
    )


def f1(boxes: SampleBoxes) -> Measure:
    """Harmonic mean of precision and recall; its count is that of the boxes, annotated and invented."""
    count = boxes.found + boxes.missed + boxes.invented
    return Measure(2 * boxes.found / (count + boxes.found), count) if count else NOTHING


def accuracies(scene: Sequence[SampleBoxes]) -> list[Measure]:
    """Of each sample of a scene, in time order, 1 - (objects untracked + tracks invented + ids changed) / objects.

    An id has changed where the object was last found under another one. The count is that of the objects.
    """
    last: dict[int, int] = {}
    measures = []
    for boxes in scene:
        changed = sum(last.get(their, our) != our for their, our in boxes.partners)
        last.update(boxes.partners)
        objects = len(boxes.partners) + boxes.untracked
        wrong = boxes.untracked + boxes.invented_tracks + changed
        measures.append(Measure(1 - wrong / objects, objects) if objects else NOTHING)
    return measures


def _near(boxes: Detections) -> NDArray[np.bool_]:
    return np.asarray(np.linalg.norm(boxes.centers[:, :2], axis=1) < RANGE_M)


def _pairs(
    predicted: Detections, truth: Detections, ours: NDArray[np.intp], theirs: NDArray[np.intp]
) -> list[tuple[int, int]]:
    """(predicted, annotated) rows that belong together."""
    pairs = []
    free = list(theirs)
    for our in ours[np.argsort(-predicted.scores[ours], kind="stable")]:
        same = [their for their in free if truth.class_ids[their] == predicted.class_ids[our]]
        if not same:
            continue
        distances = np.linalg.norm(truth.centers[same, :2] - predicted.centers[our, :2], axis=1)
        if distances.min() < MATCH_M:
            their = same[int(distances.argmin())]
            free.remove(their)
            pairs.append((int(our), int(their)))
    return pairs
