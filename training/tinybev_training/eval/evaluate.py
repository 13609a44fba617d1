"""Predictions against samples: every task that is not the devkit's, sample by sample, then over scenes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from nuscenes.nuscenes import NuScenes
from tqdm import tqdm

from tinybev.runtime.plan_refinement import turned_yaws
from tinybev_training.data.dataset import NuScenesDataset, TargetGrids
from tinybev_training.data.occupancy import CellRule
from tinybev_training.data.sample import Sample
from tinybev_training.eval.detection_rings import SampleRings, detection_rings, ring_measures
from tinybev_training.eval.ground_truth import Annotated, annotated
from tinybev_training.eval.map_iou import MapCells, map_cells, map_measures
from tinybev_training.eval.measure import Measure, Measures, ratio
from tinybev_training.eval.motion import MOTION_CLASSES, MotionErrors, motion_errors, motion_measures, motion_sample
from tinybev_training.eval.occupancy import SampleOccupancy, occupancy_measures, occupancy_score
from tinybev_training.eval.planning import PlanErrors, PlanTruth, plan_errors, plan_truth, planning_measures
from tinybev_training.eval.predictions import Prediction
from tinybev_training.eval.sample_boxes import SampleBoxes, sample_boxes

GRIDS = TargetGrids(rule=CellRule.UNIAD)
"""Map and occupancy are measured on UniAD's grids, occupancy drawn by its rule."""
UNIAD_MOTION_CLASS = "car"
"""The merged class whose figures stand for motion; the other's carry its name."""

T = TypeVar("T")
Tasks = dict[str, Measures]
"""Measures by task."""
Predict = Callable[[Sample, Annotated], Prediction]
"""Gives the prediction of a sample."""


@dataclass(frozen=True)
class Thresholds:
    """What decides between yes and no.

    Attributes:
        score: boxes below are not evaluated as moving agents, nor in the report.
        map: from this probability on a cell belongs to a map class.
        occupancy: from this probability on a cell is occupied.
    """

    score: float
    map: float
    occupancy: float


@dataclass(frozen=True)
class SampleScores:
    """One sample, ready to be summed; None where the prediction has no output for a task.

    Attributes:
        scene: name of its scene.
        motion: by merged class.
        map: cells of each map class.
        occupancy: None as well where the sample's future, or the whole split, is not annotated.
        plan, raw_plan: with and without refinement.
        boxes: found and kept apart, for the report.
        rings: boxes matched for the figures by distance and visibility.
    """

    scene: str
    motion: dict[str, MotionErrors] | None
    map: MapCells | None
    occupancy: SampleOccupancy | None
    plan: PlanErrors | None
    raw_plan: PlanErrors | None
    boxes: SampleBoxes
    rings: SampleRings


def score_dataset(
    nusc: NuScenes,
    dataset: NuScenesDataset,
    predict: Predict,
    thresholds: Thresholds,
    each: Callable[[Prediction], None] = lambda prediction: None,
) -> list[SampleScores]:
    """Scores every sample of ``dataset``, which has ``GRIDS``, under a progress bar.

    Args:
        nusc: the dataset's tables.
        dataset: the samples.
        predict: gives the prediction for a sample.
        thresholds: to decide by.
        each: is handed every prediction, in the order of the samples.
    """
    scores = []
    has_annotations = any(len(where.keyframe.annotations) for where in dataset.keyframes)
    for index in tqdm(range(len(dataset)), "evaluating", unit="sample"):
        sample, where = dataset[index], dataset.keyframes[index]
        known = annotated(nusc, sample)
        prediction = predict(sample, known)
        each(prediction)
        truth = plan_truth(where.scene, where.number, prediction.map_T_base, sample.plan, has_annotations)
        scores.append(score_sample(prediction, sample, known, truth, thresholds))
    return scores


def score_sample(
    prediction: Prediction, sample: Sample, known: Annotated, truth: PlanTruth, thresholds: Thresholds
) -> SampleScores:
    """One prediction against its sample."""
    motion = cells = occupancy = plan = raw_plan = None
    if prediction.trajectories is not None:
        motion = {
            name: motion_errors(
                motion_sample(
                    name,
                    prediction.detections,
                    prediction.trajectories,
                    sample.agents,
                    known.observed,
                    thresholds.score,
                )
            )
            for name in MOTION_CLASSES
        }
    if prediction.map is not None:
        cells = map_cells(prediction.map, sample.map, thresholds.map)
    if prediction.occupancy is not None and truth.annotated:
        occupancy = occupancy_score(prediction.occupancy, sample.occupancy, thresholds.occupancy)
    if prediction.plan is not None:
        said = prediction.plan
        plan = plan_errors(said.positions, said.yaws, truth)
        raw_yaws = turned_yaws(said.yaws, said.positions, said.raw_positions)  # back to what the network gave
        raw_plan = plan_errors(said.raw_positions, raw_yaws, truth)
    boxes = sample_boxes(prediction.detections, sample.agents.boxes, known.observed, thresholds.score)
    rings = detection_rings(prediction.detections, sample.agents.boxes, sample.agents.visibility, known.observed)
    return SampleScores(sample.scene, motion, cells, occupancy, plan, raw_plan, boxes, rings)


def dense_tasks(scores: Sequence[SampleScores]) -> Tasks:
    """Boxes by ring, motion, map, occupancy and planning over samples.

    ``outputs`` of a task counts the samples that have an output for it; its value is their share. Boxes have none: a
    sample without an output has no box, as in the official detection.
    """
    motion = {
        name: motion_measures([score.motion[name] for score in scores if score.motion is not None])
        for name in MOTION_CLASSES
    }
    refined = planning_measures(_present(score.plan for score in scores))
    raw = planning_measures(_present(score.raw_plan for score in scores))
    return {
        "rings": ring_measures([score.rings for score in scores]),
        "motion": {
            **motion[UNIAD_MOTION_CLASS],
            **{
                f"{name}.{key}": measure
                for name in MOTION_CLASSES
                if name != UNIAD_MOTION_CLASS
                for key, measure in motion[name].items()
            },
            "outputs": _share([score.motion is not None for score in scores]),
        },
        "map": {
            **map_measures(_present(score.map for score in scores)),
            "outputs": _share([score.map is not None for score in scores]),
        },
        "occupancy": {
            **occupancy_measures(_present(score.occupancy for score in scores)),
            "samples": _share([score.occupancy is not None for score in scores]),
        },
        "planning": {
            **refined,
            **{f"raw.{key}": measure for key, measure in raw.items() if not _same_when_raw(key)},
            "outputs": _share([score.plan is not None for score in scores]),
        },
    }


def _same_when_raw(key: str) -> bool:
    """Whether a planning figure does not depend on the plan."""
    return "human" in key or "with_future" in key


def by_scene(scores: Sequence[SampleScores]) -> dict[str, Tasks]:
    """:func:`dense_tasks` of each scene alone."""
    scenes = dict.fromkeys(score.scene for score in scores)
    return {scene: dense_tasks([score for score in scores if score.scene == scene]) for scene in scenes}


def _present(items: Iterable[T | None]) -> list[T]:
    return [item for item in items if item is not None]


def _share(flags: Sequence[bool]) -> Measure:
    """The share of samples where it is so, counting all samples."""
    return ratio(sum(flags), len(flags))
