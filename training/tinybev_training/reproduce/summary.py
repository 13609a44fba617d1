"""What came out: the rows of the table with their seeds, and intervals over scenes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tinybev_training.eval.compare import Interval, bootstrap, drawn_intervals, read_run
from tinybev_training.eval.table import find
from tinybev_training.reproduce.experiment import ALONE, ROWS, SHIPPED, TEACHER, Experiment, Row, Run
from tinybev_training.reproduce.job import read_record


@dataclass(frozen=True)
class Figure:
    """A column: our metric, its heading and unit, and what one shows it in."""

    metric: str
    heading: str
    scale: float = 1.0
    digits: int = 2


FIGURES = (
    Figure("detection.mAP", "mAP, %", 100, 1),
    Figure("detection.NDS", "NDS, %", 100, 1),
    Figure("tracking.AMOTA", "AMOTA, %", 100, 1),
    Figure("rings.vehicle.AP_2m", "vehicle AP at 2 m, %", 100, 1),
    Figure("map.IoU", "map IoU, %", 100, 1),
    Figure("occupancy.IoU_near", "occupancy IoU near, %", 100, 1),
    Figure("motion.minADE", "minADE, m"),
    Figure("planning.uniad.L2_3s", "L2 at 3 s, m"),
    Figure("planning.uniad.collision_avg", "collisions, %"),
)
"""Of the table; ``tinybev eval --json`` has more."""


@dataclass(frozen=True)
class Cell:
    """A figure of a row.

    Attributes:
        values: one for each seed; NaN where there was nothing to measure.
        interval: over the scenes, of the first seed: of the row's own figure, or of its difference from the reference.
    """

    values: tuple[float, ...]
    interval: Interval | None


@dataclass(frozen=True)
class SummaryRow:
    """A row of the table.

    Attributes:
        row: which.
        parameters: of the network.
        cells: by metric.
        differences: by metric: of the first seed's figure from the student alone, with its interval.
        command: that trained the first seed.
        hours: of training, the mean of the seeds.
        machine: on which it was trained.
        side_by_side: jobs that might run at the same time.
    """

    row: Row
    parameters: float
    cells: dict[str, Cell]
    differences: dict[str, Cell]
    command: str
    hours: float
    machine: str
    side_by_side: int


def summarize(experiment: Experiment) -> list[SummaryRow]:
    """The rows that are finished, in the table's order."""
    runs = {
        row: [run for run in experiment.runs if run.row is row and experiment.figures(run).is_file()]
        for row in (*ROWS, SHIPPED)
    }
    return [_summary(experiment, row, found, runs[ALONE]) for row, found in runs.items() if found]


def _summary(experiment: Experiment, row: Row, runs: Sequence[Run], alone: Sequence[Run]) -> SummaryRow:
    compared = [read_run(experiment.figures(run)) for run in runs]
    own, differences = _intervals(experiment, [runs[0]]), {}
    if alone and row not in (ALONE, TEACHER, SHIPPED):
        pair = _intervals(experiment, [alone[0], runs[0]])
        first = read_run(experiment.figures(alone[0]))
        for figure in FIGURES:
            ours, theirs = (find(each.evaluation.tasks, figure.metric) for each in (compared[0], first))
            if ours.valid and theirs.valid:
                differences[figure.metric] = Cell((ours.value - theirs.value,), pair.get(figure.metric))
    cells = {
        figure.metric: Cell(
            tuple(find(each.evaluation.tasks, figure.metric).value for each in compared), own.get(figure.metric)
        )
        for figure in FIGURES
    }
    records = [record for run in runs if (record := read_record(experiment.folder, f"train-{run.name}")) is not None]
    return SummaryRow(
        row,
        find(compared[0].evaluation.tasks, "speed.parameters").value,
        cells,
        differences,
        records[0].command if records else "",
        float(np.mean([record.seconds for record in records])) / 3600 if records else float("nan"),
        records[0].machine if records else "",
        records[0].side_by_side if records else 1,
    )


def _intervals(experiment: Experiment, runs: Sequence[Run]) -> dict[str, Interval | None]:
    """Of the last of the runs, by metric: its own, or its difference from the first."""
    read = [read_run(experiment.figures(run)) for run in runs]
    kept = [run.statistics for run in read if run.statistics is not None]
    drawn = drawn_intervals(kept) if len(kept) == len(read) else {}
    evaluations = [run.evaluation for run in read]
    found = {}
    for figure in FIGURES:
        intervals = drawn.get(figure.metric) or bootstrap(evaluations, figure.metric)
        found[figure.metric] = intervals[-1]
    return found
