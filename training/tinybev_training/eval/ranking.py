"""The samples of a run from best to worst, task by task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from tinybev_training.eval.evaluate import SampleScores, dense_tasks
from tinybev_training.eval.measure import Measure
from tinybev_training.eval.sample_boxes import accuracies, f1
from tinybev_training.eval.table import find


@dataclass(frozen=True)
class Ranking:
    """What ranks the samples of a task.

    Attributes:
        title: of the task, for people.
        explanation: of the figure, in a sentence.
        unit: of the figure.
        metric: TASK.NAME of the figure, None for the two that have none of their own.
        smaller_is_better: whether it is an error.
    """

    title: str
    explanation: str
    unit: str
    metric: str | None
    smaller_is_better: bool


DETECTION = Ranking(
    "Detection",
    "F1 of the boxes above the robot's threshold, matched within 2 m (ours, of one sample).",
    "",
    None,
    False,
)
TRACKING = Ranking(
    "Tracking",
    "1 - (objects untracked + tracks invented + ids changed) / objects (ours, of one sample); below 0 where more is "
    "wrong than there are objects.",
    "",
    None,
    False,
)
RANKINGS = (
    DETECTION,
    TRACKING,
    Ranking("Motion", "minADE of the vehicles that were found and go on.", " m", "motion.with_future.minADE", True),
    Ranking("Map", "Mean IoU of the classes that are there.", "", "map.IoU", False),
    Ranking("Occupancy", "IoU on the whole grid, now to 2 s.", "", "occupancy.IoU_far", False),
    Ranking("Planning", "Mean distance to the human driver over 3 s.", " m", "planning.stp3.L2_3s", True),
)


@dataclass(frozen=True)
class Case:
    """A sample to show: its place in the dataset and its figure."""

    index: int
    value: float


def ranked_cases(samples: Sequence[SampleScores]) -> dict[Ranking, tuple[Case, ...]]:
    """By ranking, the samples from best to worst, those with something to measure."""
    tasks = [dense_tasks([sample]) for sample in samples]
    by_sample: Mapping[Ranking, Sequence[Measure]] = {
        DETECTION: [f1(sample.boxes) for sample in samples],
        TRACKING: [
            measure
            for _, scene in groupby(samples, lambda sample: sample.scene)
            for measure in accuracies([sample.boxes for sample in scene])
        ],
        **{
            ranking: [find(each, ranking.metric) for each in tasks]
            for ranking in RANKINGS
            if ranking.metric is not None
        },
    }
    ranked = {}
    for ranking, measures in by_sample.items():
        cases = [Case(index, measure.value) for index, measure in enumerate(measures) if measure.valid]
        sign = 1 if ranking.smaller_is_better else -1
        ranked[ranking] = tuple(sorted(cases, key=lambda case: sign * case.value))
    return ranked
