"""A way at another pace: against a loop that walks along it, and where a way has no length."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tinybev_training.eval.pace import at_pace_of

from tinybev.types import Floats

STEPS = 6

moves = st.lists(
    st.tuples(st.floats(0.0, 10.0), st.floats(-0.6, 0.6)), min_size=STEPS, max_size=STEPS
)  # how far and how much farther round at each step


def drive(steps: list[tuple[float, float]]) -> tuple[Floats, Floats]:
    """Positions (T, 2) and headings (T,) of lengths and turns."""
    yaws = np.cumsum([turn for _, turn in steps])
    lengths = np.array([length for length, _ in steps])
    return np.cumsum(lengths[:, None] * np.stack([np.cos(yaws), np.sin(yaws)], axis=1), axis=0), yaws


def walked(positions: Floats, yaws: Floats, metres: float) -> Floats:
    """The point so far along the way, segment by segment."""
    at = np.zeros(2)
    for goal in positions:
        length = float(np.linalg.norm(goal - at))
        if length > metres:
            return at + (goal - at) * metres / length
        metres -= length
        at = goal
    return at + metres * np.array([np.cos(yaws[-1]), np.sin(yaws[-1])])


@given(moves, moves)
def test_it_is_where_one_comes_walking_along_the_way(planned: list, driven: list) -> None:
    positions, yaws = drive(planned)
    moved, _ = at_pace_of(positions, yaws, drive(driven)[0])
    far = np.cumsum([length for length, _ in driven])
    np.testing.assert_allclose(moved, [walked(positions, yaws, metres) for metres in far], atol=1e-6)


@given(moves)
def test_at_its_own_pace_a_way_is_as_it_was(planned: list) -> None:
    positions, yaws = drive(planned)
    np.testing.assert_allclose(at_pace_of(positions, yaws, positions)[0], positions, atol=1e-6)


def test_headings_go_over_evenly_and_do_not_jump_where_they_wrap() -> None:
    positions = np.array([[1.0, 0.0], [2.0, 0.0], [3.0, 0.0]])
    half_as_fast = positions / 2
    turned = np.array([3.1, -3.1, -3.0])  # over pi, a turn of less than a tenth
    _, yaws = at_pace_of(positions, turned, half_as_fast)
    np.testing.assert_allclose(yaws, [3.1 / 2, 3.1, 3.1 + (2 * np.pi - 6.2) / 2])


def test_a_plan_that_stands_goes_straight_on_in_its_heading() -> None:
    moved, yaws = at_pace_of(np.zeros((3, 2)), np.full(3, np.pi / 2), np.array([[2.0, 0.0], [4.0, 0.0], [6.0, 0.0]]))
    np.testing.assert_allclose(moved, [[0, 2], [0, 4], [0, 6]], atol=1e-9)
    assert yaws == pytest.approx([np.pi / 2] * 3)
