"""What is drawn over a frame."""

from __future__ import annotations

from dataclasses import dataclass

from tinybev.runtime.options import PipelineOptions
from tinybev.types import Detections, MapSegment, Occupancy, Plan, Results, Trajectories, WeightsInfo


@dataclass(frozen=True)
class Overlay:
    """What to draw, all in base_link at the frame's stamp; a part that is None or empty is not drawn.

    Attributes:
        detections: boxes, in the colour of their class.
        segments: polylines on the ground; closed outlines of the drivable area are filled by the even-odd rule, so an
            outline inside another is a hole.
        trajectories: the modes of each agent, the likelier the more opaque.
        occupancy: shown in the bird's-eye view.
        occupied_from: the probability from which on a cell is shown as occupied; by default the one from which on a
            plan gives way to it by default.
        plan: the ego's trajectory, its step marks, and the goal.
        truth: annotations, as thin outlines in a colour of their own.
        title: the caption's left side.
        notice: a sentence nobody may miss, as a banner; None for no banner.
    """

    detections: Detections | None = None
    segments: tuple[MapSegment, ...] = ()
    trajectories: Trajectories | None = None
    occupancy: Occupancy | None = None
    plan: Plan | None = None
    truth: Detections | None = None
    title: str = ""
    notice: str | None = None
    occupied_from: float = PipelineOptions.occupancy_threshold

    @classmethod
    def of_results(cls, results: Results, title: str = "", truth: Detections | None = None) -> Overlay:
        """All five outputs of one frame; weights that have never seen data are announced in the banner."""
        weights = results.weights
        return cls(
            detections=results.detections,
            segments=results.map.segments,
            trajectories=results.trajectories,
            occupancy=results.occupancy,
            plan=results.plan,
            truth=truth,
            title=title,
            notice=untrained_notice(weights),
        )


def untrained_notice(weights: WeightsInfo) -> str | None:
    """What the banner says of weights that have never seen data; None of others."""
    if weights.trained:
        return None
    return f"UNTRAINED WEIGHTS: {weights.name}, trained on {weights.trained_on}; the outputs mean nothing"
