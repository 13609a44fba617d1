"""The terms that are learnt from annotations, and how much each counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from torch import Tensor

from tinybev.errors import UserError


class SupervisedTerms(NamedTuple):
    """Unweighted scalars; 0 where a term is switched off or the batch has nothing to compare with.

    Attributes:
        heatmap: penalty-reduced focal loss of the object centres.
        box: L1, and Huber's of the velocities, of the boxes at the annotated centres.
        attribute: cross entropy of the attributes there.
        depth: cross entropy of the depth bins, from lidar.
        map: cross entropy and Dice of the map classes.
        occupancy: the same of the occupied cells.
        flow: L1 of the occupied cells' flow, metres.
        motion: negative log-likelihood of the agents' futures under the best mode.
        mode: cross entropy of the best mode.
        plan: L1 of the ego's positions, metres.
        heading: L1 of sine and cosine of the ego's yaw.
    """

    heatmap: Tensor
    box: Tensor
    attribute: Tensor
    depth: Tensor
    map: Tensor
    occupancy: Tensor
    flow: Tensor
    motion: Tensor
    mode: Tensor
    plan: Tensor
    heading: Tensor


@dataclass(frozen=True)
class SupervisedWeights:
    """The factor of each of ``SupervisedTerms``; 0 switches the term off, so that it is not even computed.

    The plan's is small because its error is in metres and most of it is no fault of the features: at 0.5 its gradient
    in the shared layers is several times that of all others (docs/distillation.md).
    """

    heatmap: float = 1.0
    box: float = 0.25
    attribute: float = 0.2
    depth: float = 1.0
    map: float = 1.0
    occupancy: float = 1.0
    flow: float = 0.1
    motion: float = 0.1
    mode: float = 0.2
    plan: float = 0.05
    heading: float = 0.5

    def __post_init__(self) -> None:
        check_weights(self)


class Terms(Protocol):
    """A named tuple of scalar tensors."""

    def _asdict(self) -> dict[str, Any]: ...


def weighted_sum(terms: Terms, weights: object) -> Tensor:
    """The sum of ``terms``, each times the field of ``weights`` of the same name."""
    total: Tensor = sum(getattr(weights, name) * term for name, term in terms._asdict().items())
    return total


def check_weights(weights: object) -> None:
    """Refuses weights that a loss cannot have.

    Raises:
        UserError: a field is negative or not finite.
    """
    for name, value in vars(weights).items():
        if not 0 <= value < float("inf"):
            raise UserError(f"weight {name}: expected a finite number of 0 or more, got {value}; correct the recipe.")
