"""Raw map outputs to masks and polylines."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from tinybev.geometry import BevGrid
from tinybev.runtime.decode.polylines import center_lines, outlines
from tinybev.types import MapClass, MapSegment, MapSegments


def decode_map(logits_BKXY: Tensor, grid: BevGrid, threshold: float, *, segments: bool = True) -> MapSegments:
    """The map of the first frame of a batch: line classes as centre lines, the drivable area as outlines.

    Args:
        logits_BKXY: of the map head.
        grid: of the logits.
        threshold: from this probability on a cell belongs to a class.
        segments: whether lines and outlines are asked for; else there are the masks alone.
    """
    masks_KXY = logits_BKXY[0].sigmoid().numpy()
    found = []
    for map_class in MapClass if segments else ():
        probability_XY = masks_KXY[map_class]
        vectorise = outlines if map_class == MapClass.DRIVABLE else center_lines
        for line in vectorise((probability_XY >= threshold).astype(np.uint8)):
            found.append(
                MapSegment(
                    map_class=map_class,
                    points=grid.cell_to_metric(line.points),
                    score=float(probability_XY[line.cells[:, 0], line.cells[:, 1]].mean()),
                    closed=line.closed,
                )
            )
    return MapSegments(tuple(found), masks_KXY, grid)
