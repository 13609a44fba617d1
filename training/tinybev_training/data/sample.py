"""One training sample: the input of the student and the targets of every head, free of how they came about.

Frames, axes and units are those of ``tinybev.types`` and ``tinybev.geometry``: base_link at the sample's reference
stamp, metres, radians, grids as (row = x, column = y). A target that is unknown is masked, never guessed.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from tinybev.geometry import Array, BevGrid
from tinybev.types import Detections, EgoStatus, Frame

MOTION_STEPS = 12
"""Future steps of an agent, 0.5 s apart: 6 s, as UniAD's."""
PLAN_STEPS = 6
"""Future steps of the ego, 0.5 s apart: 3 s, as UniAD's."""
OCCUPANCY_STEPS = 5
"""Occupancy now and 0.5, 1.0, 1.5, 2.0 s later, as UniAD's."""
STEP_S = 0.5


@dataclass(frozen=True)
class AgentTargets:
    """Boxes and futures of the N annotated agents.

    Attributes:
        boxes: the boxes now; ``track_ids`` are consistent within a scene, ``scores`` are 1; a velocity that is unknown
            is NaN.
        lidar_points: (N,) lidar points in the box, -1 where unknown.
        visibility: (N,) nuScenes' visibility level 1 to 4, 0 where unknown.
        futures: (N, ``MOTION_STEPS``, 2) positions at the future steps.
        futures_valid: (N, ``MOTION_STEPS``) whether the agent is annotated then.
    """

    boxes: Detections
    lidar_points: NDArray[np.int64]
    visibility: NDArray[np.int64]
    futures: NDArray[np.float32]
    futures_valid: NDArray[np.bool_]


@dataclass(frozen=True)
class OccupancyTargets:
    """Instance ids per cell.

    Attributes:
        instances: (``OCCUPANCY_STEPS``, X, Y) id of the agent in the cell (its track id), 0 for none.
        valid: (``OCCUPANCY_STEPS``,) whether the step is annotated.
        grid: of the cells.
    """

    instances: NDArray[np.int32]
    valid: NDArray[np.bool_]
    grid: BevGrid


@dataclass(frozen=True)
class MapTargets:
    """(4, X, Y) masks by ``MapClass``, ``valid`` (4,) where the map knows the class at all, and their grid."""

    masks: NDArray[np.bool_]
    valid: NDArray[np.bool_]
    grid: BevGrid


@dataclass(frozen=True)
class PlanTargets:
    """Where the ego went.

    Attributes:
        positions: (``PLAN_STEPS``, 2).
        yaws: (``PLAN_STEPS``,).
        valid: (``PLAN_STEPS``,) whether the recording goes on that far.
    """

    positions: NDArray[np.float32]
    yaws: NDArray[np.float32]
    valid: NDArray[np.bool_]


@dataclass(frozen=True)
class SweepPose:
    """Where the lidar was when its sweep ended, the stamp that nuScenes' boxes are annotated at.

    Attributes:
        base_T_sweep: (4, 4) from base_link as recorded at that stamp to the sample's base_link; the ego's motion and
            the augmentation of the world, which may make it a reflection.
        sweep_T_lidar: (4, 4) mounting of the lidar.
    """

    base_T_sweep: Array
    sweep_T_lidar: Array


@dataclass(frozen=True)
class PastFrame:
    """An earlier keyframe, for networks with a memory: ``frame`` and ``lidar_points`` (P, 5) in base_link *then*, the
    ego's pose then in ``frame.map_T_base``."""

    frame: Frame
    lidar_points: NDArray[np.float32]


@dataclass(frozen=True)
class Sample:
    """One keyframe.

    Attributes:
        scene: name of the scene.
        token: nuScenes' sample token.
        frame: the input; ``frame.goal`` holds UniAD's command and, where the recording goes on, a goal point.
        ego: ego status now.
        agents, occupancy, map, plan: the targets.
        lidar_points: (P, 5) x, y, z in base_link, intensity, ring; (0, 5) where there is no lidar.
        sweep: where the lidar was, known without its points too; None where there is none.
        augmented_T_base: (4, 4) from base_link as recorded to the turned or mirrored base_link that all this is in.
    """

    scene: str
    token: str
    frame: Frame
    ego: EgoStatus | None
    agents: AgentTargets
    occupancy: OccupancyTargets
    map: MapTargets
    plan: PlanTargets
    lidar_points: NDArray[np.float32]
    sweep: SweepPose | None = None
    augmented_T_base: Array = field(default_factory=lambda: np.eye(4))
