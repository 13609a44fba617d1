"""When the sensors fire, and what is annotated then: shared by what is written and what stays in memory."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tinybev.types import ATTRIBUTES
from tinybev_training.world.catalogue import MODELS
from tinybev_training.world.scenario import TICK_NS, Moment, Scenario

KEYFRAME_NS = 500_000_000
"""Two keyframes a second."""
FIRST_KEYFRAME_NS = 2 * TICK_NS
"""The first keyframe comes this long after the scenario's first tick, so that its cameras fire within the scenario."""
ANNOTATION_RANGE_M = 75.0
"""What is farther from the ego is not annotated."""
MOVING_MPS = {"vehicle": 0.4, "pedestrian": 0.25}


@dataclass(frozen=True)
class Labels:
    """The annotated agents at a keyframe, in the scenario's frame.

    Attributes:
        agents: (M,) index into the scenario's agents.
        centers: (M, 3) middle of the box.
        sizes: (M, 3) length, width, height.
        yaws: (M,).
        class_ids: (M,) index into ``DETECTION_CLASSES``.
        attribute_ids: (M,) index into ``ATTRIBUTES``, -1 for none.
    """

    agents: NDArray[np.int64]
    centers: NDArray[np.float64]
    sizes: NDArray[np.float64]
    yaws: NDArray[np.float64]
    class_ids: NDArray[np.int64]
    attribute_ids: NDArray[np.int64]


def keyframe_stamps(scenario: Scenario) -> list[int]:
    """The stamps of the keyframes, those of their lidar sweeps."""
    return list(range(scenario.start_ns + FIRST_KEYFRAME_NS, scenario.end_ns + 1, KEYFRAME_NS))


def label(scenario: Scenario, moment: Moment) -> Labels:
    """What is annotated at a moment."""
    agents = scenario.agents
    gap = np.linalg.norm(moment.poses[:, :2] - moment.ego[:2], axis=1)
    chosen = np.flatnonzero(moment.present & (gap < ANNOTATION_RANGE_M))
    sizes = agents.sizes[chosen].astype(np.float64)
    poses = moment.poses[chosen]
    around = [
        min(max(moment.stamp_ns + shift, scenario.start_ns), scenario.end_ns) for shift in (-2 * TICK_NS, 2 * TICK_NS)
    ]
    before, after = (scenario.at(stamp).poses[chosen, :2] for stamp in around)
    speeds = np.linalg.norm(after - before, axis=1) / ((around[1] - around[0]) / 1e9)
    return Labels(
        agents=chosen,
        centers=np.concatenate([poses[:, :2], sizes[:, 2:] / 2], axis=1),
        sizes=sizes,
        yaws=poses[:, 2],
        class_ids=np.array([MODELS[model].class_id for model in agents.models[chosen]], dtype=np.int64),
        attribute_ids=np.array(
            [
                _attribute(int(model), float(speed), bool(parked))
                for model, speed, parked in zip(agents.models[chosen], speeds, agents.parked[chosen], strict=True)
            ],
            dtype=np.int64,
        ),
    )


def _attribute(model_id: int, speed: float, parked: bool) -> int:
    model = MODELS[model_id]
    if model.detection_class in ("traffic_cone", "barrier"):
        return -1
    if model.detection_class == "pedestrian":
        return ATTRIBUTES.index("pedestrian.moving" if speed > MOVING_MPS["pedestrian"] else "pedestrian.standing")
    if model.detection_class in ("bicycle", "motorcycle"):
        return ATTRIBUTES.index("cycle.without_rider" if parked else "cycle.with_rider")
    if parked:
        return ATTRIBUTES.index("vehicle.parked")
    return ATTRIBUTES.index("vehicle.moving" if speed > MOVING_MPS["vehicle"] else "vehicle.stopped")


def visibility_level(visible: NDArray[np.int64], coverage: NDArray[np.int64]) -> NDArray[np.int64]:
    """nuScenes' levels, 1 (0 to 40 % seen) to 4 (80 to 100 %), of pixels seen and pixels there would be."""
    share = visible / np.maximum(coverage, 1)
    return 1 + np.searchsorted([0.4, 0.6, 0.8], share, side="right").astype(np.int64)
