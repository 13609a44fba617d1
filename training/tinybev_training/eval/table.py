"""The paper's table beside ours, and every figure of a run, as text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tinybev.types import DETECTION_CLASSES
from tinybev_training.eval.evaluate import Tasks
from tinybev_training.eval.measure import NOTHING, Measure


@dataclass(frozen=True)
class PublishedRow:
    """A row of the table: our metric and the figures that are published for nuScenes' val.

    Attributes:
        label: with the unit.
        metric: ours, as TASK.NAME.
        scale: from our unit to the table's.
        tinybev: the paper's student, None where it gives none.
        teacher: UniAD, as the paper quotes it.
    """

    label: str
    metric: str
    scale: float
    tinybev: float | None
    teacher: float | None


PUBLISHED = (
    PublishedRow("mAP, %", "detection.mAP", 100, 39.0, 41.0),
    PublishedRow("AMOTA, %", "tracking.AMOTA", 100, 34.0, 36.0),
    PublishedRow("minADE, m", "motion.minADE", 1, 1.08, None),
    PublishedRow("L2 at 3 s, m", "planning.uniad.L2_3s", 1, 1.08, 1.03),
    PublishedRow("collision rate, %", "planning.uniad.collision_avg", 1, 0.32, None),
)


def find(tasks: Tasks, metric: str) -> Measure:
    """The measure TASK.NAME, or nothing where the run has none."""
    task, name = metric.split(".", 1)
    return tasks.get(task, {}).get(name, NOTHING)


def published_table(tasks: Tasks) -> str:
    """The paper's figures beside ours."""
    lines = ["| | TinyBEV (paper) | UniAD (paper) | this run | measured on |", "| --- | ---: | ---: | ---: | --- |"]
    for row in PUBLISHED:
        measure = find(tasks, row.metric)
        ours = f"{measure.value * row.scale:.2f}" if measure.valid else "nothing to measure"
        lines.append(f"| {row.label} | {_figure(row.tinybev)} | {_figure(row.teacher)} | {ours} | {measure.count} |")
    return "\n".join([*lines, *_cautions(tasks)])


def all_measures(tasks: Tasks) -> str:
    """Every figure with its count, a line each."""
    lines: list[str] = []
    for task, measures in tasks.items():
        lines.append(task)
        lines += [f"  {name:<32} {measure!s:>12}  ({measure.count})" for name, measure in measures.items()]
    return "\n".join(lines)


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _cautions(tasks: Tasks) -> Sequence[str]:
    """What has to be known to read the figures."""
    lines = []
    mean_ap = find(tasks, "detection.mAP")
    if 0 < mean_ap.count < len(DETECTION_CLASSES):
        lines.append(
            f"mAP is the official mean over {len(DETECTION_CLASSES)} classes, of which this split has {mean_ap.count}: "
            f"no more than {mean_ap.count / len(DETECTION_CLASSES):.3f} can be reached."
        )
    for metric in ("planning.outputs", "motion.outputs", "map.outputs"):
        share = find(tasks, metric)
        if share.valid and share.value < 1:
            missing = round((1 - share.value) * share.count)
            lines.append(f"{metric.split('.')[0]}: {missing} of {share.count} samples have no output and are left out.")
    return lines
