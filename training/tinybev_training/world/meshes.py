"""Every mesh that scenes use, one after another in arrays, each near and far."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tinybev_training.world import lorries, people, street, two_wheelers
from tinybev_training.world.cars import CARS, car
from tinybev_training.world.scenario import SignalState
from tinybev_training.world.shapes import Mesh, fitted, join

DETAILS = (2, 1)
"""Meshes come in two levels: near and far."""

TREE_VARIANTS = 6


@dataclass(frozen=True)
class Meshes:
    """Meshes one after another: (T, 3, 3) corners, normals, (T,) materials; ``ranges`` (M, 2 levels, 2) start, end."""

    corners: Tensor
    normals: Tensor
    materials: Tensor
    ranges: NDArray[np.int64]


@lru_cache(maxsize=1)
def shared_meshes() -> dict[str, tuple[Mesh, ...]]:
    """The meshes that every scene uses, by name, each at two levels of detail."""
    made: dict[str, tuple[Mesh, ...]] = {}

    def both(name: str, *levels: Mesh) -> None:
        made[name] = levels if len(levels) == 2 else (levels[0], levels[0])

    for name, shape in CARS.items():
        both(name, *(car(shape, detail) for detail in DETAILS))
    for build in (lorries.box_truck, lorries.tractor, lorries.trailer, lorries.bus, lorries.excavator):
        both(build.__name__, *(build(detail) for detail in DETAILS))
    both("bicycle", *(people.ridden_bicycle(detail) for detail in DETAILS))
    both("motorcycle", *(people.ridden_motorcycle(detail) for detail in DETAILS))
    both("parked_bicycle", *(fitted(two_wheelers.bicycle(detail), (1.78, 0.52, 1.08)) for detail in DETAILS))
    both("parked_motorcycle", *(fitted(two_wheelers.motorcycle(detail), (2.1, 0.76, 1.18)) for detail in DETAILS))
    for hair in (0, 1):
        near, far = (people.pedestrian(detail, bool(hair)) for detail in DETAILS)
        for index in range(len(near)):
            both(f"person{hair}.{index}", near[index].mesh, far[index].mesh)
    both("traffic_cone", *(street.cone(detail) for detail in DETAILS))
    both("barrier", street.barrier())
    for species in range(3):
        for variant in range(TREE_VARIANTS):
            both(f"tree{species}.{variant}", *(street.tree(species, 7 + variant, detail) for detail in DETAILS))
    for variant in range(3):
        both(f"bush{variant}", *(street.bush(40 + variant, detail) for detail in DETAILS))
    both("lamp", street.lamp())
    for state in SignalState:
        both(f"signal{state}", street.signal(state))
    for kind in range(4):
        both(f"sign{kind}", street.sign(kind))
    both("bench", street.bench())
    both("hydrant", street.hydrant())
    return made


def pack(levels: list[tuple[Mesh, ...]], device: torch.device) -> Meshes:
    meshes: list[Mesh] = []
    ranges: list[list[tuple[int, int]]] = []
    start = 0
    for pair in levels:
        row: list[tuple[int, int]] = []
        for index, mesh in enumerate(pair):
            if index and mesh is pair[0]:
                row.append(row[0])
                continue
            row.append((start, start + len(mesh)))
            meshes.append(mesh)
            start += len(mesh)
        ranges.append(row)
    whole = join(*meshes)
    return Meshes(
        torch.from_numpy(whole.corners.astype(np.float32)).to(device),
        torch.from_numpy(whole.normals.astype(np.float32)).to(device),
        torch.from_numpy(whole.materials.astype(np.int64)).to(device),
        np.array(ranges, dtype=np.int64),
    )
