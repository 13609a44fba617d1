"""Which predicted boxes found what, scene by scene: all that detection's official metrics need of a set of scenes.

The devkit matches within a sample, so a box's matches do not depend on which other scenes are evaluated. Everything
after the matching (precision over recall, the errors of true positives, NDS) is taken again for the scenes at hand.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from nuscenes.eval.common.config import config_factory
from nuscenes.eval.common.utils import attr_acc, center_distance, cummean, scale_iou, velocity_l2, yaw_diff
from nuscenes.eval.detection.algo import calc_ap, calc_tp
from nuscenes.eval.detection.constants import TP_METRICS
from nuscenes.eval.detection.data_classes import DetectionBox, DetectionConfig, DetectionMetricData, DetectionMetrics
from nuscenes.eval.detection.evaluate import DetectionEval

from tinybev.geometry import Array
from tinybev.types import DETECTION_CLASSES
from tinybev_training.eval.detection import CONFIG, TP_ERRORS

_NOT_MEASURED = {"traffic_cone": ("attr_err", "vel_err", "orient_err"), "barrier": ("attr_err", "vel_err")}
"""Errors that the official metrics do not know of a class."""


@dataclass(frozen=True)
class ClassMatches:
    """One class's N predicted boxes over S scenes, the most confident one first, and its annotated ones.

    Attributes:
        scenes: (N,) the scene of each box.
        scores: (N,).
        hits: (N, 4) whether the box has a match at each of the official distance thresholds.
        errors: (N, 5) by ``TP_METRICS``, of the match at the official distance for errors; NaN without one.
        annotated: (S,) annotated boxes.
    """

    scenes: NDArray[np.int64]
    scores: Array
    hits: NDArray[np.bool_]
    errors: Array
    annotated: NDArray[np.int64]


def detection_matches(evaluation: DetectionEval, scenes: Mapping[str, int], count: int) -> dict[str, ClassMatches]:
    """By class, of boxes that the devkit has filtered; ``scenes`` numbers each token's scene, below ``count``."""
    return {name: _class_matches(evaluation, name, scenes, count) for name in DETECTION_CLASSES}


def detection_figures(matches: Mapping[str, ClassMatches], drawn: NDArray[np.int64]) -> dict[str, float]:
    """``mAP``, ``NDS``, ``mAP_present``, ``mATE`` … and ``CLASS.AP`` where scene s is there ``drawn[s]`` times."""
    config = _config()
    metrics = DetectionMetrics(config)
    for name, found in matches.items():
        rows = np.repeat(np.arange(len(found.scenes)), drawn[found.scenes])
        annotated = int(found.annotated @ drawn)
        scores = found.scores[rows]
        for column, distance in enumerate(config.dist_ths):
            hits = found.hits[rows, column]
            is_tp = distance == config.dist_th_tp
            data = _metric_data(scores, hits, found.errors[rows] if is_tp else None, annotated)
            metrics.add_label_ap(name, distance, calc_ap(data, config.min_recall, config.min_precision))
            if is_tp:
                for error in TP_METRICS:
                    known = error not in _NOT_MEASURED.get(name, ())
                    metrics.add_label_tp(name, error, calc_tp(data, config.min_recall, error) if known else np.nan)
    tp_errors = metrics.tp_errors
    aps = {
        name: float(metrics.mean_dist_aps[name]) if found.annotated @ drawn else np.nan
        for name, found in matches.items()
    }
    present = [ap for ap in aps.values() if not np.isnan(ap)]
    return {
        "mAP": float(metrics.mean_ap),
        "NDS": float(metrics.nd_score),
        "mAP_present": float(np.mean(present)) if present else np.nan,
        **{name: float(tp_errors[error]) for name, error in TP_ERRORS.items()},
        **{f"{name}.AP": ap for name, ap in aps.items()},
    }


@cache
def _config() -> DetectionConfig:
    return config_factory(CONFIG)


def _class_matches(evaluation: DetectionEval, name: str, scenes: Mapping[str, int], count: int) -> ClassMatches:
    annotated = np.zeros(count, dtype=np.int64)
    numbers: list[int] = []
    scores: list[float] = []
    hits: list[NDArray[np.bool_]] = []
    errors: list[Array] = []
    for token in evaluation.sample_tokens:
        theirs = [box for box in evaluation.gt_boxes[token] if box.detection_name == name]
        ours = [box for box in evaluation.pred_boxes[token] if box.detection_name == name]
        annotated[scenes[token]] += len(theirs)
        numbers += [scenes[token]] * len(ours)
        scores += [box.detection_score for box in ours]
        sample_hits, sample_errors = _match(ours, theirs, name, evaluation.cfg.dist_ths, evaluation.cfg.dist_th_tp)
        hits.append(sample_hits)
        errors.append(sample_errors)
    order = np.argsort(np.array(scores), kind="stable")[::-1]  # of equal scores the devkit takes the last first
    columns = len(evaluation.cfg.dist_ths)
    return ClassMatches(
        np.array(numbers, dtype=np.int64)[order],
        np.array(scores, dtype=np.float64)[order],
        np.concatenate([np.zeros((0, columns), dtype=np.bool_), *hits])[order],
        np.concatenate([np.zeros((0, len(TP_METRICS))), *errors])[order],
        annotated,
    )


def _match(
    ours: Sequence[DetectionBox],
    theirs: Sequence[DetectionBox],
    name: str,
    distances_m: Sequence[float],
    error_distance_m: float,
) -> tuple[NDArray[np.bool_], Array]:
    """Hits and errors of one sample's boxes: the most confident one first takes the nearest free one."""
    hits = np.zeros((len(ours), len(distances_m)), dtype=np.bool_)
    errors = np.full((len(ours), len(TP_METRICS)), np.nan)
    if not ours or not theirs:
        return hits, errors
    our_centers, their_centers = (np.array([box.translation[:2] for box in boxes]) for boxes in (ours, theirs))
    distances = np.linalg.norm(our_centers[:, None] - their_centers[None], axis=2)
    order = np.argsort([box.detection_score for box in ours], kind="stable")[::-1]
    for column, distance_m in enumerate(distances_m):
        free = np.ones(len(theirs), dtype=np.bool_)
        for row in order:
            to_free = np.where(free, distances[row], np.inf)
            nearest = int(to_free.argmin())
            if to_free[nearest] < distance_m:
                hits[row, column], free[nearest] = True, False
                if distance_m == error_distance_m:
                    errors[row] = _errors(ours[row], theirs[nearest], name)
    return hits, errors


def _errors(ours: DetectionBox, theirs: DetectionBox, name: str) -> tuple[float, ...]:
    """In the order of ``TP_METRICS``."""
    period = np.pi if name == "barrier" else 2 * np.pi  # a barrier has no front
    return (
        center_distance(theirs, ours),
        1 - scale_iou(theirs, ours),
        yaw_diff(theirs, ours, period=period),
        velocity_l2(theirs, ours),
        1 - attr_acc(theirs, ours),
    )


def _metric_data(scores: Array, hits: NDArray[np.bool_], errors: Array | None, annotated: int) -> DetectionMetricData:
    """Precision, confidence and errors over recall, as the devkit's ``accumulate`` has them after its matching."""
    if not annotated or not hits.any():
        return DetectionMetricData.no_predictions()
    found = np.cumsum(hits)
    recall = np.linspace(0, 1, DetectionMetricData.nelem)
    precision = np.interp(recall, found / annotated, found / np.arange(1, len(hits) + 1), right=0)
    confidence = np.interp(recall, found / annotated, scores, right=0)
    along = {name: np.ones(len(recall)) for name in TP_METRICS}
    if errors is not None:
        for column, name in enumerate(TP_METRICS):
            means = cummean(errors[hits, column])
            along[name] = np.interp(confidence[::-1], scores[hits][::-1], means[::-1])[::-1]
    return DetectionMetricData(recall=recall, precision=precision, confidence=confidence, **along)
