"""The steppable world: driving as the log did ends where the log ends; driving otherwise ends elsewhere."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tinybev_training.world.demo_scene import WEATHER, demo_scenario
from tinybev_training.world.simulation import Simulation
from tinybev_training.world.world import pose_matrix

from tinybev.errors import UserError
from tinybev.geometry import invert, yaw_of
from tinybev.types import CAMERAS, Goal, Plan

STEPS, STEP_S = 6, 0.5


def recorded_plan(simulation: Simulation, stamp_ns: int) -> Plan:
    """What the log's ego does in the next three seconds, seen from where the simulation's ego is."""
    scenario = demo_scenario()
    here = invert(pose_matrix(simulation.ego))
    poses = [here @ pose_matrix(scenario.at(stamp_ns + round((k + 1) * STEP_S * 1e9)).ego) for k in range(STEPS)]
    positions = np.array([pose[:2, 3] for pose in poses])
    yaws = np.array([yaw_of(pose[:3, :3]) for pose in poses])
    return Plan(positions, yaws, np.zeros(STEPS), positions, Goal(), STEP_S)


def standing_still() -> Plan:
    zeros = np.zeros((STEPS, 2))
    return Plan(zeros, np.zeros(STEPS), np.zeros(STEPS), zeros, Goal(), STEP_S)


def test_the_recorded_plan_ends_where_the_log_ends() -> None:
    scenario = demo_scenario()
    simulation = Simulation(image_size=(36, 64), weather=WEATHER)
    frame = simulation.begin(scenario)
    steps = 0
    while not simulation.done:
        frame = simulation.step(recorded_plan(simulation, frame.stamp_ns))
        steps += 1
        assert set(frame.images) == set(CAMERAS)
        np.testing.assert_allclose(simulation.ego, scenario.at(frame.stamp_ns).ego, atol=1e-6)
    assert steps >= 20
    assert abs(frame.stamp_ns - scenario.end_ns) < 0.6e9
    last = scenario.at(frame.stamp_ns).ego
    np.testing.assert_allclose(frame.map_T_base, pose_matrix(last), atol=1e-6)
    assert frame.ego is not None
    with pytest.raises(UserError, match="reset"):
        simulation.step(standing_still())


def test_a_plan_one_metre_beside_the_recorded_one_ends_one_metre_beside_the_log() -> None:
    scenario = demo_scenario()
    simulation = Simulation(image_size=(36, 64), weather=WEATHER)
    frame = simulation.begin(scenario)
    for _ in range(2):
        plan = recorded_plan(simulation, frame.stamp_ns)
        beside = plan.positions + np.stack([-np.sin(plan.yaws), np.cos(plan.yaws)], axis=1)
        frame = simulation.step(replace(plan, positions=beside))
    x, y, yaw = simulation.ego - scenario.at(frame.stamp_ns).ego
    assert np.hypot(x, y) == pytest.approx(1.0, abs=1e-3)
    assert yaw == pytest.approx(0.0, abs=1e-3)


def test_the_ego_stays_where_its_plan_keeps_it() -> None:
    scenario = demo_scenario()
    simulation = Simulation(image_size=(36, 64), weather=WEATHER)
    first = simulation.begin(scenario)
    frame = first
    for _ in range(3):
        frame = simulation.step(standing_still())
    np.testing.assert_allclose(frame.map_T_base, first.map_T_base, atol=1e-9)
    assert frame.stamp_ns - first.stamp_ns == 1_500_000_000
    assert frame.ego is not None
    assert abs(frame.ego.speed_mps) < 1e-6
    # Every image has the pose of its own stamp: all the same for who stands.
    for image in frame.images.values():
        np.testing.assert_allclose(image.map_T_base, first.map_T_base, atol=1e-9)


def test_a_plan_that_cannot_be_followed_is_refused() -> None:
    simulation = Simulation(image_size=(36, 64), weather=WEATHER)
    with pytest.raises(UserError, match="reset"):
        simulation.step(standing_still())
    simulation.begin(demo_scenario())
    short = Plan(np.zeros((1, 2)), np.zeros(1), np.zeros(1), np.zeros((1, 2)), Goal(), 0.1)
    with pytest.raises(UserError, match="at least half a second"):
        simulation.step(short)
    wild = np.full((STEPS, 2), np.nan)
    with pytest.raises(UserError, match="finite"):
        simulation.step(Plan(wild, np.zeros(STEPS), np.zeros(STEPS), wild, Goal(), STEP_S))
