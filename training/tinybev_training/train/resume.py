"""Whether a checkpoint is this run's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tinybev.errors import UserError
from tinybev_training.train.recipe import Recipe
from tinybev_training.train.typed_json import leaves, to_json

KEY = "identity"


@dataclass(frozen=True)
class Identity:
    """What a checkpoint fits to.

    Attributes:
        recipe: by which it is trained.
        samples: digest of the training samples and their order.
        teacher: digest of the teacher's weights; None where there is none of ours, or one that changes.
        image_weights: of the file that the image backbone began with; None for seeded weights.
    """

    recipe: Recipe
    samples: str
    teacher: str | None = None
    image_weights: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """In JSON's types."""
        values: dict[str, Any] = to_json(self)
        return values


def check_identity(found: Mapping[str, Any], expected: Identity, source: str) -> None:
    """Refuses a checkpoint of another run.

    Args:
        found: ``Identity.to_dict`` of the checkpoint's run.
        expected: of the run that is to go on.
        source: names the checkpoint in complaints.

    Raises:
        UserError: they differ; it names the first difference.
    """
    ours, theirs = leaves(expected), leaves(found)
    for name in sorted(ours.keys() | theirs.keys()):
        if ours.get(name) != theirs.get(name):
            raise UserError(
                f"{source}: expected a checkpoint of this run, its {name} is {theirs.get(name)!r} and not "
                f"{ours.get(name)!r}; go on with what it was trained with, or train into another folder."
            )
