"""Thinning of a binary mask to lines one cell wide: Zhang and Suen, "A fast parallel algorithm for thinning digital
patterns" (1984), with a table over the 256 neighbourhoods of a cell."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.uint8]

MAX_PASSES = 16
"""Each pass takes a layer off both sides. What is wider than twice this many cells is no line, and is left as it is."""

# Bit k of a neighbourhood's code is the k-th neighbour, clockwise from the row above.
_CODE_KERNEL = np.array([[128, 1, 2], [64, 0, 4], [32, 16, 8]], dtype=np.float32)
_NEIGHBOURS_CK = (np.arange(256)[:, None] >> np.arange(8)) & 1
_COUNT_C = _NEIGHBOURS_CK.sum(axis=1)
CROSSINGS_C = ((_NEIGHBOURS_CK == 0) & (np.roll(_NEIGHBOURS_CK, -1, axis=1) == 1)).sum(axis=1).astype(np.uint8)
"""How many separate lines leave a cell, by the code of its neighbourhood: 1 at an end, 3 or more at a junction."""


def _removable(first: tuple[int, int, int], second: tuple[int, int, int]) -> NDArray[np.uint8]:
    """By code, 0 where a cell may go, else 1; of each three neighbours one must be empty."""
    one_empty = [(_NEIGHBOURS_CK[:, triple] == 0).any(axis=1) for triple in (list(first), list(second))]
    removable = (_COUNT_C >= 2) & (_COUNT_C <= 6) & (CROSSINGS_C == 1) & one_empty[0] & one_empty[1]
    return (~removable).astype(np.uint8)


_KEEP_TABLES = (_removable((0, 2, 4), (2, 4, 6)), _removable((0, 2, 6), (0, 4, 6)))


def neighbourhood_codes(mask: Mask) -> Mask:
    """The code (X, Y) of the eight neighbours of every cell of a mask (X, Y) of 0 and 1."""
    return np.asarray(cv2.filter2D(mask, cv2.CV_8U, _CODE_KERNEL, borderType=cv2.BORDER_CONSTANT), dtype=np.uint8)


def thin(mask: Mask) -> Mask:
    """A mask (X, Y) of 0 and 1, thinned to lines one cell wide that are as connected as it was."""
    thinned = mask.copy()
    for _ in range(MAX_PASSES):
        before = thinned
        for keep in _KEEP_TABLES:
            thinned = thinned & keep[neighbourhood_codes(thinned)]
        if np.array_equal(before, thinned):
            break
    return thinned
