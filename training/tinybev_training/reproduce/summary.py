"""What came out: the rows of the table with their seeds, and intervals over scenes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tinybev_training.eval.compare import Figures, Interval, drawn_sums, interval
from tinybev_training.eval.results_file import Evaluation, read_evaluation
from tinybev_training.eval.rings import RING_NAMES
from tinybev_training.eval.table import find
from tinybev_training.reproduce.experiment import (
    ALONE,
    ALONE_HALF,
    ORACLE,
    ROWS,
    S1,
    S2,
    S3,
    S3_HALF,
    SELF,
    SHIPPED,
    Experiment,
    Row,
    Run,
)
from tinybev_training.reproduce.job import Record, read_record
from tinybev_training.reproduce.kept_draws import drawn_figures_beside


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


def _by_ring(metric: str) -> tuple[Figure, ...]:
    return tuple(
        Figure(metric.format(ring=ring), ring.replace("-", " to ").replace("m", " m"), 100, 1) for ring in RING_NAMES
    )


DISTANCES = {
    "Vehicle AP at 2 m": _by_ring("rings.vehicle.{ring}.AP_2m"),
    "IoU of the drivable area": _by_ring("map.IoU_drivable_{ring}"),
}
"""Figures by distance from the ego, of the tables that show where a student falls behind its teacher."""

_SUMMARIZED = (*FIGURES, *(figure for figures in DISTANCES.values() for figure in figures))

_COMPARED = (
    *((S1, ALONE), (S2, ALONE), (S3, ALONE), (S3, S1), (S3, S2), (SELF, ALONE), (ORACLE, ALONE), (ORACLE, S3)),
    *((S3_HALF, ALONE_HALF), (ALONE, ALONE_HALF), (S3, S3_HALF)),
)
"""Rows whose difference from another row is shown: students of the same size, trained as long, and one given half of
the steps."""


@dataclass(frozen=True)
class Cell:
    """A figure of a row.

    Attributes:
        values: one for each seed; NaN where there was nothing to measure.
        interval: over the scenes, of the mean of the seeds: of the row's own figure, or of its difference from the
            reference.
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
        differences: from other rows, by metric, one for each seed that both have.
        commands: that trained the first seed, one after the other.
        hours: of training, the mean of the seeds; with those of the runs that it goes on from.
        machine: on which it was trained.
        side_by_side: jobs that might run at the same time.
        codes: SHA-256 of the code that measured the seeds, as far as their files tell.
    """

    row: Row
    parameters: float
    seeds: tuple[int, ...]
    cells: dict[str, Cell]
    differences: dict[Row, dict[str, Cell]]
    commands: tuple[str, ...]
    hours: float
    machine: str
    side_by_side: int
    codes: frozenset[str]


@dataclass(frozen=True)
class _Measured:
    """A run that is measured.

    Attributes:
        run: which.
        evaluation: its figures.
        drawn: its figures in every resample of the scenes, but for those that are sums over scenes.
    """

    run: Run
    evaluation: Evaluation
    drawn: Figures


def summarize(experiment: Experiment) -> list[SummaryRow]:
    """The rows that are finished, in the table's order."""
    measured = {
        row: [
            _measured(experiment, run)
            for run in experiment.runs
            if run.row is row and experiment.figures(run).is_file()
        ]
        for row in (*ROWS, SHIPPED)
    }
    return [_summary(experiment, row, measured) for row, found in measured.items() if found]


def _measured(experiment: Experiment, run: Run) -> _Measured:
    path = experiment.figures(run)
    return _Measured(run, read_evaluation(path), drawn_figures_beside(path))


def _summary(experiment: Experiment, row: Row, all_measured: Mapping[Row, Sequence[_Measured]]) -> SummaryRow:
    measured = all_measured[row]
    runs = [each.run for each in measured]
    cells = {
        figure.metric: Cell(
            tuple(find(each.evaluation.tasks, figure.metric).value for each in measured),
            _interval(measured, (), figure.metric),
        )
        for figure in _SUMMARIZED
    }
    records = _records(experiment, runs)
    before = _records(experiment, [earlier for run in runs for earlier in experiment.runs_before(run)])
    return SummaryRow(
        row,
        find(measured[0].evaluation.tasks, "speed.parameters").value,
        tuple(run.seed for run in runs),
        cells,
        {
            other: found
            for one, other in _COMPARED
            if one is row and (found := _differences(all_measured[other], measured))
        },
        tuple(record.command for record in _records(experiment, (*experiment.runs_before(runs[0]), runs[0]))),
        sum(record.seconds for record in (*records, *before)) / 3600 / len(records) if records else float("nan"),
        records[0].machine if records else "",
        records[0].side_by_side if records else 1,
        frozenset(str(each.evaluation.run["code"]) for each in measured if "code" in each.evaluation.run),
    )


def _records(experiment: Experiment, runs: Sequence[Run]) -> list[Record]:
    """How they were trained; those that were made by hand have none."""
    found = [read_record(experiment.folder, f"train-{run.name}") for run in runs]
    return [record for record in found if record is not None]


def _differences(others: Sequence[_Measured], measured: Sequence[_Measured]) -> dict[str, Cell]:
    """By metric, seed by seed; those that one of the two has not measured are left out."""
    pairs = [(theirs, ours) for ours in measured for theirs in others if theirs.run.seed == ours.run.seed]
    if not pairs:
        return {}
    theirs, ours = zip(*pairs, strict=True)
    differences = {}
    for figure in FIGURES:
        measures = [tuple(find(each.evaluation.tasks, figure.metric) for each in pair) for pair in pairs]
        if all(measure.valid for pair in measures for measure in pair):
            values = tuple(mine.value - other.value for other, mine in measures)
            differences[figure.metric] = Cell(values, _interval(ours, theirs, figure.metric))
    return differences


def _interval(ours: Sequence[_Measured], theirs: Sequence[_Measured], metric: str) -> Interval | None:
    """Of the mean of our runs, less that of theirs where there are some, in the same resamples of the scenes."""
    drawn = _drawn((*ours, *theirs), metric)
    if not drawn:
        return None
    mean = np.mean(drawn[: len(ours)], axis=0)
    return interval(mean - np.mean(drawn[len(ours) :], axis=0) if theirs else mean)


def _drawn(runs: Sequence[_Measured], metric: str) -> list[NDArray[np.float64]]:
    """A figure of each run in every resample; nothing where one of them does not have it."""
    if all(metric in run.drawn for run in runs):
        return [run.drawn[metric] for run in runs]
    return drawn_sums([run.evaluation for run in runs], metric)
