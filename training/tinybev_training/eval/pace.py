"""A plan's way at the pace of another drive: what is wrong with where it goes, apart from how fast."""

from __future__ import annotations

import numpy as np

from tinybev.geometry import Array
from tinybev.types import Floats

_BEYOND_M = 1000.0
"""How far a way goes on straight ahead past its end, farther than anything drives within a plan."""


def at_pace_of(positions: Floats, yaws: Floats, driven: Floats) -> tuple[Array, Array]:
    """At each step the point of a plan's way as far from its start as another drive has come by then.

    Distances are along the line through the positions, from the origin on; what the drive goes backwards counts as
    forwards. Past the plan's end the way goes on straight, in its last heading.

    Args:
        positions: (T, 2) the plan, metres, in the vehicle's frame now.
        yaws: (T,) its headings, radians.
        driven: (T, 2) the other drive, in the same frame.

    Returns:
        Positions (T, 2) and headings (T,), neither wrapped nor jumping.
    """
    way = np.concatenate([np.zeros((1, 2)), positions])
    headings = np.unwrap(np.concatenate([[0.0], yaws]))
    reached = _distances(way)
    ahead = np.array([np.cos(headings[-1]), np.sin(headings[-1])])
    way = np.concatenate([way, [way[-1] + _BEYOND_M * ahead]])
    headings, reached = np.append(headings, headings[-1]), np.append(reached, reached[-1] + _BEYOND_M)
    # Where the plan stands the distance does not grow, and np.interp takes the last of the points that share it.
    wanted = _distances(np.concatenate([np.zeros((1, 2)), driven]))[1:]
    moved = np.stack([np.interp(wanted, reached, way[:, axis]) for axis in (0, 1)], axis=1)
    return moved, np.asarray(np.interp(wanted, reached, headings))


def _distances(line: Array) -> Array:
    """(N,) along a line (N, 2) from its first point."""
    steps = np.linalg.norm(np.diff(line, axis=0), axis=1)
    return np.concatenate([[0.0], np.cumsum(steps)])
