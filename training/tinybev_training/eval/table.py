"""The paper's table beside ours, and every figure of a run, as text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tinybev.types import DETECTION_CLASSES
from tinybev_training.eval.evaluate import Tasks
from tinybev_training.eval.measure import NOTHING, Measure
from tinybev_training.eval.results_file import Evaluation, Run


@dataclass(frozen=True)
class PublishedRow:
    """A row of the table: our metric and the figures that are published for nuScenes' val.

    Attributes:
        label: with the unit.
        metric: ours, as TASK.NAME.
        scale: from our unit to the table's.
        tinybev: the paper's student, None where no figure of it is known.
        teacher: UniAD, as the paper quotes it.
        uniad: UniAD-base, as its own authors publish it.
    """

    label: str
    metric: str
    scale: float
    tinybev: float | None
    teacher: float | None
    uniad: float | None


PUBLISHED = (
    PublishedRow("mAP, %", "detection.mAP", 100, 39.0, 41.0, 38.2),
    PublishedRow("AMOTA, %", "tracking.AMOTA", 100, 34.0, 36.0, 35.9),
    PublishedRow("minADE, m", "motion.minADE", 1, 1.08, None, 0.71),
    PublishedRow("L2 at 3 s, m", "planning.uniad.L2_3s", 1, 1.08, 1.03, 1.65),
    PublishedRow("L2, mean of 1, 2, 3 s, m", "planning.uniad.L2_avg", 1, None, None, 1.03),
    PublishedRow("collision rate, %", "planning.uniad.collision_avg", 1, 0.32, None, 0.31),
    PublishedRow("parameters, millions", "speed.parameters", 1e-6, 28.0, 125.0, 125.0),
    PublishedRow("multiply-accumulates, 10^9", "speed.MACs", 1e-9, None, None, None),
    PublishedRow("ms per frame", "speed.ms_per_frame", 1, 1000 / 11, 5 * 1000 / 11, 1000 / 1.8),
    PublishedRow("frames per second", "speed.FPS", 1, 11.0, 11.0 / 5, 1.8),
)
"""The paper's full text was not at hand. Its abstract gives mAP, minADE, the collision rate (without a unit), 28
million parameters, 78 % fewer than UniAD's, and 11 frames per second, five times as fast, without device or precision.
From reports about the paper: AMOTA and L2 of both, the teacher's mAP, and its more than 125 million parameters.
UniAD's speed in its own column was taken on an A100."""
PROVENANCE = (
    "Of TinyBEV's figures AMOTA and L2 are from reports about the paper, the others from its abstract. Of the "
    "teacher's in its paper the speed follows from the abstract, the others are from those reports."
)


def find(tasks: Tasks, metric: str) -> Measure:
    """The measure TASK.NAME, or nothing where the run has none."""
    task, name = metric.split(".", 1)
    return tasks.get(task, {}).get(name, NOTHING)


def published_table(evaluation: Evaluation) -> str:
    """The paper's figures beside ours."""
    lines = [
        "| | TinyBEV (paper) | UniAD (TinyBEV's paper) | UniAD (its own) | this run | measured on |",
        "| --- | ---: | ---: | ---: | ---: | --- |",
    ]
    for row in PUBLISHED:
        measure = find(evaluation.tasks, row.metric)
        ours = f"{measure.value * row.scale:.2f}" if measure.valid else "nothing to measure"
        published = " | ".join(_figure(value) for value in (row.tinybev, row.teacher, row.uniad))
        lines.append(f"| {row.label} | {published} | {ours} | {measure.count} |")
    lines.append(PROVENANCE)
    lines.append(
        "The 1.03 m that TinyBEV's paper gives for UniAD at 3 s is in UniAD's own the mean of 1, 2 and 3 s; its 1.08 m "
        "may be such a mean, too."
    )
    return "\n".join([*lines, *_told(evaluation.run), *_where(evaluation.run), *_cautions(evaluation.tasks)])


def all_measures(tasks: Tasks) -> str:
    """Every figure with its count, a line each."""
    lines: list[str] = []
    for task, measures in tasks.items():
        lines.append(task)
        lines += [f"  {name:<32} {measure!s:>12}  ({measure.count})" for name, measure in measures.items()]
    return "\n".join(lines)


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _told(run: Run) -> Sequence[str]:
    """What the planner knew that UniAD's does not."""
    if run.get("goal") != "always":
        return []
    return ["This run's planner was told a goal point on the human's way, UniAD's the command alone: see --goal never."]


def _where(run: Run) -> Sequence[str]:
    """What the times were taken on."""
    if "device" not in run:
        return []
    side_by_side = "" if run["processes"] == "1" else f"; {run['processes']} processes ran side by side"
    return [f"this run's times: medians on {run['device']}, in {run['precision']}{side_by_side}."]


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
