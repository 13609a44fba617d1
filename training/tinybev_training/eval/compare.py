"""Runs side by side, with bootstrap intervals over scenes for the figures that are sums over scenes."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from tinybev.errors import UserError
from tinybev_training.eval.results_file import Evaluation
from tinybev_training.eval.table import find

RESAMPLES = 2000
SEED = 0
COVERED = 0.95
"""Share of the resamples that an interval holds."""

# A figure of these is the mean of its scenes' figures weighted with their counts; of the others (AP, AMOTA, the errors
# averaged over recall, panoptic quality) that is not so, and an interval made of it would be wrong.
_SUMMED = re.compile(r"(map\.IoU_.*|occupancy\.IoU_.*|planning\..*_(1s|2s|3s|avg)|motion\..*EPA|motion\.EPA)")


def is_summed(metric: str) -> bool:
    """Whether TASK.NAME is the mean of its scenes' figures, weighted with their counts."""
    return _SUMMED.fullmatch(metric) is not None


def bootstrap(evaluations: Sequence[Evaluation], metric: str) -> list[tuple[float, float] | None]:
    """Intervals of ``metric``: of the first run itself, and of each other run's difference from the first.

    Scenes are drawn with replacement, the same ones for every run. None where the metric is no sum over scenes, or
    fewer than two scenes have something to measure in every run.

    Raises:
        UserError: the runs are not of the same scenes.
    """
    scenes = sorted(evaluations[0].scenes)
    if any(sorted(evaluation.scenes) != scenes for evaluation in evaluations):
        raise UserError("expected runs over the same scenes to compare, got others; evaluate them on one split.")
    found = [[find(evaluation.scenes[scene], metric) for scene in scenes] for evaluation in evaluations]
    common = [n for n in range(len(scenes)) if all(measures[n].valid for measures in found)]
    if not is_summed(metric) or len(common) < 2:
        return [None] * len(evaluations)
    draws = np.random.default_rng(SEED).integers(0, len(common), (RESAMPLES, len(common)))
    means = []
    for measures in found:
        counts = np.array([measures[n].count for n in common])
        sums = counts * np.array([measures[n].value for n in common])
        means.append(sums[draws].sum(axis=1) / counts[draws].sum(axis=1))
    return [_interval(means[0]), *(_interval(mean - means[0]) for mean in means[1:])]


def comparison(names: Sequence[str], evaluations: Sequence[Evaluation]) -> str:
    """A table of every figure that some run has; each run but the first with its difference from the first."""
    metrics = dict.fromkeys(
        f"{task}.{name}"
        for evaluation in evaluations
        for task, measures in evaluation.tasks.items()
        for name, measure in measures.items()
        if measure.valid
    )
    lines = ["| | " + " | ".join(names) + " |", "| --- |" + " ---: |" * len(names)]
    for metric in metrics:
        first = find(evaluations[0].tasks, metric)
        cells = []
        for number, (evaluation, interval) in enumerate(zip(evaluations, bootstrap(evaluations, metric), strict=True)):
            measure = find(evaluation.tasks, metric)
            text = str(measure)
            if number and measure.valid and first.valid:
                text += f" ({measure.value - first.value:+.3f})"
            cells.append(text + (f" [{interval[0]:.3f}, {interval[1]:.3f}]" if interval else ""))
        lines.append(f"| {metric} | " + " | ".join(cells) + " |")
    lines.append(
        f"[ ]: {COVERED:.0%} of {RESAMPLES} resamples of the scenes, of the first run itself and of the others' "
        "difference from it; figures without one are no sums over scenes."
    )
    return "\n".join(lines)


def _interval(values: np.ndarray[tuple[int], np.dtype[np.float64]]) -> tuple[float, float]:
    low, high = np.quantile(values, [(1 - COVERED) / 2, (1 + COVERED) / 2])
    return float(low), float(high)
