"""From contours through the centres of areas' outermost cells to the borders of the areas.

A straight border becomes steps of cells. Where it was is in the middle of the steps: half a cell outside of those
centres, counted along the rows or along the columns, whichever it crosses more steeply.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tinybev.geometry import Array

_STRAIGHT = 0.1
"""Sine of a turn up to which two edges count as one line, which has no corner to compute."""
_BACK = -0.7
"""Cosine of a turn from which on a contour goes back along itself."""


def moved_to_borders(contours: Sequence[NDArray[np.int64]]) -> list[Array]:
    """The corners (Q, 2) of each border, row and column, where a cell's centre is at its integer + 0.5.

    Args:
        contours: (P, 2) row and column of the two or more cells in which each turns, in the order of OpenCV's contours:
            what does not belong to the area is on the same side all along, around the area and around its holes. Give
            all in one call: what it costs hardly depends on how many there are.
    """
    if not contours:
        return []
    counts = np.array([len(contour) for contour in contours])
    centers_P2 = np.concatenate(contours) + 0.5
    after_P, before_P = _neighbours(counts)
    ahead_P2 = centers_P2[after_P] - centers_P2
    ahead_P2 /= np.hypot(ahead_P2[:, :1], ahead_P2[:, 1:])
    behind_P2 = ahead_P2[before_P]
    sine_P = behind_P2[:, 0] * ahead_P2[:, 1] - behind_P2[:, 1] * ahead_P2[:, 0]  # above 0 where the area bulges
    cosine_P = (behind_P2 * ahead_P2).sum(axis=1)
    out_P2 = _half_cell(ahead_P2[:, ::-1] * (1.0, -1.0))
    out_behind_P2, on_P2 = out_P2[before_P], _half_cell(behind_P2)
    # Every edge moves out by itself. A corner goes to where its two edges meet then.
    far_P1 = 0.5 * np.abs(ahead_P2).max(axis=1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        meeting_P2 = (far_P1 * behind_P2 - far_P1[before_P] * ahead_P2) / sine_P[:, None]
    moved_P2 = np.where((np.abs(sine_P) > _STRAIGHT)[:, None], meeting_P2, (out_P2 + out_behind_P2) / 2)
    # What is one cell wide ends in two corners; a gap that closes ends in one, before its last cell.
    goes_back_P, bulges_P = cosine_P < _BACK, sine_P >= 0
    moved_P2[goes_back_P] = np.where(bulges_P[:, None], out_behind_P2 + on_P2, -on_P2)[goes_back_P]
    ends = np.flatnonzero(goes_back_P & bulges_P)
    moved_P2 = np.insert(moved_P2, ends + 1, (out_P2 + on_P2)[ends], axis=0)
    border_P2 = np.insert(centers_P2, ends + 1, centers_P2[ends], axis=0) + moved_P2.clip(-0.5, 0.5)
    starts = np.cumsum(counts)[:-1]
    return np.split(border_P2, starts + np.searchsorted(ends, starts))


def _neighbours(counts: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The index after and before each point, of closed contours with so many points one behind the other."""
    last = np.cumsum(counts) - 1
    first = last - counts + 1
    after, before = np.arange(last[-1] + 1) + 1, np.arange(last[-1] + 1) - 1
    after[last], before[first] = first, last
    return after, before


def _half_cell(directions_P2: Array) -> Array:
    """Half a cell along the axis that is nearest to each direction."""
    along_rows_P = np.abs(directions_P2[:, 0]) >= np.abs(directions_P2[:, 1])
    is_axis_P2 = np.stack([along_rows_P, ~along_rows_P], axis=1)
    return np.where(is_axis_P2, 0.5 * np.sign(directions_P2), 0.0)
