"""Raw detection outputs to boxes in metres and radians."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from tinybev.geometry import BevGrid
from tinybev.model.heads.detection import DetectionOutputs
from tinybev.model.heads.peaks import Peaks
from tinybev.types import ATTRIBUTES, DETECTION_CLASSES, Detections, Floats

_ATTRIBUTE_GROUP = {
    **dict.fromkeys(("car", "truck", "construction_vehicle", "bus", "trailer"), "vehicle"),
    **dict.fromkeys(("motorcycle", "bicycle"), "cycle"),
    "pedestrian": "pedestrian",
}
"""The attributes that a class can have; barriers and cones have none."""
_ALLOWED_KA = np.array(
    [[_ATTRIBUTE_GROUP.get(name) == attribute.split(".")[0] for attribute in ATTRIBUTES] for name in DETECTION_CLASSES]
)
LOG_SIZE_RANGE = (np.log(0.05), np.log(50.0))
"""Outside of it a size is no object's, and its exponential may overflow."""


def decode_detections(
    outputs: DetectionOutputs, agents: Peaks, grid: BevGrid, score_threshold: float, max_objects: int
) -> tuple[Detections, NDArray[np.int64]]:
    """The boxes of the first frame of a batch, best first, not tracked yet; and which of ``agents`` they are.

    Args:
        outputs: of the detection head.
        agents: the peaks of its heatmap, best first.
        grid: of the heads.
        score_threshold, max_objects: which peaks count.
    """
    scores, class_ids, cells = (part[0].numpy() for part in agents)
    agent_rows = np.flatnonzero((scores >= score_threshold) & (scores > 0))[:max_objects]
    scores, class_ids, cells = scores[agent_rows], class_ids[agent_rows], cells[agent_rows]

    def at_centers(map_BCXY: Tensor) -> Floats:
        """(N, C)."""
        return map_BCXY[0].flatten(1).numpy()[:, cells].T.astype(np.float64)

    corner = np.stack(np.divmod(cells, grid.shape[1]), axis=1)
    xy = grid.cell_to_metric(corner + at_centers(outputs.offset_B2XY))
    heading = at_centers(outputs.heading_B2XY)
    attribute = np.where(_ALLOWED_KA[class_ids], at_centers(outputs.attribute_BAXY), -np.inf)
    detections = Detections(
        centers=np.hstack([xy, at_centers(outputs.height_B1XY)]),
        sizes=np.exp(np.clip(at_centers(outputs.log_size_B3XY), *LOG_SIZE_RANGE)),
        yaws=np.arctan2(heading[:, 0], heading[:, 1]),
        velocities=at_centers(outputs.velocity_B2XY),
        scores=scores.astype(np.float64),
        class_ids=class_ids.astype(np.int64),
        attribute_ids=np.where(np.isfinite(attribute).any(axis=1), attribute.argmax(axis=1), -1),
        track_ids=np.zeros(len(scores), dtype=np.int64),
    )
    return detections, agent_rows
