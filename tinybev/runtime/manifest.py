"""The manifest of a bundle: everything that belongs to the weights, as JSON that is checked when it is read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from tinybev.errors import UserError
from tinybev.model.config import StudentConfig
from tinybev.types import ATTRIBUTES, DETECTION_CLASSES, MapClass

_T = TypeVar("_T")

FORMAT_VERSION = 1

_CLASS_LISTS: dict[str, list[str]] = {
    "detection_classes": list(DETECTION_CLASSES),
    "attributes": list(ATTRIBUTES),
    "map_classes": [map_class.name.lower() for map_class in MapClass],
}
"""What the indices of the network's outputs mean; weights made with other lists cannot be used."""


def told_ego_status(training: Mapping[str, object]) -> bool | None:
    """Whether the planner was told how the vehicle moves, by what the trainer tells; None where that does not say."""
    recipe = training.get("recipe")
    telling = recipe.get("telling") if isinstance(recipe, Mapping) else None
    told = telling.get("ego_status") if isinstance(telling, Mapping) else None
    return told if isinstance(told, bool) else None


@dataclass(frozen=True)
class Manifest:
    """What there is to know about weights.

    Attributes:
        name: of the bundle.
        config: the network's, with image size, normalisation, bounds and horizons.
        trained_on: the data; "nothing (untrained, seed N)" for seeded weights.
        sha256: of the weights file.
        training: how they were trained, as the trainer tells it.
        metrics: figures by name, as the evaluation tells them.
    """

    name: str
    config: StudentConfig
    trained_on: str
    sha256: str
    training: Mapping[str, object] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)

    @property
    def trained_with_ego_status(self) -> bool | None:
        """Whether the planner was told how the vehicle moves when it was trained; None where nothing says so."""
        return told_ego_status(self.training)

    def to_json(self) -> str:
        """The text of the manifest's file."""
        values: dict[str, object] = {
            "format_version": FORMAT_VERSION,
            "name": self.name,
            "trained_on": self.trained_on,
            "sha256": self.sha256,
            "config": self.config.to_dict(),
            **_CLASS_LISTS,
            "training": dict(self.training),
            "metrics": dict(self.metrics),
        }
        return json.dumps(values, indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str, source: str) -> Manifest:
        """The inverse of :meth:`to_json`; ``source`` names the file in complaints.

        Raises:
            UserError: not JSON, a key missing or of the wrong type, another format, or other classes.
        """
        try:
            values = json.loads(text)
        except json.JSONDecodeError as error:
            raise UserError(f"{source}: expected JSON, got {error}; export the bundle again.") from error
        if not isinstance(values, dict):
            raise UserError(f"{source}: expected a JSON object, got {type(values).__name__}; export the bundle again.")
        _expect(source, "format_version", FORMAT_VERSION, values.get("format_version"))
        for key, names in _CLASS_LISTS.items():
            _expect(source, key, names, values.get(key))
        try:
            config = StudentConfig.from_dict(_typed(source, values, "config", dict))
        except UserError as error:
            raise UserError(f"{source}: {error}") from error
        return cls(
            name=_typed(source, values, "name", str),
            config=config,
            trained_on=_typed(source, values, "trained_on", str),
            sha256=_typed(source, values, "sha256", str),
            training=_typed(source, values, "training", dict),
            metrics=_typed(source, values, "metrics", dict),
        )


def _expect(source: str, key: str, expected: object, got: object) -> None:
    if got != expected:
        raise UserError(
            f"{source}: expected {key} {expected}, got {got}; use a bundle made for this version of tinybev."
        )


def _typed(source: str, values: Mapping[str, object], key: str, expected: type[_T]) -> _T:
    value = values.get(key)
    if not isinstance(value, expected):
        raise UserError(f"{source}: expected {key} to be a {expected.__name__}, got {value!r}; export it again.")
    return value
