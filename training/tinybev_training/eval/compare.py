"""Runs side by side, with bootstrap intervals over scenes.

Scenes are drawn with replacement, the same ones for every run, and each figure is taken of what is drawn: sums over
scenes from the JSON files, every other figure from the statistics beside them, without which it has no interval.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from tinybev.errors import UserError
from tinybev_training.eval.results_file import Evaluation, read_evaluation
from tinybev_training.eval.scene_statistics import SceneStatistics, drawn_figures, read_statistics, statistics_file
from tinybev_training.eval.table import find

RESAMPLES = 1000
SEED = 0
COVERED = 0.95
"""Share of the resamples that an interval holds."""

Interval = tuple[float, float]

# A figure of these is the mean of its scenes' figures weighted with their counts; of others (AP, AMOTA, the errors
# averaged over recall, panoptic quality) that is not so, and an interval made of it would be wrong.
_SUMMED = re.compile(r"(map\.IoU_.*|occupancy\.IoU_.*|planning\..*_(1s|2s|3s|avg)|motion\..*EPA|motion\.EPA)")


@dataclass(frozen=True)
class ComparedRun:
    """A run: its name, its figures, and what its scenes add to those that are no sums; None where that is not kept."""

    name: str
    evaluation: Evaluation
    statistics: SceneStatistics | None = None


def read_run(path: Path) -> ComparedRun:
    """The run whose figures are in ``path``.

    Raises:
        UserError: a file cannot be read, or is none that ``tinybev eval --json`` wrote.
    """
    evaluation, beside = read_evaluation(path), statistics_file(path)
    return ComparedRun(path.stem, evaluation, read_statistics(beside) if beside.is_file() else None)


def is_summed(metric: str) -> bool:
    """Whether TASK.NAME is the mean of its scenes' figures, weighted with their counts."""
    return _SUMMED.fullmatch(metric) is not None


def bootstrap(evaluations: Sequence[Evaluation], metric: str, resamples: int = RESAMPLES) -> list[Interval | None]:
    """Intervals of a ``metric`` that is a sum: of the first run itself, and of each other's difference from the first.

    None where the metric is no sum over scenes, or fewer than two scenes have something to measure in every run.
    """
    scenes = sorted(evaluations[0].scenes)
    found = [[find(evaluation.scenes[scene], metric) for scene in scenes] for evaluation in evaluations]
    common = [n for n in range(len(scenes)) if all(measures[n].valid for measures in found)]
    if not is_summed(metric) or len(common) < 2:
        return [None] * len(evaluations)
    draws = np.random.default_rng(SEED).integers(0, len(common), (resamples, len(common)))
    means = []
    for measures in found:
        counts = np.array([measures[n].count for n in common])
        sums = counts * np.array([measures[n].value for n in common])
        means.append(sums[draws].sum(axis=1) / counts[draws].sum(axis=1))
    return _intervals(means)


def drawn_intervals(runs: Sequence[SceneStatistics], resamples: int = RESAMPLES) -> dict[str, list[Interval | None]]:
    """By TASK.NAME as :func:`bootstrap`, of every figure that is taken again for the scenes that are drawn.

    None where a draw leaves nothing to measure: an interval of the other draws would be of other scenes.

    Raises:
        UserError: the runs are not of the same scenes.
    """
    _check_same([run.scenes for run in runs])
    count = len(runs[0].scenes)
    if count < 2:
        return {}
    # By name, so that runs that list their scenes in another order draw the same ones.
    orders = [np.argsort(run.scenes) for run in runs]
    draws = np.random.default_rng(SEED).integers(0, count, (resamples, count))
    figures: list[list[dict[str, float]]] = [[] for _ in runs]
    for draw in tqdm(draws, "drawing scenes", unit="resample"):
        times = np.bincount(draw, minlength=count)
        for run, order, found in zip(runs, orders, figures, strict=True):
            drawn = np.zeros(count, dtype=np.int64)
            drawn[order] = times
            found.append(drawn_figures(run, drawn))
    common = [name for name in figures[0][0] if all(name in found[0] for found in figures)]
    return {name: _intervals([np.array([each[name] for each in found]) for found in figures]) for name in common}


def comparison(runs: Sequence[ComparedRun], resamples: int = RESAMPLES) -> str:
    """A table of every figure that some run has; each run but the first with its difference from the first.

    Raises:
        UserError: the runs are not of the same scenes.
    """
    evaluations = [run.evaluation for run in runs]
    _check_same([list(evaluation.scenes) for evaluation in evaluations])
    kept = [run.statistics for run in runs if run.statistics is not None]
    drawn = drawn_intervals(kept, resamples) if len(kept) == len(runs) else {}
    metrics = dict.fromkeys(
        f"{task}.{name}"
        for evaluation in evaluations
        for task, measures in evaluation.tasks.items()
        for name, measure in measures.items()
        if measure.valid
    )
    lines = ["| | " + " | ".join(run.name for run in runs) + " |", "| --- |" + " ---: |" * len(runs)]
    for metric in metrics:
        first = find(evaluations[0].tasks, metric)
        intervals = drawn.get(metric) or bootstrap(evaluations, metric, resamples)
        cells = []
        for number, (evaluation, interval) in enumerate(zip(evaluations, intervals, strict=True)):
            measure = find(evaluation.tasks, metric)
            text = str(measure)
            if number and measure.valid and first.valid:
                text += f" ({measure.value - first.value:+.3f})"
            cells.append(text + (f" [{interval[0]:.3f}, {interval[1]:.3f}]" if interval else ""))
        lines.append(f"| {metric} | " + " | ".join(cells) + " |")
    lines.append(
        f"[ ]: {COVERED:.0%} of {resamples} resamples of the scenes, of the first run itself and of the others' "
        "difference from it. Figures without one are not taken by scene, or some resample has nothing to measure."
    )
    if not drawn:
        lines.append(
            f"Only sums over scenes have intervals: some run has no {statistics_file(Path('NAME')).name} beside its "
            "JSON file, or has fewer than two scenes."
        )
    return "\n".join(lines)


def _check_same(scenes: Sequence[Sequence[str]]) -> None:
    if any(sorted(names) != sorted(scenes[0]) for names in scenes):
        raise UserError("expected runs over the same scenes to compare, got others; evaluate them on one split.")


def _intervals(values: Sequence[NDArray[np.float64]]) -> list[Interval | None]:
    """Of the first run's values, and of the others' differences from them."""
    return [_interval(values[0]), *(_interval(each - values[0]) for each in values[1:])]


def _interval(values: NDArray[np.float64]) -> Interval | None:
    if not np.isfinite(values).all():
        return None
    low, high = np.quantile(values, [(1 - COVERED) / 2, (1 + COVERED) / 2])
    return float(low), float(high)
