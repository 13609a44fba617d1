"""Map segmentation: intersection over union per class, each summed over all samples, as in UniAD; and by distance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import cast

import numpy as np
from numpy.typing import NDArray

from tinybev.geometry import BevGrid
from tinybev.types import Floats, MapClass
from tinybev_training.data.map_masks import LINE_CLASSES
from tinybev_training.data.sample import MapTargets
from tinybev_training.eval.measure import Measure, Measures, mean, ratio
from tinybev_training.eval.predictions import MapMasks
from tinybev_training.eval.resample import resample
from tinybev_training.eval.rings import RING_EDGES_M, RING_NAMES, RINGS, ring_of

LANES = "lanes"
"""UniAD's union of the three line classes."""
NAMES = (*(map_class.name.lower() for map_class in MapClass), LANES)

_WITHIN = f"within_{RING_EDGES_M[-1]:.0f}m"
_PARTS = {"": slice(None), **{f"_{name}": slice(n, n + 1) for n, name in enumerate(RING_NAMES)}}
_PARTS[f"_{_WITHIN}"] = slice(0, RINGS)
"""What a figure sums, by how its name ends: everything, a ring, all rings."""


@dataclass(frozen=True)
class MapCells:
    """Cells of one sample, by ``NAMES`` and by ring of their centre, what lies beyond the rings last: in both masks
    (5, R + 1), in either (5, R + 1); 0 for a class the map does not know."""

    intersection: NDArray[np.int64]
    union: NDArray[np.int64]

    def __post_init__(self) -> None:
        expected = (len(NAMES), RINGS + 1)
        if self.intersection.shape != expected or self.union.shape != expected:
            got = f"{self.intersection.shape} and {self.union.shape}"
            raise ValueError(f"map: expected cells {expected} by class and ring, got {got}")

    @classmethod
    def summed(cls, cells: Sequence[MapCells]) -> MapCells:
        """Of several samples; zeros of none."""
        zeros = np.zeros((len(NAMES), RINGS + 1), dtype=np.int64)
        return cls(sum((each.intersection for each in cells), zeros), sum((each.union for each in cells), zeros))


def map_cells(predicted: MapMasks, truth: MapTargets, threshold: float) -> MapCells:
    """Compares on the truth's grid; a cell belongs to a class from the probability ``threshold`` on.

    The lanes are known where every line class is.
    """
    ours = cast(Floats, resample(np.asarray(predicted.probability), predicted.grid, truth.grid)) >= threshold
    lines = list(LINE_CLASSES)
    ours = np.concatenate([ours, ours[lines].any(axis=0)[None]])
    masks = np.concatenate([truth.masks, truth.masks[lines].any(axis=0)[None]])
    known = np.append(truth.valid, truth.valid[lines].all())[:, None]
    return MapCells(_by_ring(ours & masks, truth.grid) * known, _by_ring(ours | masks, truth.grid) * known)


def map_measures(cells: Sequence[MapCells]) -> Measures:
    """``IoU`` (mean over the four classes that there are) and ``IoU_divider`` … ``IoU_lanes``, each by ring
    (``IoU_divider_0-10m``) and in all rings together (``IoU_divider_within_45m``) as well; counts are cells of the
    unions, that of the mean the number of classes."""
    total = MapCells.summed(cells)
    named: dict[str, Measure] = {}
    for ending, rings in _PARTS.items():
        both, either = (counts[:, rings].sum(axis=1) for counts in (total.intersection, total.union))
        for name, numerator, denominator in zip(NAMES, both, either, strict=True):
            named[f"IoU_{name}{ending}"] = ratio(float(numerator), int(denominator))
    return {"IoU": mean([named[f"IoU_{map_class.name.lower()}"] for map_class in MapClass]), **named}


def _by_ring(masks: NDArray[np.bool_], grid: BevGrid) -> NDArray[np.int64]:
    """(K, R + 1) cells of each mask (K, X, Y) in each ring."""
    return np.stack([(masks & ring).sum(axis=(1, 2)) for ring in _rings(grid)], axis=1)


@lru_cache(maxsize=4)
def _rings(grid: BevGrid) -> NDArray[np.bool_]:
    """(R + 1, X, Y) the cells of each ring."""
    x, y = grid.cell_centers()
    ring = ring_of(np.stack(np.meshgrid(x, y, indexing="ij"), axis=-1))
    return np.stack([ring == n for n in range(RINGS + 1)])
