"""Planning: UniAD's protocol, ST-P3's as VAD runs it, one with an oriented box, and that at the human's pace.

Plans are at 0.5, 1.0 … 3.0 s. UniAD's value of a time is that of the step, ST-P3's the mean over the steps up to it.
Both protocols put the ego, 1.85 m by 4.084 m, as a box along the axes of the frame *now*, half a metre ahead of the
lidar, onto UniAD's grid of 0.5 m, and leave out the steps where the human driver's own box would collide. That happens,
for the box does not turn and the cells are coarse; its rate is given as ``human_collision``. Collisions are in percent.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tinybev.geometry import Array, invert
from tinybev.types import DETECTION_CLASSES, Floats
from tinybev_training.data.agents import footprints
from tinybev_training.data.occupancy import OCCUPYING_IDS, UNIAD_GRID, CellRule, occupancy_targets
from tinybev_training.data.sample import OCCUPANCY_STEPS, PLAN_STEPS, PlanTargets
from tinybev_training.data.scene_log import SceneLog
from tinybev_training.data.surroundings import Footprints
from tinybev_training.eval.measure import Measures, ratio
from tinybev_training.eval.pace import at_pace_of

EGO_LENGTH_M, EGO_WIDTH_M = 4.084, 1.85
EGO_AHEAD_OF_LIDAR_M = 0.5
STEPS_PER_SECOND = 2
FINE_CELL_M = 0.1

Flags = NDArray[np.bool_]

_CAR, _PEDESTRIAN = DETECTION_CLASSES.index("car"), DETECTION_CLASSES.index("pedestrian")


@dataclass(frozen=True)
class PlanTruth:
    """What a plan is held against, in base_link now.

    Attributes:
        human: where the human drove.
        traffic: the annotated objects at each of the plan's steps, None past the end of the recording.
        lidar_ahead_m: x of the lidar, about which UniAD's grid lies.
        annotated: whether objects are annotated at all, as those of nuScenes' test split are not.
    """

    human: PlanTargets
    traffic: tuple[Footprints | None, ...]
    lidar_ahead_m: float
    annotated: bool = True


@dataclass(frozen=True)
class PlanErrors:
    """One plan against the truth, step by step.

    Attributes:
        l2: (T,) distance to the human's position, metres; 0 at steps that are not valid.
        valid: (T,) whether the recording goes on that far.
        vehicle_hit, human_vehicle_hit: (T,) whether the plan's, the human's box meets a vehicle on the coarse grid.
        any_hit, human_any_hit: (T,) the same with pedestrians.
        oriented_hit, human_oriented_hit: (T,) vehicles and pedestrians, with boxes that turn, on the fine grid.
        paced_l2: (T,) how far apart the plan's way and the human's are, as far along both as the human has come, or as
            the plan goes.
        paced_hit: (T,) ``oriented_hit`` of the plan's way driven at the human's pace, as far as it goes.
        annotated: whether there was anything that could be met; if not, that nothing is hit says nothing.
    """

    l2: Array
    valid: Flags
    vehicle_hit: Flags
    human_vehicle_hit: Flags
    any_hit: Flags
    human_any_hit: Flags
    oriented_hit: Flags
    human_oriented_hit: Flags
    paced_l2: Array
    paced_hit: Flags
    annotated: bool = True


def plan_truth(scene: SceneLog, index: int, map_T_base: Array, human: PlanTargets, annotated: bool = True) -> PlanTruth:
    """The truth at keyframe ``index`` of a scene, where the ego is at ``map_T_base``.

    Args:
        scene, index, map_T_base: the keyframe.
        human: where the human drove.
        annotated: whether the recordings that are measured on have annotated objects at all.
    """
    base_T_map = invert(map_T_base)
    first = footprints(scene.keyframes, index + 1, base_T_map)
    traffic = (*first, *footprints(scene.keyframes, index + 1 + OCCUPANCY_STEPS, base_T_map))[:PLAN_STEPS]
    return PlanTruth(human, traffic, float(scene.keyframes[index].lidar.base_T_lidar[0, 3]), annotated)


def plan_errors(positions: Floats, yaws: Floats, truth: PlanTruth) -> PlanErrors:
    """Holds a plan (T, 2) with headings (T,) in base_link against the truth; T is ``PLAN_STEPS``."""
    human = truth.human
    ahead = truth.lidar_ahead_m + EGO_AHEAD_OF_LIDAR_M
    vehicles = _coarse_cells(truth, pedestrians=False)
    everybody = _coarse_cells(truth, pedestrians=True)
    paced = at_pace_of(positions, yaws, human.positions)
    paced_hit = _oriented_hits(paced.positions, paced.yaws, truth.traffic, ahead)
    return PlanErrors(
        l2=np.where(human.valid, np.linalg.norm(positions - human.positions, axis=1), 0.0),
        valid=human.valid,
        vehicle_hit=_coarse_hits(positions, vehicles) & human.valid,
        human_vehicle_hit=_coarse_hits(human.positions, vehicles) & human.valid,
        any_hit=_coarse_hits(positions, everybody) & human.valid,
        human_any_hit=_coarse_hits(human.positions, everybody) & human.valid,
        oriented_hit=_oriented_hits(positions, yaws, truth.traffic, ahead) & human.valid,
        human_oriented_hit=_oriented_hits(human.positions, human.yaws, truth.traffic, ahead) & human.valid,
        paced_l2=np.where(human.valid, np.linalg.norm(paced.positions - paced.driven, axis=1), 0.0),
        paced_hit=paced_hit & paced.reached & human.valid,
        annotated=truth.annotated,
    )


def planning_measures(errors: Sequence[PlanErrors]) -> Measures:
    """The protocols over samples.

    * ``uniad``: at t. Vehicles. Every sample counts; a step past the end of its recording counts as no error and no
      collision, as in UniAD. ``uniad.with_future_1s`` … tell the share of the samples that are not so; where there is
      none there is nothing to measure.
    * ``stp3``: mean up to t. Vehicles and pedestrians. Only samples whose recording goes on for 3 s.
    * ``oriented``: share of the plans that have collided at t or before. Samples as in ``stp3``; no step is left out.
    * ``paced``: L2 at t, and collisions as in ``oriented``, of the plans' ways driven at the human's pace, as far as
      they go: what is left of the errors when those of speed are taken away. Samples as in ``stp3``.

    The count is that of samples, and for collisions of those with annotations. ``avg`` is the mean over 1, 2 and 3 s.
    """
    complete = [error for error in errors if error.valid.all()]
    judged, completely_judged = ([error for error in some if error.annotated] for some in (errors, complete))
    uniad_hits = [error.vehicle_hit & ~error.human_vehicle_hit for error in judged]
    stp3_hits = [error.any_hit & ~error.human_any_hit for error in completely_judged]
    known = np.any([error.valid for error in errors], axis=0) if errors else np.zeros(PLAN_STEPS, dtype=np.bool_)
    return {
        **_at_steps("uniad.L2", [error.l2 for error in errors], known=known),
        **_at_steps("uniad.collision", uniad_hits, 100, known),
        **_at_steps("uniad.human_collision", [error.human_vehicle_hit for error in judged], 100, known),
        **_at_steps("uniad.with_future", [error.valid for error in errors]),
        **_at_steps("stp3.L2", [_mean_up_to(error.l2) for error in complete]),
        **_at_steps("stp3.collision", [_mean_up_to(hits) for hits in stp3_hits], 100),
        **_at_steps("stp3.human_collision", [_mean_up_to(error.human_any_hit) for error in completely_judged], 100),
        **_at_steps(
            "oriented.collision", [np.logical_or.accumulate(error.oriented_hit) for error in completely_judged], 100
        ),
        **_at_steps(
            "oriented.human_collision",
            [np.logical_or.accumulate(error.human_oriented_hit) for error in completely_judged],
            100,
        ),
        **_at_steps("paced.L2", [error.paced_l2 for error in complete]),
        **_at_steps("paced.collision", [np.logical_or.accumulate(error.paced_hit) for error in completely_judged], 100),
    }


def _at_steps(
    name: str, values: Sequence[NDArray[np.generic]], scale: float = 1.0, known: Flags | None = None
) -> Measures:
    """``name_1s`` … ``name_3s`` and ``name_avg`` of samples' values (T,) by step; nothing where not ``known`` (T,)."""
    count = len(values)
    sums = scale * np.sum(np.array(values, dtype=np.float64).reshape(count, PLAN_STEPS), axis=0)
    steps = [second * STEPS_PER_SECOND - 1 for second in range(1, PLAN_STEPS // STEPS_PER_SECOND + 1)]
    counts = [count if known is None or known[step] else 0 for step in steps]
    named = {
        f"{name}_{second}s": ratio(float(sums[step]), number)
        for second, (step, number) in enumerate(zip(steps, counts, strict=True), start=1)
    }
    return {**named, f"{name}_avg": ratio(float(sums[steps].mean()), min(counts))}


def _mean_up_to(values: NDArray[np.generic]) -> Array:
    return np.asarray(np.cumsum(values, dtype=np.float64) / np.arange(1, len(values) + 1))


def _coarse_cells(truth: PlanTruth, *, pedestrians: bool) -> Flags:
    """(T, X, Y) occupied cells of UniAD's grid about the lidar, by UniAD's rule."""
    steps: list[Footprints | None] = []
    for step in truth.traffic:
        if step is None:
            steps.append(None)
            continue
        # Drawn like vehicles where they count.
        class_ids = np.where(step.class_ids == _PEDESTRIAN, _CAR, step.class_ids) if pedestrians else step.class_ids
        centers = step.centers - np.array([truth.lidar_ahead_m, 0.0])
        steps.append(dataclasses.replace(step, centers=centers, class_ids=class_ids))
    return occupancy_targets(steps, UNIAD_GRID, CellRule.UNIAD).instances > 0


def _coarse_hits(positions: Floats, occupied: Flags) -> Flags:
    """(T,) whether the ego's box along the axes, at positions relative to now, is on an occupied cell.

    UniAD takes the cells whose centre is in the box now and moves them by whole cells, rounding down along its axes
    (forward, and to the right); what leaves the grid is moved onto its border.
    """
    x, y = UNIAD_GRID.cell_centers()
    rows = np.flatnonzero(np.abs(x - EGO_AHEAD_OF_LIDAR_M) <= EGO_LENGTH_M / 2)
    columns = np.flatnonzero(np.abs(y) <= EGO_WIDTH_M / 2)  # the same counted from either side
    row_step, column_step = UNIAD_GRID.x_bound[2], UNIAD_GRID.y_bound[2]
    hits = np.zeros(len(positions), dtype=np.bool_)
    for t, (forward, left) in enumerate(positions):
        moved_rows = np.clip(np.floor(rows + forward / row_step), 0, len(x) - 1).astype(np.int64)
        from_left = np.clip(np.floor(columns - left / column_step), 0, len(y) - 1).astype(np.int64)
        hits[t] = occupied[t][np.ix_(moved_rows, len(y) - 1 - from_left)].any()
    return hits


def _oriented_hits(positions: Floats, yaws: Floats, traffic: Sequence[Footprints | None], ahead_m: float) -> Flags:
    """(T,) whether a cell of the fine grid has its centre both in the ego's turned box and in that of another."""
    hits = np.zeros(len(positions), dtype=np.bool_)
    size = np.array([EGO_LENGTH_M, EGO_WIDTH_M])
    reach = float(np.hypot(*size)) / 2
    for t, others in enumerate(traffic):
        if others is None:
            continue
        yaw = float(yaws[t])
        center = np.asarray(positions[t], dtype=np.float64) + ahead_m * np.array([np.cos(yaw), np.sin(yaw)])
        counted = np.isin(others.class_ids, [*OCCUPYING_IDS, _PEDESTRIAN])
        near = np.linalg.norm(others.centers - center, axis=1) <= reach + np.hypot(*others.sizes.T) / 2
        cells = _fine_cells(center, reach)
        cells = cells[_inside(cells, center, size, yaw)]
        hits[t] = any(
            _inside(cells, others.centers[n], others.sizes[n], float(others.yaws[n])).any()
            for n in np.flatnonzero(counted & near)
        )
    return hits


def _fine_cells(center: Array, reach: float) -> Array:
    """(M, 2) the centres of the fine grid's cells within a square about ``center``; the grid is fixed to base_link."""
    low = np.floor((center - reach) / FINE_CELL_M)
    count = int(np.ceil(2 * reach / FINE_CELL_M)) + 1
    x, y = ((start + np.arange(count) + 0.5) * FINE_CELL_M for start in low)
    return np.stack(np.meshgrid(x, y, indexing="ij"), axis=-1).reshape(-1, 2)


def _inside(points: Array, center: Array, size: Array, yaw: float) -> Flags:
    offset = points - center
    along = offset @ np.array([np.cos(yaw), np.sin(yaw)])
    across = offset @ np.array([-np.sin(yaw), np.cos(yaw)])
    return np.asarray((np.abs(along) <= size[0] / 2) & (np.abs(across) <= size[1] / 2))
