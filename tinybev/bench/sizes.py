"""A student of another size: what the benches measure beside the bundle that they were given."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from dataclasses import dataclass

from tinybev.errors import UserError
from tinybev.model.config import StudentConfig
from tinybev.model.student import seeded_student
from tinybev.runtime.bundle import Bundle, load_bundle, make_bundle

SEED = 0


def parse_image_size(text: str) -> tuple[int, int]:
    """(height, width) of ``HxW``, pixels.

    Raises:
        UserError: it is not written so.
    """
    found = re.fullmatch(r"([1-9][0-9]*)x([1-9][0-9]*)", text)
    if found is None:
        raise UserError(f"--image-sizes: expected HEIGHTxWIDTH in pixels like 256x704, got {text!r}; correct it.")
    return int(found[1]), int(found[2])


def with_image_size(config: StudentConfig, size: tuple[int, int]) -> StudentConfig:
    """The same network on images of ``size`` (height, width).

    Raises:
        UserError: a side is no multiple of the features' stride.
    """
    return dataclasses.replace(config, image_size=size)


def with_cells(config: StudentConfig, cells: int) -> StudentConfig:
    """The same network on a grid of ``cells`` by ``cells`` over the same metres.

    Raises:
        UserError: the heads' cells do not divide the grid.
    """
    if cells < 1:
        raise UserError(f"--grid-cells: expected 1 or more along each side, got {cells}; correct it.")

    def bound(old: tuple[float, float, float]) -> tuple[float, float, float]:
        return old[0], old[1], (old[1] - old[0]) / cells

    return dataclasses.replace(config, x_bound=bound(config.x_bound), y_bound=bound(config.y_bound))


@dataclass(frozen=True)
class Subject:
    """The network to measure, as it is told to a process that loads it.

    Attributes:
        name: of its rows.
        config: of the network.
        spec: of the bundle; None for random weights.
    """

    name: str
    config: StudentConfig
    spec: str | None

    def open(self) -> Bundle:
        """The bundle.

        Raises:
            UserError: it cannot be loaded.
        """
        return seeded_bundle(self.config) if self.spec is None else load_bundle(self.spec)


def subjects(spec: str, image_sizes: Sequence[str], grid_cells: Sequence[int]) -> list[Subject]:
    """The bundle that ``spec`` names, or the same network with random weights for each pair of image size and grid.

    Args:
        spec: of a bundle.
        image_sizes: as ``HxW``; none for the bundle's own.
        grid_cells: along each side; none for the bundle's own.

    Raises:
        UserError: a size is none of the network's, or the bundle cannot be loaded.
    """
    config = load_bundle(spec).config
    if not image_sizes and not grid_cells:
        return [Subject(config.name, config, spec)]
    configs = [with_image_size(config, parse_image_size(text)) for text in image_sizes] or [config]
    if grid_cells:
        configs = [with_cells(one, cells) for one in configs for cells in grid_cells]
    return [Subject(f"{one.name} {size_text(one)}", one, None) for one in configs]


def seeded_bundle(config: StudentConfig) -> Bundle:
    """A bundle with random weights; of another grid no trained ones can be used, and the time is the same."""
    weights = seeded_student(config, SEED).state_dict()
    return make_bundle(config.name, config, weights, trained_on=f"nothing (untrained, seed {SEED})")


def size_text(config: StudentConfig) -> str:
    """Image size and grid in words: ``256x704 200x200``."""
    (height, width), (rows, columns) = config.image_size, config.grid.shape
    return f"{height}x{width} {rows}x{columns}"
