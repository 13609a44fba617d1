"""What came out: the rows of the table with their seeds, and intervals over scenes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tinybev_training.eval.compare import Interval, bootstrap, drawn_intervals, read_run
from tinybev_training.eval.detection_rings import RING_NAMES
from tinybev_training.eval.table import find
from tinybev_training.reproduce.experiment import (
    ALONE,
    ROWS,
    S1,
    S2,
    S3,
    SELF,
    SHIPPED_ROWS,
    Experiment,
    Row,
    Run,
)
from tinybev_training.reproduce.job import Record, read_record


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

DISTANCES = tuple(
    Figure(f"rings.vehicle.{ring}.AP_2m", ring.replace("-", " to ").replace("m", " m"), 100, 1) for ring in RING_NAMES
)
"""Vehicle AP by distance from the ego, of the table that shows where a student falls behind its teacher."""

_COMPARED = (S1, S2, S3, SELF)
"""With the student alone: of the same size, and trained with the same annotations as long."""


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
        seeds: that are measured.
        differences: by metric: from the student alone, one for each seed that both have.
        command: that trained the first seed.
        hours: of training, the mean of the seeds; with those of the runs that it goes on from.
        machine: on which it was trained.
        side_by_side: jobs that might run at the same time.
    """

    row: Row
    parameters: float
    seeds: tuple[int, ...]
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
        for row in (*ROWS, *SHIPPED_ROWS)
    }
    return [_summary(experiment, row, found, runs[ALONE]) for row, found in runs.items() if found]


def _summary(experiment: Experiment, row: Row, runs: Sequence[Run], alone: Sequence[Run]) -> SummaryRow:
    compared = [read_run(experiment.figures(run)) for run in runs]
    own = _intervals(experiment, [runs[0]])
    cells = {
        figure.metric: Cell(
            tuple(find(each.evaluation.tasks, figure.metric).value for each in compared), own.get(figure.metric)
        )
        for figure in (*FIGURES, *DISTANCES)
    }
    records = _records(experiment, runs)
    before = _records(experiment, [earlier for run in runs for earlier in experiment.runs_before(run)])
    return SummaryRow(
        row,
        find(compared[0].evaluation.tasks, "speed.parameters").value,
        tuple(run.seed for run in runs),
        cells,
        _differences(experiment, alone, runs) if row in _COMPARED else {},
        records[0].command if records else "",
        sum(record.seconds for record in (*records, *before)) / 3600 / len(records) if records else float("nan"),
        records[0].machine if records else "",
        records[0].side_by_side if records else 1,
    )


def _records(experiment: Experiment, runs: Sequence[Run]) -> list[Record]:
    """How they were trained; those that were made by hand have none."""
    found = [read_record(experiment.folder, f"train-{run.name}") for run in runs]
    return [record for record in found if record is not None]


def _differences(experiment: Experiment, alone: Sequence[Run], runs: Sequence[Run]) -> dict[str, Cell]:
    """By metric, seed by seed; those that one of the two has not measured are left out."""
    pairs = [(theirs, ours) for ours in runs for theirs in alone if theirs.seed == ours.seed]
    if not pairs:
        return {}
    read = [tuple(read_run(experiment.figures(run)).evaluation.tasks for run in pair) for pair in pairs]
    intervals, differences = _intervals(experiment, pairs[0]), {}
    for figure in FIGURES:
        measures = [tuple(find(tasks, figure.metric) for tasks in pair) for pair in read]
        if all(measure.valid for pair in measures for measure in pair):
            values = tuple(ours.value - theirs.value for theirs, ours in measures)
            differences[figure.metric] = Cell(values, intervals.get(figure.metric))
    return differences


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
