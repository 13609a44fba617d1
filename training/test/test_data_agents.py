"""Boxes, futures and footprints of objects whose motion is known."""

from __future__ import annotations

import numpy as np
from scene_builder import BuiltObject, build_scene, circle, pose, straight
from tinybev_training.data.agents import agent_targets, footprints
from tinybev_training.data.sample import MOTION_STEPS, OCCUPANCY_STEPS

from tinybev.geometry import invert, transform_points
from tinybev.types import DETECTION_CLASSES


def test_car_at_5_mps_seen_from_a_standing_ego() -> None:
    ego = straight(0.0, x=50.0, y=10.0, yaw=np.pi / 2)
    car = BuiltObject(straight(5.0, x=50.0, y=30.0, yaw=np.pi / 2))  # 20 m ahead, driving away
    scene = build_scene(ego, [car], keyframes=20)
    agents = agent_targets(scene.keyframes, 0, invert(pose(ego, 0.0)))
    np.testing.assert_allclose(agents.boxes.centers, [[20.0, 0.0, 0.8]], atol=1e-4)
    np.testing.assert_allclose(agents.boxes.velocities, [[5.0, 0.0]], atol=1e-4)
    np.testing.assert_allclose(agents.boxes.yaws, [0.0], atol=1e-6)
    expected = np.column_stack([20 + 2.5 * np.arange(1, MOTION_STEPS + 1), np.zeros(MOTION_STEPS)])
    np.testing.assert_allclose(agents.futures[0], expected, atol=1e-4)
    assert agents.futures_valid.all()
    assert agents.boxes.class_ids.tolist() == [DETECTION_CLASSES.index("car")]


def test_futures_are_in_the_axes_of_now_although_the_ego_moves_on() -> None:
    ego = circle(8.0, 0.2)
    parked = BuiltObject(straight(0.0, x=30.0, y=5.0, yaw=0.3))
    agents = agent_targets(build_scene(ego, [parked]).keyframes, 2, invert(pose(ego, 1.0)))
    here = transform_points(invert(pose(ego, 1.0)), np.array([[30.0, 5.0, 0.0]]))[0, :2]
    valid = agents.futures_valid[0]
    np.testing.assert_allclose(agents.futures[0, valid], np.tile(here, (valid.sum(), 1)), atol=1e-4)
    np.testing.assert_allclose(agents.boxes.yaws, [0.3 - 0.2], atol=1e-6)
    np.testing.assert_allclose(agents.boxes.velocities, [[0.0, 0.0]], atol=1e-6)


def test_a_gap_in_the_annotations_is_masked_and_nothing_moves_up() -> None:
    ego = straight(0.0)
    cars = [BuiltObject(straight(2.0, x=5.0), keyframes=(0, 1, 3)), BuiltObject(straight(0.0, x=9.0))]
    agents = agent_targets(build_scene(ego, cars, keyframes=6).keyframes, 0, np.eye(4))
    assert agents.futures_valid[0, :5].tolist() == [True, False, True, False, False]
    np.testing.assert_allclose(agents.futures[0, 2], [8.0, 0.0], atol=1e-4)
    assert agents.futures_valid[1].tolist() == [True] * 5 + [False] * 7  # the scene has five more keyframes
    assert not agents.futures[~agents.futures_valid].any()


def test_footprints_follow_each_step_and_end_with_the_recording() -> None:
    late = BuiltObject(straight(0.0, x=-7.0), keyframes=(1, 2))
    moving = BuiltObject(straight(4.0, x=3.0, yaw=0.0), class_name="truck", size=(6.0, 2.5, 3.0))
    steps = footprints(build_scene(straight(0.0), [moving, late], keyframes=3).keyframes, 0, np.eye(4))
    assert len(steps) == OCCUPANCY_STEPS
    assert [None if step is None else step.track_ids.tolist() for step in steps] == [[1], [1, 2], [1, 2], None, None]
    assert steps[2] is not None
    np.testing.assert_allclose(steps[2].centers, [[7.0, 0.0], [-7.0, 0.0]], atol=1e-6)
    np.testing.assert_allclose(steps[2].corners[0], [[10, 1.25], [10, -1.25], [4, -1.25], [4, 1.25]], atol=1e-6)
