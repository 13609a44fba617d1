"""Map geometry -> masks of the four map classes."""

from __future__ import annotations

import numpy as np

from tinybev.geometry import BevGrid
from tinybev.types import MapClass
from tinybev_training.data.rasterize import draw_lines, polygon_cells
from tinybev_training.data.sample import MapTargets
from tinybev_training.data.surroundings import MapGeometry

UNIAD_GRID = BevGrid((-51.2, 51.2, 0.512), (-51.2, 51.2, 0.512))
"""The grid of UniAD's map; like ours it lies around the ego's pose."""
LINE_CELLS = 2
"""Lines are this many cells wide, as UniAD's."""
CLEARED_CELLS = LINE_CELLS + 4
"""A line of a class is left out within a band of this width, in cells, along lines of a later class, as in UniAD: a
boundary wins over a crossing, a crossing over a divider."""

LINE_CLASSES = (MapClass.DIVIDER, MapClass.CROSSING, MapClass.BOUNDARY)


def map_targets(geometry: MapGeometry, grid: BevGrid) -> MapTargets:
    """Draws the map onto ``grid``; a class that the map does not know is not valid."""
    masks = np.zeros((len(MapClass), *grid.shape), dtype=np.uint8)
    valid = np.zeros(len(MapClass), dtype=np.bool_)
    for map_class in LINE_CLASSES:
        if map_class in geometry.lines:
            valid[map_class] = True
            cleared = np.zeros(grid.shape, dtype=np.uint8)
            draw_lines(cleared, grid, geometry.lines[map_class], CLEARED_CELLS)
            masks[: int(map_class), cleared > 0] = 0
            draw_lines(masks[map_class], grid, geometry.lines[map_class], LINE_CELLS)
    drawn = masks.astype(np.bool_)
    if geometry.drivable is not None:
        valid[MapClass.DRIVABLE] = True
        for rings in geometry.drivable:
            drawn[MapClass.DRIVABLE][polygon_cells(grid, rings)] = True
    return MapTargets(drawn, valid, grid)
