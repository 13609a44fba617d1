"""The terms that are learnt from a teacher, how much each counts, and how soft its logits are made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor

from tinybev.errors import UserError
from tinybev_training.losses.terms import check_weights


class DistillTerms(NamedTuple):
    """Unweighted scalars; 0 where a term is switched off or the teacher has nothing to say.

    Attributes:
        feature: squared distance of the normalised shared features.
        heatmap: divergence of the object centres.
        box: L1, and Huber's of the velocities, of the boxes at the teacher's objects.
        map: divergence of the map classes.
        occupancy: divergence of the occupied cells.
        motion: distance to the futures that the teacher expects, and divergence of the modes.
        plan: L1 of the ego's positions, metres.
    """

    feature: Tensor
    heatmap: Tensor
    box: Tensor
    map: Tensor
    occupancy: Tensor
    motion: Tensor
    plan: Tensor


class DistillMask(NamedTuple):
    """Whether each of ``DistillTerms`` can be anything but 0: it is switched on, and the teacher speaks of it."""

    feature: bool
    heatmap: bool
    box: bool
    map: bool
    occupancy: bool
    motion: bool
    plan: bool


@dataclass(frozen=True)
class DistillWeights:
    """The factor of each of ``DistillTerms``; 0 switches the term off, so that it is not even computed."""

    feature: float = 0.0
    heatmap: float = 0.0
    box: float = 0.0
    map: float = 0.0
    occupancy: float = 0.0
    motion: float = 0.0
    plan: float = 0.0

    def __post_init__(self) -> None:
        check_weights(self)


@dataclass(frozen=True)
class Temperature:
    """By what the logits of both networks are divided before they are compared; 1 leaves them as they are."""

    heatmap: float = 1.0
    map: float = 1.0
    occupancy: float = 1.0
    mode: float = 2.0

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not 0 < value < float("inf"):
                raise UserError(f"temperature of {name}: expected a positive number, got {value}; correct the recipe.")
