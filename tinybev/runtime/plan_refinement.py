"""Moves a plan away from predicted occupancy, as UniAD does at test time.

UniAD minimises the distance to the network's plan plus a Gaussian penalty per occupied cell near it, with a general
solver. The same kind of cost is minimised here by plain gradient descent: the steps are independent of each other and
two-dimensional, so a few dozen vectorised iterations converge.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tinybev.geometry import Array, wrap_angle
from tinybev.types import Floats, Occupancy

RADIUS_M = 5.0
"""Occupied cells farther from the network's plan than this do not matter."""
SIGMA_M = 1.0
"""Reach of a cell's penalty: about half the width of a car."""
WEIGHT = 1.0
"""Of the penalty per square metre of occupied ground, against the squared distance from the network's plan."""
ITERATIONS = 50
STEP = 0.1
"""Of the descent; below two over the largest curvature, 2 + WEIGHT * sqrt(2 pi) * SIGMA_M, of a straight edge."""
SHORTEST_STEP_M = 0.5
"""A shorter step between positions has no direction: refinement moves its ends by as much as it is long."""


def refine_plan(raw_positions: Floats, occupancy: Occupancy, threshold: float) -> Array:
    """The refined positions (T, 2); those with nothing near are unchanged.

    Plan step t is at (t + 1) steps after the stamp and is held against the occupancy of that moment; past the last
    step of the forecast, against the last.
    """
    raw = np.asarray(raw_positions, dtype=np.float64)
    x, y = occupancy.grid.cell_centers()
    last = len(occupancy.probability) - 1
    steps, cells, weights = [], [], []
    for t, start in enumerate(raw):
        rows, columns = (
            np.flatnonzero(np.abs(x - start[0]) <= RADIUS_M),
            np.flatnonzero(np.abs(y - start[1]) <= RADIUS_M),
        )
        near = occupancy.probability[min(t + 1, last)][np.ix_(rows, columns)]
        row, column = np.nonzero(near >= threshold)
        if len(row):
            steps.append(t)
            cells.append(np.stack([x[rows[row]], y[columns[column]]]))
            weights.append(near[row, column])
    refined = raw.copy()
    if steps:
        cell_area = occupancy.grid.x_bound[2] * occupancy.grid.y_bound[2]
        refined[steps] = _descend(raw[steps].T, cells, WEIGHT * cell_area * np.concatenate(weights)).T
    return refined


def turned_yaws(yaws: Floats, before: Floats, after: Floats) -> Array:
    """The headings (T,) of a path that was moved: each turns as the step that leads to its position.

    A step is a line without a front here, so that one which was moved backward does not turn the vehicle round; turns
    are at most a quarter. Where a step is shorter than ``SHORTEST_STEP_M`` on either path its heading stays.

    Args:
        yaws: (T,) on the path before.
        before, after: positions (T, 2) of the two paths, which both begin at the origin.
    """
    old_T2, new_T2 = (np.diff(np.vstack([np.zeros((1, 2)), path]), axis=0) for path in (before, after))
    turn_T = np.arctan2(new_T2[:, 1], new_T2[:, 0]) - np.arctan2(old_T2[:, 1], old_T2[:, 0])
    shortest_T = np.minimum(np.linalg.norm(old_T2, axis=1), np.linalg.norm(new_T2, axis=1))
    return wrap_angle(yaws + np.where(shortest_T >= SHORTEST_STEP_M, wrap_angle(2 * turn_T) / 2, 0.0))


def plan_cost(position: Floats, start: Floats, cells: Floats, weights: Floats) -> float:
    """Squared distance from ``start`` plus the penalty of the cells (M, 2) with ``weights`` (M,)."""
    squared = ((position - cells) ** 2).sum(axis=1)
    return float(((position - start) ** 2).sum() + (weights * np.exp(-squared / (2 * SIGMA_M**2))).sum())


def _descend(start_2S: Array, cells: Sequence[Array], weight_C: Array) -> Array:
    """The minima (2, S) of :func:`plan_cost` downhill from so many starts, each with cells (2, M) of its own, at least
    one; the weights are those of all cells, one start after the other."""
    counts = [one.shape[1] for one in cells]
    first_S = np.cumsum([0, *counts[:-1]])
    owner_C = np.repeat(np.arange(len(counts)), counts)
    cell_2C = np.concatenate(cells, axis=1)
    position_2S = start_2S.copy()
    for _ in range(ITERATIONS):
        away_2C = position_2S[:, owner_C] - cell_2C
        penalty_C = weight_C * np.exp((away_2C**2).sum(axis=0) / (-2 * SIGMA_M**2))
        push_2S = np.add.reduceat(penalty_C * away_2C, first_S, axis=1) / SIGMA_M**2
        position_2S -= STEP * (2 * (position_2S - start_2S) - push_2S)
    return position_2S
