"""Polygons and lines -> cells of the bird's-eye-view grid."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from tinybev.geometry import Array, BevGrid

_SHIFT = 4  # OpenCV's fixed-point bits below the cell


Cells = tuple[NDArray[np.int64], NDArray[np.int64]]
"""Rows and columns, as an index into (X, Y)."""


def polygon_cells(grid: BevGrid, rings: Sequence[Array]) -> Cells:
    """The cells whose centre lies inside a polygon.

    Exact: a centre is inside if a ray from it towards smaller y crosses the outline an odd number of times, so a ring
    within another is a hole and polygons that share an edge share no cell.

    Args:
        grid: the grid; what lies outside is left out.
        rings: (P, 2) corners in base_link, closed by themselves; outlines and holes in any order and direction.
    """
    starts, ends = _edges([grid.metric_to_cell(ring) - 0.5 for ring in rings])  # a cell's centre is now an integer
    rows, columns = grid.shape
    low, high = np.minimum(starts[:, 0], ends[:, 0]), np.maximum(starts[:, 0], ends[:, 0])
    # The rows low < row <= high that each edge crosses, cut to the grid.
    first = np.clip(np.floor(low) + 1, 0, rows).astype(np.int64)
    count = np.maximum(np.clip(np.floor(high) + 1, 0, rows).astype(np.int64) - first, 0)
    edge = np.repeat(np.arange(len(starts)), count)
    if not len(edge):
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    row = first[edge] + np.arange(len(edge)) - np.repeat(np.cumsum(count) - count, count)
    slope = (ends[edge, 1] - starts[edge, 1]) / (ends[edge, 0] - starts[edge, 0])
    crossing = starts[edge, 1] + slope * (row - starts[edge, 0])
    # From the first centre past the crossing on, inside and outside change places.
    column = np.clip(np.floor(crossing) + 1, 0, columns).astype(np.int64)
    top, left = int(row.min()), int(column.min())
    changes = np.zeros((int(row.max()) - top + 1, int(column.max()) - left + 1), dtype=np.int64)
    np.add.at(changes, (row - top, column - left), 1)
    inside_rows, inside_columns = np.nonzero(np.cumsum(changes, axis=1)[:, :-1] % 2)
    return inside_rows + top, inside_columns + left


def draw_lines(mask: NDArray[np.uint8], grid: BevGrid, lines: Sequence[Array], thickness: int) -> None:
    """Sets the cells of ``mask`` (X, Y) along polylines (P, 2) in base_link to 1, ``thickness`` cells wide."""
    # OpenCV's x is our column, and its pixel centres are at integers.
    cells = [((grid.metric_to_cell(line) - 0.5)[:, ::-1] * (1 << _SHIFT)).round().astype(np.int32) for line in lines]
    cv2.polylines(mask, cells, False, (1,), thickness, cv2.LINE_8, _SHIFT)


def _edges(rings: Sequence[Array]) -> tuple[Array, Array]:
    """Start and end (E, 2) of every edge of closed rings."""
    starts = [np.asarray(ring, dtype=np.float64).reshape(-1, 2) for ring in rings]
    ends = [np.roll(ring, -1, axis=0) for ring in starts]
    return np.concatenate([np.empty((0, 2)), *starts]), np.concatenate([np.empty((0, 2)), *ends])
