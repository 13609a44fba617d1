"""A way at another pace: against a loop that walks along it, and where a way has no length."""

from __future__ import annotations

import numpy as np
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


def walked(positions: Floats, metres: float) -> Floats:
    """The point so far along the way, segment by segment, or its end."""
    at = np.zeros(2)
    for goal in positions:
        length = float(np.linalg.norm(goal - at))
        if length > metres:
            return at + (goal - at) * metres / length
        metres -= length
        at = goal
    return at


@given(moves, moves)
def test_it_is_where_one_comes_walking_along_both_ways(planned: list, driven: list) -> None:
    (positions, yaws), (other, _) = drive(planned), drive(driven)
    paced = at_pace_of(positions, yaws, other)
    ends = np.cumsum([length for length, _ in planned])
    far = np.minimum(np.cumsum([length for length, _ in driven]), ends[-1])
    np.testing.assert_allclose(paced.positions, [walked(positions, metres) for metres in far], atol=1e-6)
    np.testing.assert_allclose(paced.driven, [walked(other, metres) for metres in far], atol=1e-6)


@given(moves)
def test_at_its_own_pace_a_way_is_as_it_was(planned: list) -> None:
    positions, yaws = drive(planned)
    paced = at_pace_of(positions, yaws, positions)
    np.testing.assert_allclose(paced.positions, positions, atol=1e-6)
    np.testing.assert_array_equal(paced.positions, paced.driven)
    assert paced.reached.all()


def test_headings_go_over_evenly_and_do_not_jump_where_they_wrap() -> None:
    positions = np.array([[1.0, 0.0], [2.0, 0.0], [3.0, 0.0]])
    turned = np.array([3.1, -3.1, -3.0])  # over pi, a turn of less than a tenth
    paced = at_pace_of(positions, turned, positions / 2)
    np.testing.assert_allclose(paced.yaws, [3.1 / 2, 3.1, 3.1 + (2 * np.pi - 6.2) / 2])


def test_a_slow_plan_on_the_right_bend_is_judged_as_far_as_it_goes() -> None:
    times = 0.5 * np.arange(1, STEPS + 1)
    fast, slow = (
        20.0 * np.stack([np.sin(angles), 1 - np.cos(angles)], axis=1) for angles in (0.5 * times, 0.25 * times)
    )
    paced = at_pace_of(slow, 0.25 * times, fast)
    np.testing.assert_allclose(paced.positions, paced.driven, atol=0.2)  # chords of unlike length
    np.testing.assert_array_equal(paced.reached, [1, 1, 1, 0, 0, 0])


def test_a_plan_that_stands_says_nothing_of_its_way() -> None:
    paced = at_pace_of(np.zeros((3, 2)), np.zeros(3), np.array([[2.0, 0.0], [4.0, 0.0], [6.0, 0.0]]))
    np.testing.assert_array_equal(paced.positions, paced.driven)
    assert not paced.reached.any()
