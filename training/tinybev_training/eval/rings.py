"""Distance from base_link's origin in rings, as figures by distance have it (the edges are ours)."""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

from tinybev.geometry import Array

RING_EDGES_M = (0.0, 10.0, 20.0, 30.0, 45.0)
RING_NAMES = tuple(f"{low:.0f}-{high:.0f}m" for low, high in itertools.pairwise(RING_EDGES_M))
RINGS = len(RING_NAMES)


def ring_of(points: Array) -> NDArray[np.intp]:
    """Index of the ring of each point (..., 2) in base_link, ``RINGS`` past the last; a ring holds its inner border and
    not its outer one."""
    return np.searchsorted(RING_EDGES_M[1:], np.linalg.norm(points, axis=-1), side="right")
