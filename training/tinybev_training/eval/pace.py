"""A plan's way at the pace of another drive: what is wrong with where it goes, apart from how fast."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tinybev.geometry import Array
from tinybev.types import Floats


@dataclass(frozen=True)
class Paced:
    """A plan's way at the T steps of another drive, as far along as that has come, or at its end where it is shorter.

    Attributes:
        positions, yaws: (T, 2), (T,) there.
        driven: (T, 2) the other drive at the same distance from its start.
        reached: (T,) whether the plan goes that far.
    """

    positions: Array
    yaws: Array
    driven: Array
    reached: NDArray[np.bool_]


def at_pace_of(positions: Floats, yaws: Floats, driven: Floats) -> Paced:
    """Drives a plan's way as fast as another drive went.

    Distances are along the lines through the positions, from the origin on; what a drive goes backwards counts as
    forwards. Past its end a plan says nothing of where it would go, so nothing is made up.

    Args:
        positions: (T, 2) the plan, metres, in the vehicle's frame now.
        yaws: (T,) its headings, radians.
        driven: (T, 2) the other drive, in the same frame.
    """
    way, other = (np.concatenate([np.zeros((1, 2)), line]) for line in (positions, driven))
    headings = np.unwrap(np.concatenate([[0.0], yaws]))
    along, other_along = _distances(way), _distances(other)
    wanted = np.minimum(other_along[1:], along[-1])
    return Paced(
        _at(wanted, along, way),
        np.asarray(np.interp(wanted, along, headings)),
        _at(wanted, other_along, other),
        other_along[1:] <= along[-1],
    )


def _distances(line: Array) -> Array:
    """(N,) along a line (N, 2) from its first point."""
    steps = np.linalg.norm(np.diff(line, axis=0), axis=1)
    return np.concatenate([[0.0], np.cumsum(steps)])


def _at(wanted: Array, along: Array, line: Array) -> Array:
    """(T, 2) the points of a line (N, 2) at distances ``wanted``; ``along`` (N,) are those of its own points."""
    return np.stack([np.interp(wanted, along, line[:, axis]) for axis in (0, 1)], axis=1)
