"""One grid's cells seen from another grid, so that every network is measured on UniAD's grids."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tinybev.geometry import BevGrid


def resample(values: NDArray[np.generic], source: BevGrid, target: BevGrid) -> NDArray[np.generic]:
    """(…, X, Y) on ``target``: each cell takes the value of the source's cell that its centre is in, 0 outside.

    Taking one cell's value, not a mean, keeps ids what they are.
    """
    if source == target:
        return values
    x, y = target.cell_centers()
    rows = np.floor((x - source.x_bound[0]) / source.x_bound[2]).astype(np.int64)
    columns = np.floor((y - source.y_bound[0]) / source.y_bound[2]).astype(np.int64)
    inside_rows = np.flatnonzero((rows >= 0) & (rows < source.shape[0]))
    inside_columns = np.flatnonzero((columns >= 0) & (columns < source.shape[1]))
    resampled = np.zeros((*values.shape[:-2], *target.shape), dtype=values.dtype)
    found = values[..., rows[inside_rows], :][..., columns[inside_columns]]
    resampled[..., inside_rows[:, None], inside_columns] = found
    return resampled
