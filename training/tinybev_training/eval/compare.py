"""Runs side by side, with bootstrap intervals over scenes.

Scenes are drawn with replacement, the same ones for every run, and each figure is taken of what is drawn: sums over
scenes from the JSON files, every other figure from the statistics beside them, without which it has no interval.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
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
Figures = Mapping[str, NDArray[np.float64]]

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

    None where :func:`drawn_sums` gives nothing.
    """
    return _intervals(drawn_sums(evaluations, metric, resamples)) or [None] * len(evaluations)


def drawn_sums(evaluations: Sequence[Evaluation], metric: str, resamples: int = RESAMPLES) -> list[NDArray[np.float64]]:
    """Of each run a ``metric`` that is a sum, in every resample of the scenes.

    Nothing where the metric is no sum over scenes, or fewer than two scenes have something to measure in every run.
    """
    scenes = sorted(evaluations[0].scenes)
    found = [[find(evaluation.scenes[scene], metric) for scene in scenes] for evaluation in evaluations]
    common = [n for n in range(len(scenes)) if all(measures[n].valid for measures in found)]
    if not is_summed(metric) or len(common) < 2:
        return []
    draws = np.random.default_rng(SEED).integers(0, len(common), (resamples, len(common)))
    means = []
    for measures in found:
        counts = np.array([measures[n].count for n in common])
        sums = counts * np.array([measures[n].value for n in common])
        means.append(sums[draws].sum(axis=1) / counts[draws].sum(axis=1))
    return means


def drawn_figures_of(run: SceneStatistics, resamples: int = RESAMPLES) -> Figures:
    """By TASK.NAME the figure in each resample of the scenes, NaN where that leaves nothing to measure; nothing where
    there are fewer than two scenes.

    Runs over the same scenes get the same resamples, in whatever order they list them.
    """
    count = len(run.scenes)
    if count < 2:
        return {}
    draws = np.random.default_rng(SEED).integers(0, count, (resamples, count))
    times = np.stack([np.bincount(draw, minlength=count) for draw in draws])
    different, which = np.unique(times, axis=0, return_inverse=True)  # of few scenes most draws are alike
    order = np.argsort(run.scenes)  # by name
    figures: list[dict[str, float]] = []
    for each in tqdm(different, "drawing scenes", unit="resample"):
        drawn = np.zeros(count, dtype=np.int64)
        drawn[order] = each
        figures.append(drawn_figures(run, drawn))
    return {name: np.array([each[name] for each in figures])[which.ravel()] for name in figures[0]}


def drawn_intervals(runs: Sequence[Figures]) -> dict[str, list[Interval | None]]:
    """By TASK.NAME as :func:`bootstrap`, of what :func:`drawn_figures_of` gives for runs over the same scenes.

    None where a draw leaves nothing to measure: an interval of the other draws would be of other scenes.
    """
    common = [name for name in runs[0] if all(name in run for run in runs)]
    return {name: _intervals([run[name] for run in runs]) for name in common}


def comparison(runs: Sequence[ComparedRun], resamples: int = RESAMPLES) -> str:
    """A table of every figure that some run has; each run but the first with its difference from the first.

    Raises:
        UserError: the runs are not of the same scenes.
    """
    evaluations = [run.evaluation for run in runs]
    _check_same([list(evaluation.scenes) for evaluation in evaluations])
    kept = [run.statistics for run in runs if run.statistics is not None]
    drawn = {}
    if len(kept) == len(runs):
        _check_same([statistics.scenes for statistics in kept])
        drawn = drawn_intervals([drawn_figures_of(statistics, resamples) for statistics in kept])
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
    return [interval(each if number == 0 else each - values[0]) for number, each in enumerate(values)]


def interval(values: NDArray[np.float64]) -> Interval | None:
    """Of a figure in every resample; None where a resample leaves nothing to measure."""
    if not np.isfinite(values).all():
        return None
    low, high = np.quantile(values, [(1 - COVERED) / 2, (1 + COVERED) / 2])
    return float(low), float(high)
