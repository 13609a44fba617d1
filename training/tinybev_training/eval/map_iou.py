"""Map segmentation: intersection over union per class, each summed over all samples, as in UniAD."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray

from tinybev.types import Floats, MapClass
from tinybev_training.data.map_masks import LINE_CLASSES
from tinybev_training.data.sample import MapTargets
from tinybev_training.eval.measure import Measures, mean, ratio
from tinybev_training.eval.predictions import MapMasks
from tinybev_training.eval.resample import resample

LANES = "lanes"
"""UniAD's union of the three line classes."""
NAMES = (*(map_class.name.lower() for map_class in MapClass), LANES)


@dataclass(frozen=True)
class MapCells:
    """Cells of one sample, by ``NAMES``: in both masks (5,), in either (5,); 0 for a class the map does not know."""

    intersection: NDArray[np.int64]
    union: NDArray[np.int64]


def map_cells(predicted: MapMasks, truth: MapTargets, threshold: float) -> MapCells:
    """Compares on the truth's grid; a cell belongs to a class from the probability ``threshold`` on.

    The lanes are known where every line class is.
    """
    ours = cast(Floats, resample(np.asarray(predicted.probability), predicted.grid, truth.grid)) >= threshold
    lines = list(LINE_CLASSES)
    ours = np.concatenate([ours, ours[lines].any(axis=0)[None]])
    masks = np.concatenate([truth.masks, truth.masks[lines].any(axis=0)[None]])
    known = np.append(truth.valid, truth.valid[lines].all())
    return MapCells((ours & masks).sum(axis=(1, 2)) * known, (ours | masks).sum(axis=(1, 2)) * known)


def map_measures(cells: Sequence[MapCells]) -> Measures:
    """``IoU`` (mean over the four classes that there are) and ``IoU_divider`` … ``IoU_lanes``; counts are cells of the
    unions, that of the mean the number of classes."""
    intersection = sum((each.intersection for each in cells), np.zeros(len(NAMES), dtype=np.int64))
    union = sum((each.union for each in cells), np.zeros(len(NAMES), dtype=np.int64))
    measures = [ratio(float(both), int(either)) for both, either in zip(intersection, union, strict=True)]
    named = {f"IoU_{name}": measure for name, measure in zip(NAMES, measures, strict=True)}
    return {"IoU": mean(measures[: len(MapClass)]), **named}
