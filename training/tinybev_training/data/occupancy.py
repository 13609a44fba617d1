"""Footprints -> which cells are taken by whom, now and later."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

import cv2
import numpy as np
from numpy.typing import NDArray

from tinybev.geometry import BevGrid
from tinybev.runtime.decode.occupancy import VEHICLES
from tinybev.types import DETECTION_CLASSES
from tinybev_training.data.rasterize import polygon_cells
from tinybev_training.data.sample import OccupancyTargets
from tinybev_training.data.surroundings import Footprints

UNIAD_GRID = BevGrid((-50.0, 50.0, 0.5), (-50.0, 50.0, 0.5))
"""The grid of UniAD's occupancy; its frame is the lidar's, ours base_link."""

OCCUPYING_IDS = np.array([DETECTION_CLASSES.index(name) for name in VEHICLES])
"""Boxes of any visibility and number of lidar points."""


class CellRule(Enum):
    """Which cells a rectangle takes.

    CENTERS: those whose centre is inside it, and the one its own centre is in, so that nothing is too small to be seen.
    UNIAD: UniAD's rule, for figures that stand beside UniAD's: corners rounded to whole cell numbers, the outline and
        the inside filled. A rectangle along the axes gets one row more at its front and one column more at its right
        than the cells whose centres it covers.
    """

    CENTERS = "centers"
    UNIAD = "uniad"


def occupancy_targets(
    footprints: Sequence[Footprints | None], grid: BevGrid, rule: CellRule = CellRule.CENTERS
) -> OccupancyTargets:
    """Draws the vehicles of every step; where two overlap, the one with the higher id is on top.

    Args:
        footprints: of each step, None where it is not annotated.
        grid: of the cells.
        rule: which cells a rectangle takes.
    """
    instances = np.zeros((len(footprints), *grid.shape), dtype=np.int32)
    for step, rectangles in enumerate(footprints):
        if rectangles is None:
            continue
        draw = _draw_centers if rule == CellRule.CENTERS else _draw_uniad
        draw(instances[step], grid, rectangles, np.isin(rectangles.class_ids, OCCUPYING_IDS))
    return OccupancyTargets(instances, np.array([step is not None for step in footprints], dtype=np.bool_), grid)


def _draw_centers(
    instances: NDArray[np.int32], grid: BevGrid, rectangles: Footprints, chosen: NDArray[np.bool_]
) -> None:
    corners = rectangles.corners
    middles = np.floor(grid.metric_to_cell(rectangles.centers)).astype(np.int64)
    shape = np.array(grid.shape)
    cells = grid.metric_to_cell(corners)
    reaches = ((cells.max(axis=1) > 0) & (cells.min(axis=1) < shape)).all(axis=1)  # most are off the grid
    for n in np.flatnonzero(chosen & reaches):
        instances[polygon_cells(grid, [corners[n]])] = rectangles.track_ids[n]
        if ((middles[n] >= 0) & (middles[n] < shape)).all():
            instances[tuple(middles[n])] = rectangles.track_ids[n]


def _draw_uniad(instances: NDArray[np.int32], grid: BevGrid, rectangles: Footprints, chosen: NDArray[np.bool_]) -> None:
    # UniAD's columns run to the right: drawn on the mirrored grid and mirrored back.
    mirrored = np.ascontiguousarray(instances[:, ::-1])
    cells = grid.metric_to_cell(rectangles.corners)
    cells[..., 1] = grid.shape[1] - cells[..., 1]
    pixels = np.round(cells[..., ::-1]).astype(np.int32, order="C")  # OpenCV takes no other
    for n in np.flatnonzero(chosen):
        cv2.fillPoly(mirrored, [pixels[n]], (int(rectangles.track_ids[n]),))
    instances[:] = mirrored[:, ::-1]
