"""How much of its clean score a network keeps in bad weather and without some of its cameras.

The score in a condition is set against that of the same scenes in good order. What is kept of it is, where a larger
figure is better, score / clean, and where a smaller one is better, clean / score; from 0 to 1, for nothing is gained by
damage but luck. The mean over the metrics, then over the conditions, sums it up (the definition is ours, after the
resilience rate of the robustness benchmarks for detection).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tinybev.errors import UserError
from tinybev.geometry import Array
from tinybev_training.data.dataset import NuScenesDataset
from tinybev_training.eval.evaluate import Tasks
from tinybev_training.eval.measure import NOTHING, Measure, Measures, mean
from tinybev_training.eval.table import find

ROBUSTNESS = "robustness"
"""The task whose measures these are."""
MISSING_CAMERAS = (1, 2, 3)
SAME_PLACE_M = 0.01
"""A keyframe of two renderings of a scene has the ego in one place up to this."""


@dataclass(frozen=True)
class Condition:
    """What is made worse.

    Attributes:
        name: of the condition, a key in the JSON file.
        dataroot: of the scenes in that condition; None for the clean ones.
        missing: how many cameras every scene loses.
    """

    name: str
    dataroot: Path | None = None
    missing: int = 0


ROBUSTNESS_METRICS = {
    "detection.mAP": True,
    "detection.NDS": True,
    "tracking.AMOTA": True,
    "motion.minADE": False,
    "motion.EPA": True,
    "map.IoU": True,
    "occupancy.IoU_near": True,
    "occupancy.VPQ_near": True,
    "planning.uniad.L2_3s": False,
    "planning.uniad.collision_avg": False,
    "planning.oriented.collision_3s": False,
}
"""What the share is the mean of; whether a larger figure is better."""


def conditions(assignments: list[str]) -> tuple[Condition, ...]:
    """1 to 3 missing cameras, and each ``NAME=DATAROOT`` of ``assignments``.

    Raises:
        UserError: an assignment has another form, or a name comes twice or cannot be a key.
    """
    found = [Condition(f"missing_{count}", missing=count) for count in MISSING_CAMERAS]
    for assignment in assignments:
        name, _, folder = assignment.partition("=")
        taken = name in {condition.name for condition in found} or name in (MEAN, *_TASKS)
        if not name.isidentifier() or not folder or taken:
            raise UserError(
                f"expected NAME=DATAROOT of a condition, with a name of letters and digits that no other has, got "
                f"{assignment!r}; write for example night=out/night."
            )
        found.append(Condition(name, Path(folder)))
    return tuple(found)


def check_same_scenes(clean: NuScenesDataset, other: NuScenesDataset, condition: Condition) -> None:
    """Refuses a dataset that does not show the clean one's scenes: same samples, the ego in the same places.

    Raises:
        UserError: it shows others.
    """
    ours, theirs = _places(clean), _places(other)
    if ours.keys() != theirs.keys() or any(
        np.linalg.norm(ours[token] - theirs[token]) > SAME_PLACE_M for token in ours
    ):
        raise UserError(
            f"expected the clean split's scenes in the condition {condition.name!r}, and {condition.dataroot} has "
            "others; write both with `tinybev world`, with the same options but for --weather and --out."
        )


def kept_share(score: Measure, clean: Measure, larger_is_better: bool) -> Measure:
    """From 0 to 1, with the score's count; nothing to measure where either is, or the clean score is not above 0."""
    if not score.valid or not clean.valid or clean.value <= 0:
        return NOTHING
    over, under = (score, clean) if larger_is_better else (clean, score)
    share = over.value / under.value if under.value > 0 else 1.0  # no collision at all keeps everything
    return Measure(min(max(share, 0.0), 1.0), score.count)


MEAN = "mean_kept"


def robustness_measures(clean: Tasks, found: Mapping[str, Tasks]) -> Measures:
    """``CONDITION.score.TASK.METRIC``, ``CONDITION.kept.TASK.METRIC``, ``CONDITION.mean_kept`` and ``mean_kept``.

    The count of a mean is that of the metrics, or of the conditions, that it is over.
    """
    measures: Measures = {}
    means = []
    for name, tasks in found.items():
        shares = []
        for metric, larger_is_better in ROBUSTNESS_METRICS.items():
            score = find(tasks, metric)
            share = kept_share(score, find(clean, metric), larger_is_better)
            measures[f"{name}.score.{metric}"], measures[f"{name}.kept.{metric}"] = score, share
            shares.append(share)
        means.append(mean(shares))
        measures[f"{name}.{MEAN}"] = means[-1]
    return {MEAN: mean(means), **measures}


def robustness_table(clean: Tasks, measures: Measures) -> str:
    """The score of every condition, and in percent what is kept of the clean one."""
    names = [name.removesuffix(f".{MEAN}") for name in measures if name.endswith(f".{MEAN}")]
    lines = ["| | clean | " + " | ".join(names) + " |", "| --- | ---: |" + " ---: |" * len(names)]
    for metric in ROBUSTNESS_METRICS:
        cells = [
            f"{_short(measures[f'{name}.score.{metric}'])} ({_percent(measures[f'{name}.kept.{metric}'])})"
            for name in names
        ]
        lines.append(f"| {metric} | {_short(find(clean, metric))} | " + " | ".join(cells) + " |")
    kept = [_percent(measures[f"{name}.{MEAN}"]) for name in names]
    lines.append("| mean share kept | | " + " | ".join(kept) + " |")
    overall = measures[MEAN]
    lines.append(f"mean share of the clean score that is kept, over {overall.count} conditions: {_percent(overall)}")
    lines.append(
        "In brackets what is kept; no share where there is nothing to measure or the clean score is not above 0."
    )
    return "\n".join(lines)


def _short(measure: Measure) -> str:
    return f"{measure.value:.3f}" if measure.valid else f"nothing of {measure.count}"


def _percent(share: Measure) -> str:
    return f"{share.value:.0%}" if share.valid else "no share"


_TASKS = tuple(metric.split(".")[0] for metric in ROBUSTNESS_METRICS)


def _places(dataset: NuScenesDataset) -> dict[str, Array]:
    """The ego's position by sample token."""
    return {where.keyframe.token: where.keyframe.lidar.map_T_base[:3, 3] for where in dataset.keyframes}
