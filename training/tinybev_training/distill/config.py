"""What is distilled and how: the stages of a recipe differ in this alone."""

from __future__ import annotations

from dataclasses import dataclass, field

from tinybev.errors import UserError
from tinybev_training.distill.terms import DistillWeights, Temperature


@dataclass(frozen=True)
class RegionConfig:
    """Adaptive region-aware weighting.

    Attributes:
        strength: how much more than the background a region of mean importance counts.
        momentum: of the running disagreement per region kind, 0 to 1; at 1 it is the mean since the start.
        adaptive: whether importances follow the disagreement; otherwise all are 1.
        corridor_m: half the width of the corridor about the plan, metres.
    """

    strength: float = 2.0
    momentum: float = 0.99
    adaptive: bool = True
    corridor_m: float = 2.0

    def __post_init__(self) -> None:
        if not (0 <= self.strength < float("inf") and 0 <= self.momentum <= 1 and self.corridor_m > 0):
            raise UserError(
                "regions: expected strength of 0 or more, momentum from 0 to 1 and a positive corridor_m, "
                f"got {self.strength}, {self.momentum} and {self.corridor_m}; correct the recipe."
            )


@dataclass(frozen=True)
class DistillConfig:
    """What is distilled.

    Attributes:
        weights: of the terms; 0 switches one off.
        temperature: of the logits.
        regions: None weights all cells alike.
        ramp_steps: over which the weights rise linearly from nothing; for a teacher that still has to learn itself.
    """

    weights: DistillWeights = field(default_factory=DistillWeights)
    temperature: Temperature = field(default_factory=Temperature)
    regions: RegionConfig | None = None
    ramp_steps: int = 0

    def __post_init__(self) -> None:
        if self.ramp_steps < 0:
            raise UserError(f"distill.ramp_steps: expected 0 or more, got {self.ramp_steps}; correct the recipe.")

    def share(self, step: int) -> float:
        """The share of the weights that counts in ``step``, of which the first is 0."""
        return min(1.0, (step + 1) / self.ramp_steps) if self.ramp_steps else 1.0


FEATURE_LEVEL = DistillConfig(DistillWeights(feature=1.0))
"""S1: the shared features alone."""

OUTPUT_LEVEL = DistillConfig(DistillWeights(heatmap=2.0, box=0.25, map=1.0, occupancy=1.0, motion=0.2, plan=0.05))
"""S2: every head's output."""

JOINT = DistillConfig(
    # Three times S2's heatmap: regions weigh objects about 3, and the term is a mean over those weights.
    DistillWeights(feature=1.0, heatmap=6.0, box=0.25, map=1.0, occupancy=1.0, motion=0.2, plan=0.05),
    regions=RegionConfig(),
)
"""S3: features and outputs, weighted by region."""
