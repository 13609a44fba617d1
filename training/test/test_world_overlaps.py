"""Boxes that reach into each other: against shapely's outlines, and in the scenarios that are generated."""

from __future__ import annotations

import numpy as np
import pytest
from shapely import Polygon
from tinybev_training.world.catalogue import EGO_MODEL, EGO_REAR_AXLE_TO_CENTER, MODELS
from tinybev_training.world.demo_scene import demo_scenario
from tinybev_training.world.generate import CONTACT_M, generate_scenario
from tinybev_training.world.overlaps import contacts, keep_apart, penetration
from tinybev_training.world.scenario import Scenario

WRITTEN_M = 0.01
"""Poses are rounded after the check, and rounding may add this much to a contact."""


def outline(pose: np.ndarray, size: np.ndarray) -> Polygon:
    cos, sin = np.cos(pose[2]), np.sin(pose[2])
    corners = np.array([[1, 1], [-1, 1], [-1, -1], [1, -1]]) * size[:2] / 2
    return Polygon(corners @ np.array([[cos, sin], [-sin, cos]]) + pose[:2])


def test_penetration_of_boxes_with_known_answers() -> None:
    size = np.array([4.0, 2.0])
    here = np.zeros(3)
    for pose, expected in (([3.5, 0, 0], 0.5), ([0, 1.9, np.pi], 0.1), ([5, 0, 0], -1.0), ([2.5, 0, np.pi / 2], 0.5)):
        assert penetration(here, size, np.array(pose), size) == pytest.approx(expected)


def test_penetration_is_positive_exactly_where_outlines_overlap() -> None:
    rng = np.random.default_rng(0)
    poses = np.concatenate([rng.uniform(-4, 4, (400, 2, 2)), rng.uniform(-4, 4, (400, 2, 1))], axis=2)
    sizes = rng.uniform(0.4, 5, (400, 2, 2))
    deep = penetration(poses[:, 0], sizes[:, 0], poses[:, 1], sizes[:, 1])
    meets = [outline(p[0], s[0]).intersection(outline(p[1], s[1])).area > 0 for p, s in zip(poses, sizes, strict=True)]
    assert 50 < sum(meets) < 350
    np.testing.assert_array_equal(deep > 0, meets)


def test_who_touches_is_left_out_by_rank() -> None:
    poses = np.array([[[0, 0, 0], [1, 0, 0], [2.5, 0, 0]]], dtype=np.float64)
    touching = contacts(poses, np.full((3, 2), 2.0), np.ones((1, 3), dtype=np.bool_), 0.1)
    assert touching.tolist() == [[False, True, False], [True, False, True], [False, True, False]]
    assert keep_apart(touching, np.array([0, 1, 2])).tolist() == [True, False, True]
    assert keep_apart(touching, np.array([2, 1, 2])).tolist() == [False, True, False]
    absent = np.array([[True, False, True]])
    assert not contacts(poses, np.full((3, 2), 2.0), absent, 0.1).any()


@pytest.fixture(scope="module", params=["generated", "of the demo"])
def scenario(request: pytest.FixtureRequest) -> Scenario:
    if request.param == "of the demo":
        return demo_scenario()
    pytest.importorskip("libsumo", reason="needs SUMO: pip install eclipse-sumo libsumo")
    return generate_scenario(1, 8.0)


def test_no_two_bodies_overlap_at_a_keyframe(scenario: Scenario) -> None:
    """Every pair of agents, and the ego, with a loop of its own."""
    agents = scenario.agents
    ego = scenario.ego.astype(np.float64)
    ego[:, :2] += EGO_REAR_AXLE_TO_CENTER * np.stack([np.cos(ego[:, 2]), np.sin(ego[:, 2])], axis=1)
    for tick in range(2, len(ego), 10):
        there = np.flatnonzero(agents.present[tick])
        poses = [ego[tick], *agents.poses[tick, there].astype(np.float64)]
        sizes = [np.array(EGO_MODEL.size), *agents.sizes[there].astype(np.float64)]
        shrunk = [outline(p, s - CONTACT_M - WRITTEN_M) for p, s in zip(poses, sizes, strict=True)]
        for index, body in enumerate(shrunk):
            assert not any(body.intersects(other) for other in shrunk[index + 1 :])


def test_vehicles_neither_jump_nor_slide(scenario: Scenario) -> None:
    agents = scenario.agents
    moves = np.array([MODELS[m].traffic_class not in ("", "pedestrian") for m in agents.models]) & ~agents.parked
    both = agents.present[1:] & agents.present[:-1] & moves
    shift = np.diff(agents.poses[:, :, :2].astype(np.float64), axis=0)
    step = np.linalg.norm(shift, axis=2)
    change = np.abs(np.diff(step, axis=0))[both[1:] & both[:-1]]
    assert change.max() < 0.15  # metres a tick from one tick to the next: SUMO's own hops are up to 0.65
    slip = np.arctan2(shift[..., 1], shift[..., 0]) - agents.poses[:-1, :, 2]
    slip = np.abs((slip + np.pi) % (2 * np.pi) - np.pi)[both & (step > 0.1)]
    assert len(slip) > 50
    assert np.quantile(slip, 0.99) < np.deg2rad(25)
    assert slip.max() < np.deg2rad(60)
