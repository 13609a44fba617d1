"""What a tracker got right in every scene at every score threshold: all that AMOTA and AMOTP need of a set of scenes.

The devkit chooses its 40 thresholds from the scores that all scenes have together, so other scenes have others. A
scene's own counts change only at the scores of its boxes: they are kept for each of these.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from motmetrics.lap import linear_sum_assignment
from numpy.typing import NDArray
from nuscenes.eval.common.config import config_factory
from nuscenes.eval.tracking.data_classes import TrackingBox, TrackingConfig
from nuscenes.eval.tracking.evaluate import TrackingEval
from sklearn.metrics.pairwise import euclidean_distances
from tqdm import tqdm

from tinybev.geometry import Array
from tinybev_training.eval.submission import TRACKING_CLASSES
from tinybev_training.eval.tracking import CONFIG

Counts = tuple[int, int, int, int, float]
"""Matches, switches, misses, false positives, and the metres between what is matched or switched, summed."""
NOTHING_YET: Counts = (0, 0, 0, 0, 0.0)


@dataclass(frozen=True)
class SceneStates:
    """One class in one scene.

    Attributes:
        scores: (K,) of the boxes, each once, from high to low.
        counts: (K + 1, 5) :data:`Counts` where only the boxes with the first k scores are there.
        match_scores: the scores of the boxes that have a match where all are there.
        annotated: annotated boxes.
    """

    scores: Array
    counts: Array
    match_scores: Array
    annotated: int


@dataclass(frozen=True)
class _Frame:
    """Ids and scores of one class's boxes at one time, and (M, N) metres, NaN where too far."""

    true_ids: tuple[str, ...]
    ids: tuple[str, ...]
    scores: Array
    distances: Array


def tracking_states(evaluation: TrackingEval, scene_tokens: Sequence[str]) -> dict[str, tuple[SceneStates, ...]]:
    """By class, for each of the scenes, of tracks that the devkit has filtered and filled."""
    limit = float(evaluation.cfg.dist_th_tp)
    jobs = tqdm(TRACKING_CLASSES, "tracks scene by scene", unit="class")
    return {
        name: tuple(
            _scene_states(_frames(evaluation.tracks_gt[scene], evaluation.tracks_pred[scene], name, limit))
            for scene in scene_tokens
        )
        for name in jobs
    }


def tracking_figures(states: Mapping[str, Sequence[SceneStates]], drawn: NDArray[np.int64]) -> dict[str, float]:
    """``AMOTA``, ``AMOTP`` and ``CLASS.AMOTA`` where scene s is there ``drawn[s]`` times; NaN without annotations."""
    by_class = {name: _class_figures(scenes, drawn) for name, scenes in states.items()}
    known = np.array([pair for pair in by_class.values() if np.isfinite(pair).all()]).reshape(-1, 2)
    amota, amotp = known.mean(axis=0) if len(known) else (np.nan, np.nan)
    return {
        "AMOTA": float(amota),
        "AMOTP": float(amotp),
        **{f"{name}.AMOTA": pair[0] for name, pair in by_class.items()},
    }


@cache
def _config() -> TrackingConfig:
    return config_factory(CONFIG)


def _class_figures(scenes: Sequence[SceneStates], drawn: NDArray[np.int64]) -> tuple[float, float]:
    """AMOTA and AMOTP of one class."""
    config = _config()
    present = [(scene, int(times)) for scene, times in zip(scenes, drawn, strict=True) if times]
    annotated = sum(times * scene.annotated for scene, times in present)
    if not annotated:
        return np.nan, np.nan
    scores = np.sort(np.concatenate([np.repeat(scene.match_scores, times) for scene, times in present]))[::-1]
    recalls = np.linspace(config.min_recall, 1, config.num_thresholds).round(12)
    reached = np.arange(1, len(scores) + 1) / annotated
    achieved = recalls <= (reached[-1] if len(scores) else 0.0)
    motar, motp = np.full(len(recalls), np.nan), np.full(len(recalls), np.nan)
    if achieved.any():
        thresholds = np.interp(recalls[achieved], reached, scores, right=0)
        sums = sum(
            times * scene.counts[np.searchsorted(-scene.scores, -thresholds, side="right")] for scene, times in present
        )
        matches, switches, misses, false_positives, metres = np.asarray(sums).T
        with np.errstate(divide="ignore", invalid="ignore"):
            excess = misses + switches + false_positives - (annotated - matches)
            motar[achieved] = np.where(matches > 0, np.maximum(0, 1 - excess / matches), np.nan)
            motp[achieved] = metres / (matches + switches)
    worst = config.metric_worst
    return (
        float(np.where(np.isnan(motar), worst["amota"], motar).mean()),
        float(np.where(np.isnan(motp), worst["amotp"], motp).mean()),
    )


def _frames(
    truth: Mapping[int, Sequence[TrackingBox]],
    predicted: Mapping[int, Sequence[TrackingBox]],
    name: str,
    limit_m: float,
) -> list[_Frame]:
    frames = []
    for stamp in truth:
        theirs = [box for box in truth[stamp] if box.tracking_name == name]
        ours = [box for box in predicted[stamp] if box.tracking_name == name]
        distances = np.zeros((len(theirs), len(ours)))
        if theirs and ours:
            # The devkit's own function: at thousands of metres it is off by some hundredths of a millimetre.
            centers = (np.array([box.translation[:2] for box in boxes]) for boxes in (theirs, ours))
            distances = euclidean_distances(*centers)
            distances[distances >= limit_m] = np.nan
        frames.append(
            _Frame(
                tuple(box.tracking_id for box in theirs),
                tuple(box.tracking_id for box in ours),
                np.array([box.tracking_score for box in ours], dtype=np.float64),
                distances,
            )
        )
    return frames


def _scene_states(frames: Sequence[_Frame]) -> SceneStates:
    scores = np.unique(np.concatenate([np.zeros(0), *(frame.scores for frame in frames)]))[::-1]
    annotated = sum(len(frame.true_ids) for frame in frames)
    counts = [(0, 0, annotated, 0, 0.0)]
    match_scores: list[float] = []
    # A further box changes few frames: one whose boxes and whose partners before it are as they were is not done again.
    known: list[tuple[int, dict[str, str], dict[str, str], Counts, list[float]] | None] = [None] * len(frames)
    for score in scores:
        partners: dict[str, str] = {}
        total = np.zeros(len(NOTHING_YET))
        match_scores = []
        for number, frame in enumerate(frames):
            chosen = frame.scores >= score
            before, last = partners, known[number]
            if last is not None and last[0] == chosen.sum() and last[1] == before:
                _, _, partners, found, matched = last
            else:
                partners, found, matched = _associate(frame, np.flatnonzero(chosen), before)
                known[number] = (int(chosen.sum()), before, partners, found, matched)
            total += found
            match_scores += matched
        counts.append(tuple(total))
    return SceneStates(scores, np.array(counts, dtype=np.float64), np.array(match_scores), annotated)


def _associate(
    frame: _Frame, chosen: NDArray[np.intp], partners: Mapping[str, str]
) -> tuple[dict[str, str], Counts, list[float]]:
    """The partners after a frame, its counts, and the scores of the matches, by the rule of the CLEAR metrics.

    Who was matched last stays matched while near enough; the others are assigned at the least sum of distances.
    """
    after = dict(partners)
    distances = frame.distances[:, chosen].copy()
    column_of = {frame.ids[index]: column for column, index in enumerate(chosen)}
    matches, switches, metres = 0, 0, 0.0
    scores: list[float] = []
    for row, true_id in enumerate(frame.true_ids):
        column = column_of.get(partners.get(true_id, ""))
        if column is not None and np.isfinite(distances[row, column]):
            matches, metres = matches + 1, metres + float(distances[row, column])
            scores.append(float(frame.scores[chosen[column]]))
            distances[row, :], distances[:, column] = np.nan, np.nan
    if np.isfinite(distances).any():
        for row, column in zip(*linear_sum_assignment(distances), strict=True):
            if not np.isfinite(distances[row, column]):
                continue
            true_id, our_id = frame.true_ids[row], frame.ids[chosen[column]]
            metres += float(distances[row, column])
            if partners.get(true_id, our_id) != our_id:
                switches += 1
            else:
                matches += 1
                scores.append(float(frame.scores[chosen[column]]))
            after[true_id] = our_id
    misses = len(frame.true_ids) - matches - switches
    return after, (matches, switches, misses, len(chosen) - matches - switches, metres), scores
