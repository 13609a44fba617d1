"""Plans: metres, radians and metres per second; and the refinement that keeps clear of predicted occupancy."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tinybev.geometry import BevGrid
from tinybev.model.heads.planning import PlanOutputs
from tinybev.runtime.decode.planning import decode_plan
from tinybev.runtime.plan_refinement import RADIUS_M, SIGMA_M, WEIGHT, plan_cost, refine_plan, turned_yaws
from tinybev.types import Command, Goal, Occupancy, WeightsInfo

GRID = BevGrid((-51.2, 51.2, 0.512), (-51.2, 51.2, 0.512))
X, Y = np.meshgrid(*GRID.cell_centers(), indexing="ij")
AHEAD = np.column_stack([np.arange(1, 7) * 4.0, np.zeros(6)])


def outputs(positions: np.ndarray, yaws: np.ndarray) -> PlanOutputs:
    heading = 2.5 * np.stack([np.sin(yaws), np.cos(yaws)], axis=1)
    return PlanOutputs(torch.from_numpy(positions)[None], torch.from_numpy(heading)[None])


def occupied(*rectangles: tuple[float, float, float, float], probability: float = 0.9) -> Occupancy:
    """The same rectangles (x0, x1, y0, y1) at every step."""
    probabilities = np.zeros((5, *GRID.shape))
    for x0, x1, y0, y1 in rectangles:
        probabilities[:, (x0 <= X) & (x1 >= X) & (y0 <= Y) & (y1 >= Y)] = probability
    return Occupancy(probabilities, np.zeros_like(probabilities, dtype=int), GRID, 0.5)


def test_positions_headings_and_speeds() -> None:
    turn = np.linspace(0.1, 0.6, 6)
    positions = 8.0 * np.column_stack([np.sin(turn), 1 - np.cos(turn)])  # on a circle
    plan = decode_plan(outputs(positions, turn), Goal(Command.LEFT, (5.0, 2.0)), 0.5, None, 0.3)
    assert plan.positions == pytest.approx(positions)
    assert plan.raw_positions == pytest.approx(positions)
    assert plan.yaws == pytest.approx(turn)
    assert plan.speeds[1:] == pytest.approx(2 * 8.0 * np.sin(0.05) / 0.5, rel=1e-6)  # chord over time
    assert plan.goal == Goal(Command.LEFT, (5.0, 2.0))
    assert plan.time_step_s == 0.5


def test_where_nothing_is_near_nothing_changes() -> None:
    for occupancy in (occupied(), occupied((-20, -15, -3, 3)), occupied((0, 30, RADIUS_M + 0.5, 12))):
        assert np.array_equal(refine_plan(AHEAD, occupancy, 0.3), AHEAD)


def test_the_plan_gives_way_to_what_is_beside_it() -> None:
    occupancy = occupied((6, 14, 0.6, 3.0))
    refined = refine_plan(AHEAD, occupancy, 0.3)
    assert (refined[1:3, 1] < -0.3).all()  # to the right, away from it
    assert np.abs(refined[4:] - AHEAD[4:]).max() < 1e-6


def test_it_gives_way_to_the_other_side_alike() -> None:
    left, right = (refine_plan(AHEAD, occupied((6, 14, *side)), 0.3) for side in ((0.6, 3.0), (-3.0, -0.6)))
    assert left[:, 1] == pytest.approx(-right[:, 1], abs=1e-6)
    assert left[:, 0] == pytest.approx(right[:, 0], abs=1e-6)


def test_each_step_meets_the_occupancy_of_its_time() -> None:
    occupancy = occupied()
    beside = (np.abs(X - 8) < 2) & (Y > 0.6) & (Y < 3)
    occupancy.probability[2][beside] = 0.9  # 1 s ahead, which is plan step 1
    refined = refine_plan(AHEAD, occupancy, 0.3)
    moved = np.abs(refined - AHEAD).max(axis=1) > 1e-3
    assert moved.tolist() == [False, True, False, False, False, False]
    later = occupied()
    later.probability[4][(np.abs(X - 24) < 2) & (Y > 0.6) & (Y < 3)] = 0.9  # the forecast's end stands for what follows
    assert np.abs(refine_plan(AHEAD, later, 0.3) - AHEAD)[5].max() > 1e-3


def test_cells_below_the_threshold_do_not_count() -> None:
    assert np.array_equal(refine_plan(AHEAD, occupied((6, 14, 0.6, 3.0), probability=0.2), 0.3), AHEAD)


@pytest.mark.parametrize("rectangle", [(6, 14, 0.6, 3.0), (7.5, 9.5, -0.3, 0.9), (9, 30, -2, 2)])
def test_it_is_the_minimum_that_a_general_solver_finds(rectangle: tuple[float, float, float, float]) -> None:
    optimize = pytest.importorskip("scipy.optimize")
    occupancy = occupied(rectangle)
    refined = refine_plan(AHEAD, occupancy, 0.3)
    for t, start in enumerate(AHEAD):
        near = (
            (np.abs(X - start[0]) <= RADIUS_M) & (np.abs(Y - start[1]) <= RADIUS_M) & (occupancy.probability[0] > 0.3)
        )
        cells, weights = np.stack([X[near], Y[near]], axis=1), WEIGHT * 0.512**2 * occupancy.probability[0][near]
        solved = optimize.minimize(
            plan_cost, start, args=(start, cells, weights), method="BFGS", options={"gtol": 1e-8}
        )
        mine = plan_cost(refined[t], start, cells, weights)
        assert mine <= plan_cost(start, start, cells, weights) + 1e-12
        assert mine <= solved.fun + 1e-3 * SIGMA_M


def test_the_networks_own_plan_is_kept_beside_the_refined_one() -> None:
    plan = decode_plan(outputs(AHEAD, np.zeros(6)), Goal(), 0.5, occupied((6, 14, 0.6, 3.0)), 0.3)
    assert plan.raw_positions == pytest.approx(AHEAD)
    assert np.abs(plan.positions - AHEAD).max() > 0.3
    steps = np.diff(np.vstack([np.zeros((1, 2)), plan.positions]), axis=0)
    assert plan.speeds == pytest.approx(np.linalg.norm(steps, axis=1) / 0.5)


def test_the_vehicle_points_along_the_refined_path() -> None:
    drift = 0.1  # the network's headings are not quite the path's
    plan = decode_plan(outputs(AHEAD, np.full(6, drift)), Goal(), 0.5, occupied((6, 14, 0.6, 3.0)), 0.3)
    steps = np.diff(np.vstack([np.zeros((1, 2)), plan.positions]), axis=0)
    assert np.abs(steps[:, 1]).max() > 0.3
    assert plan.yaws == pytest.approx(drift + np.arctan2(steps[:, 1], steps[:, 0]))  # the plan was straight ahead
    assert turned_yaws(plan.yaws, plan.positions, plan.raw_positions) == pytest.approx(np.full(6, drift))


@given(st.floats(-math.pi, math.pi), st.floats(-3.0, 3.0), st.floats(-1.5, 1.5))
def test_headings_turn_by_as_much_as_the_path(course: float, yaw: float, turn: float) -> None:
    before, after = (np.cumsum([[math.cos(angle), math.sin(angle)]] * 4, axis=0) for angle in (course, course + turn))
    found = turned_yaws(np.full(4, yaw), before, after)
    assert np.cos(found - yaw - turn) == pytest.approx(np.ones(4))
    assert (np.abs(found) <= math.pi).all()


def test_steps_that_are_short_or_go_back_turn_nothing() -> None:
    crawling = np.column_stack([np.arange(1, 5) * 0.4, np.zeros(4)])
    yaws = np.array([0.3, 0.2, 0.1, 0.0])
    assert turned_yaws(yaws, crawling, np.add(crawling, [0.0, 2.0])) == pytest.approx(yaws)
    ahead = np.array([[4.0, 0], [8, 0], [12, 0], [16, 0]])
    pushed_back = np.array([[4.0, 0], [3, 0], [12, 0], [16, 0]])
    assert turned_yaws(yaws, ahead, pushed_back) == pytest.approx(yaws)


def test_a_plan_survives_our_messages() -> None:
    pytest.importorskip("tinybev_ros.msg", reason="needs the built messages")
    from std_msgs.msg import Header

    from tinybev_ros import conversions

    plan = decode_plan(outputs(AHEAD, np.linspace(-0.2, 0.4, 6)), Goal(Command.RIGHT, (9.0, -4.0)), 0.5, None, 0.3)
    message = conversions.plan_to_msg(plan, Header(), WeightsInfo("n", "nothing", "0" * 64))
    back = conversions.msg_to_plan(message)
    for name in ("positions", "yaws", "speeds", "raw_positions"):
        assert getattr(back, name) == pytest.approx(getattr(plan, name), abs=1e-6)
    assert back.goal == plan.goal
    assert back.time_step_s == plan.time_step_s
