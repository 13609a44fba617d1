"""An overlay as shapes in base_link, made once and drawn in every view."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tinybev.draw.boxes import Boxes
from tinybev.draw.ground_lines import GroundLine, Pieces, ground_lines, plan_path
from tinybev.draw.overlay import Overlay
from tinybev.geometry import Array
from tinybev.types import Plan

PLAN_WIDTH_M = 1.7
"""Of the ribbon that shows the plan in the cameras: about a car's."""


@dataclass(frozen=True)
class Shapes:
    """What the views draw of an overlay; occupancy has no shape, it is left to the bird's-eye view.

    Attributes:
        lines: on the ground.
        pieces: the same lines, cut.
        ribbon: (P, 3) outline of the band that shows the plan in the cameras, empty without a plan.
        detections, truth: the boxes.
    """

    lines: tuple[GroundLine, ...]
    pieces: Pieces
    ribbon: Array
    detections: Boxes
    truth: Boxes

    @classmethod
    def of_overlay(cls, overlay: Overlay) -> Shapes:
        """The shapes of ``overlay``."""
        lines = ground_lines(overlay)
        return cls(
            lines,
            Pieces.of_lines(lines),
            np.empty((0, 3)) if overlay.plan is None else _ribbon(overlay.plan),
            Boxes.of_detections(overlay.detections),
            Boxes.of_truth(overlay.truth),
        )


def _ribbon(plan: Plan) -> Array:
    """The outline (2P, 3) of a band around the planned path, on the ground."""
    path = plan_path(plan)
    direction = np.gradient(path, axis=0)
    length = np.maximum(np.linalg.norm(direction, axis=1, keepdims=True), 1e-6)
    left = np.column_stack([-direction[:, 1], direction[:, 0]]) / length * PLAN_WIDTH_M / 2
    outline = np.vstack([path + left, (path - left)[::-1]])
    return np.column_stack([outline, np.zeros(len(outline))])
