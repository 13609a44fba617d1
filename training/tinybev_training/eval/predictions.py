"""What is evaluated: the outputs for one keyframe, as the robot's pipeline gives them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tinybev.geometry import Array, BevGrid
from tinybev.runtime.output_decoder import DecodedOutputs
from tinybev.types import Detections, Floats, Occupancy, Plan, Results, Trajectories


@dataclass(frozen=True)
class MapMasks:
    """(4, X, Y) probability per ``MapClass`` and cell, and their grid."""

    probability: Floats
    grid: BevGrid


@dataclass(frozen=True)
class Prediction:
    """The outputs for one keyframe, in base_link at ``map_T_base``.

    Attributes:
        token: nuScenes' sample token.
        map_T_base: (4, 4) ego pose that the outputs belong to.
        detections: boxes; those with a track id above 0 are evaluated as tracks too.
        trajectories, map, occupancy, plan: the other tasks; None where there is no output (a keyframe without images,
            or predictions that come from elsewhere), which their metrics count as missing.
    """

    token: str
    map_T_base: Array
    detections: Detections
    trajectories: Trajectories | None = None
    map: MapMasks | None = None
    occupancy: Occupancy | None = None
    plan: Plan | None = None


def from_results(token: str, map_T_base: Array, results: Results | DecodedOutputs) -> Prediction:
    """The outputs of the pipeline, or of another network decoded alike, for the keyframe ``token``."""
    return Prediction(
        token,
        map_T_base,
        results.detections,
        results.trajectories,
        MapMasks(results.map.masks, results.map.grid),
        results.occupancy,
        results.plan,
    )


def without_output(token: str, map_T_base: Array) -> Prediction:
    """For a keyframe that no output could be computed for."""
    return Prediction(token, map_T_base, NO_DETECTIONS)


def select(detections: Detections, rows: NDArray[np.bool_] | NDArray[np.integer]) -> Detections:
    """The rows of ``detections`` that a mask or indices choose."""
    return Detections(
        detections.centers[rows],
        detections.sizes[rows],
        detections.yaws[rows],
        detections.velocities[rows],
        detections.scores[rows],
        detections.class_ids[rows],
        detections.attribute_ids[rows],
        detections.track_ids[rows],
    )


_NO_IDS = np.zeros(0, dtype=np.int64)
NO_DETECTIONS = Detections(
    np.zeros((0, 3)), np.zeros((0, 3)), np.zeros(0), np.zeros((0, 2)), np.zeros(0), _NO_IDS, _NO_IDS, _NO_IDS
)
"""Nothing detected."""
