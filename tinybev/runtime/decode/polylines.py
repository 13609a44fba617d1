"""Polylines from binary masks: the centre lines of thin shapes, and the outlines of areas."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from tinybev.geometry import Array
from tinybev.runtime.decode.cell_borders import moved_to_borders
from tinybev.runtime.decode.thinning import CROSSINGS_C, Mask, neighbourhood_codes, thin

MIN_LINE_CELLS = 4
"""Shorter lines, in cells, are specks."""
MIN_AREA_CELLS = 16.0
"""Smaller areas, in cells, are specks; they are measured through the centres of their outermost cells."""
TOLERANCE_CELLS = 0.8
"""How far a simplified polyline may run from the cells it stands for."""


class CellPolyline(NamedTuple):
    """A polyline in cells.

    Attributes:
        points: (P, 2) row and column of its corners, of which a cell's centre is at its integer + 0.5.
        cells: (Q, 2) row and column of every cell it passes.
        closed: whether the last point connects to the first.
    """

    points: Array
    cells: NDArray[np.int64]
    closed: bool


def center_lines(mask: Mask) -> Iterator[CellPolyline]:
    """The centre lines of the shapes in a mask (X, Y) of 0 and 1; a line ends short of a junction."""
    lines = thin(mask)
    junctions = lines & (CROSSINGS_C[neighbourhood_codes(lines)] >= 3)
    lines = np.where(cv2.dilate(junctions, np.ones((3, 3), np.uint8)) == 0, lines, 0).astype(np.uint8)
    is_end = (lines == 1) & (CROSSINGS_C[neighbourhood_codes(lines)] == 1)
    for cells in _outer_contours(lines):
        ends = np.flatnonzero(is_end[cells[:, 0], cells[:, 1]])
        if len(ends) == 0:
            if len(cells) >= 2 * MIN_LINE_CELLS:
                yield CellPolyline(_simplified(cells, closed=True) + 0.5, cells, closed=True)
            continue
        # A contour goes along the line and back: from one end to the other is half of it.
        from_end = np.roll(cells, -int(ends[0]), axis=0)
        others = np.flatnonzero(is_end[from_end[:, 0], from_end[:, 1]] & (from_end != from_end[0]).any(axis=1))
        one_way = from_end[: int(others[0]) + 1] if len(others) else from_end[: len(from_end) // 2 + 1]
        if len(one_way) >= MIN_LINE_CELLS:
            yield CellPolyline(_simplified(one_way, closed=False) + 0.5, one_way, closed=False)


def outlines(mask: Mask) -> Iterator[CellPolyline]:
    """The outlines of the areas in a mask (X, Y) of 0 and 1, and of the holes in them, along the borders of cells."""
    contours, _ = cv2.findContours(mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    areas = [_row_column(contour) for contour in contours if cv2.contourArea(contour) >= MIN_AREA_CELLS]
    borders = moved_to_borders([_simplified(cells, closed=True) for cells in areas])
    for cells, border in zip(areas, borders, strict=True):
        yield CellPolyline(border, cells, closed=True)


def _outer_contours(mask: Mask) -> Iterator[NDArray[np.int64]]:
    """The cells (Q, 2) around each connected shape."""
    contours, hierarchy = cv2.findContours(mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    for n, contour in enumerate(contours):
        if hierarchy[0, n, 3] < 0:
            yield _row_column(contour)


def _row_column(contour: NDArray) -> NDArray[np.int64]:
    """OpenCV's (Q, 1, 2) of (column, row) as (Q, 2) of (row, column)."""
    return contour[:, 0, ::-1].astype(np.int64)


def _simplified(cells: NDArray[np.int64], closed: bool) -> NDArray[np.int64]:
    points = cv2.approxPolyDP(cells.astype(np.int32)[:, None], TOLERANCE_CELLS, closed)[:, 0]
    return points.astype(np.int64)
