"""Planning metrics on scenes whose answers are known, and on the human driver of real scenes."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scene_builder import BuiltObject, Motion, build_scene, circle, straight
from tinybev_training.data.dataset import open_dataset
from tinybev_training.data.ego import plan_targets
from tinybev_training.data.surroundings import Footprints
from tinybev_training.eval.ground_truth import pose_of
from tinybev_training.eval.planning import (
    PlanErrors,
    PlanTruth,
    _oriented_hits,
    plan_errors,
    plan_truth,
    planning_measures,
)

from tinybev.geometry import invert
from tinybev.types import DETECTION_CLASSES, Floats

EGO_AHEAD_M = 1.5  # lidar of the built scenes, and UniAD's half metre


def truth_of(ego: Motion, objects: tuple[BuiltObject, ...] = (), index: int = 0, keyframes: int = 16) -> PlanTruth:
    scene = build_scene(ego, objects, keyframes)
    pose = scene.keyframes[index].lidar.map_T_base
    return plan_truth(scene, index, pose, plan_targets(scene, index, invert(pose)))


def score(truth: PlanTruth, positions: Floats | None = None, yaws: Floats | None = None) -> PlanErrors:
    """Of a plan, the human's by default."""
    return plan_errors(
        truth.human.positions if positions is None else positions,
        truth.human.yaws if yaws is None else yaws,
        truth,
    )


def parked(x: float, y: float = 0.0, yaw: float = 0.0, class_name: str = "car") -> BuiltObject:
    return BuiltObject(straight(0.0, x, y, yaw), class_name)


def test_the_human_as_plan_has_no_error() -> None:
    found = planning_measures([score(truth_of(circle(8.0, 0.3)))])
    for protocol in ("uniad", "stp3"):
        for second in (1, 2, 3):
            assert found[f"{protocol}.L2_{second}s"].value == 0
            assert found[f"{protocol}.collision_{second}s"].value == 0
    assert found["oriented.collision_3s"].value == found["paced.collision_3s"].value == 0
    assert found["paced.L2_3s"].value == pytest.approx(0, abs=1e-9)
    assert found["uniad.L2_3s"].count == 1


def test_a_plan_one_metre_beside_has_an_error_of_one_metre() -> None:
    truth = truth_of(straight(5.0))
    found = planning_measures([score(truth, truth.human.positions + np.array([0.6, 0.8]))])
    for name in ("uniad.L2_1s", "uniad.L2_3s", "uniad.L2_avg", "stp3.L2_2s", "stp3.L2_avg"):
        assert found[name].value == pytest.approx(1.0, abs=1e-6)


def test_a_plan_that_is_a_step_late_is_a_step_behind() -> None:
    truth = truth_of(straight(5.0))
    late = np.concatenate([[[0.0, 0.0]], truth.human.positions[:-1]])
    found = planning_measures([score(truth, late)])
    for name in ("uniad.L2_1s", "uniad.L2_3s", "stp3.L2_1s", "stp3.L2_avg"):
        assert found[name].value == pytest.approx(2.5, abs=1e-6)


def test_uniad_takes_the_value_at_t_and_stp3_the_mean_up_to_t() -> None:
    truth = truth_of(straight(5.0))
    growing = truth.human.positions + np.outer(np.arange(1, 7), [0.0, 1.0])
    found = planning_measures([score(truth, growing)])
    assert [found[f"uniad.L2_{s}s"].value for s in (1, 2, 3)] == pytest.approx([2, 4, 6])
    assert [found[f"stp3.L2_{s}s"].value for s in (1, 2, 3)] == pytest.approx([1.5, 2.5, 3.5])


def test_a_box_on_the_path_at_two_seconds() -> None:
    # The human stops; the plan drives on at 5 m/s and passes a car that stands where it is at 2 s.
    truth = truth_of(straight(0.0), (parked(10.0 + EGO_AHEAD_M),))
    driving = np.stack([2.5 * np.arange(1, 7), np.zeros(6)], axis=1)
    error = score(truth, driving, np.zeros(6))
    # Half a car and half the ego are 4.04 m: hit from 5.96 to 14.04 m, at the steps at 7.5, 10 and 12.5 m.
    np.testing.assert_array_equal(error.oriented_hit, [0, 0, 1, 1, 1, 0])
    np.testing.assert_array_equal(error.vehicle_hit, [0, 0, 1, 1, 1, 0])
    found = planning_measures([error])
    assert [found[f"oriented.collision_{s}s"].value for s in (1, 2, 3)] == [0, 100, 100]
    assert [found[f"uniad.collision_{s}s"].value for s in (1, 2, 3)] == [0, 100, 0]
    assert [found[f"stp3.collision_{s}s"].value for s in (1, 2, 3)] == pytest.approx([0, 50, 50])
    assert found["uniad.human_collision_3s"].value == 0


def test_at_the_humans_pace_a_plan_that_is_too_fast_has_no_error_and_one_that_steers_wrong_keeps_it() -> None:
    truth = truth_of(straight(2.0), (parked(12.0 + EGO_AHEAD_M),))
    steps = np.arange(1, 7)
    too_fast = score(truth, np.stack([4.0 * steps, np.zeros(6)], axis=1), np.zeros(6))
    found = planning_measures([too_fast])
    assert (found["oriented.collision_3s"].value, found["uniad.L2_3s"].value) == (100, pytest.approx(18.0))
    assert (found["paced.collision_3s"].value, found["paced.L2_3s"].value) == (0, pytest.approx(0.0, abs=1e-6))
    aside = score(truth, np.outer(steps, [0.6, 0.8]), np.full(6, np.arctan2(0.8, 0.6)))
    found = planning_measures([aside])
    assert found["paced.L2_3s"].value == pytest.approx(found["uniad.L2_3s"].value)


def test_a_box_that_drives_off_in_time_is_not_hit() -> None:
    truth = truth_of(straight(0.0), (BuiltObject(straight(5.0, 10.0)),))
    driving = np.stack([2.5 * np.arange(1, 7), np.zeros(6)], axis=1)
    assert not score(truth, driving, np.zeros(6)).oriented_hit.any()


@pytest.mark.parametrize(
    ("name", "coarse", "with_pedestrians", "oriented"),
    [("truck", 1, 1, 1), ("bicycle", 1, 1, 1), ("pedestrian", 0, 1, 1), ("barrier", 0, 0, 0)],
)
def test_who_counts(name: str, coarse: int, with_pedestrians: int, oriented: int) -> None:
    truth = truth_of(straight(0.0), (parked(5.0 + EGO_AHEAD_M, class_name=name),))
    driving = np.tile([5.0, 0.0], (6, 1))
    error = score(truth, driving, np.zeros(6))
    assert (error.vehicle_hit.all(), error.any_hit.all(), error.oriented_hit.all()) == (
        bool(coarse),
        bool(with_pedestrians),
        bool(oriented),
    )


def test_left_and_right_are_not_exchanged() -> None:
    for side in (-1, 1):
        truth = truth_of(straight(0.0), (parked(EGO_AHEAD_M, 6.0 * side),))
        towards = np.tile([0.0, 5.0 * side], (6, 1))
        assert score(truth, towards, np.zeros(6)).vehicle_hit.all()
        assert not score(truth, -towards, np.zeros(6)).vehicle_hit.any()


def test_the_box_along_the_axes_counts_the_human_as_colliding_in_a_bend_and_the_oriented_one_does_not() -> None:
    # After a quarter turn to the left the ego faces left; a car stands parallel to it, 2.8 m from its centre line.
    # The parked car is where a box that still faces forward would be.
    rate = np.pi / 2 / 3.0
    radius = 6.0 / rate
    truth = truth_of(circle(6.0, rate), (parked(radius + 2.8, radius, yaw=np.pi / 2),))
    error = score(truth)
    assert error.human_vehicle_hit[-1]
    assert not error.human_oriented_hit.any()
    found = planning_measures([error])
    assert found["uniad.human_collision_3s"].value == 100
    assert found["uniad.collision_3s"].value == 0  # left out, for the human "collides" too


def test_the_end_of_a_recording() -> None:
    truth = truth_of(straight(5.0), index=13)  # two keyframes follow
    np.testing.assert_array_equal(truth.human.valid, [1, 1, 0, 0, 0, 0])
    far = truth.human.positions + np.array([0.0, 3.0])
    found = planning_measures([score(truth, far)])
    assert (found["uniad.L2_1s"].value, found["uniad.L2_1s"].count) == (pytest.approx(3.0), 1)
    assert (found["uniad.with_future_1s"].value, found["uniad.with_future_3s"].value) == (1.0, 0.0)
    for name in (
        "uniad.L2_3s",
        "uniad.collision_3s",
        "uniad.L2_avg",
        "stp3.L2_1s",
        "stp3.collision_3s",
        "oriented.collision_3s",
    ):
        assert not found[name].valid
        assert found[name].count == 0


def test_a_step_past_the_end_counts_as_no_error_beside_others_as_in_uniad() -> None:
    ends, goes_on = (truth_of(straight(5.0), index=index) for index in (13, 0))
    found = planning_measures([score(each, each.human.positions + np.array([0.0, 3.0])) for each in (ends, goes_on)])
    assert (found["uniad.L2_3s"].value, found["uniad.L2_3s"].count) == (pytest.approx(1.5), 2)
    assert (found["uniad.with_future_3s"].value, found["stp3.L2_3s"].count) == (0.5, 1)


def test_where_nothing_is_annotated_no_collision_can_be_told() -> None:
    truth = dataclasses.replace(truth_of(straight(5.0)), annotated=False)
    found = planning_measures([score(truth)])
    for name, measure in found.items():
        assert measure.valid == (".L2" in name or "with_future" in name), name
        assert measure.count == int(measure.valid)
    beside_another = planning_measures([score(truth), score(truth_of(straight(5.0)))])
    assert (beside_another["uniad.L2_3s"].count, beside_another["uniad.collision_3s"].count) == (2, 1)


def test_nothing_to_measure() -> None:
    assert all(not measure.valid and measure.count == 0 for measure in planning_measures([]).values())


@settings(max_examples=60)
@given(
    x=st.floats(-5, 8),
    y=st.floats(-5, 5),
    yaw=st.floats(-3.2, 3.2),
    ego_yaw=st.floats(-3.2, 3.2),
    length=st.floats(0.6, 12),
    width=st.floats(0.6, 3),
)
def test_the_fine_grid_agrees_with_polygons(
    x: float, y: float, yaw: float, ego_yaw: float, length: float, width: float
) -> None:
    shapely = pytest.importorskip("shapely.geometry")
    other = Footprints(
        np.array([[x, y]]),
        np.array([[length, width]]),
        np.array([yaw]),
        np.array([1]),
        np.array([DETECTION_CLASSES.index("car")]),
    )
    ego = Footprints(
        EGO_AHEAD_M * np.array([[np.cos(ego_yaw), np.sin(ego_yaw)]]),
        np.array([[4.084, 1.85]]),
        np.array([ego_yaw]),
        np.array([1]),
        np.array([0]),
    )
    (hit,) = _oriented_hits(np.zeros((1, 2)), np.array([ego_yaw]), [other], EGO_AHEAD_M)
    overlap = shapely.Polygon(ego.corners[0]).intersection(shapely.Polygon(other.corners[0]))
    if overlap.is_empty:
        assert not hit
    elif overlap.buffer(-0.075).area > 0:  # a disc wider than a cell's diagonal holds a cell's centre
        assert hit


def test_the_human_of_mini_val(nuscenes_dataroot: Path) -> None:
    """In kind what is published for the human on nuScenes' val: hit on the coarse grids at times, never when turned."""
    dataset = open_dataset(nuscenes_dataroot, "v1.0-mini", "mini_val", keep_imageless=True, with_lidar=False)
    errors = []
    for index, where in enumerate(dataset.keyframes):
        sample = dataset.surroundings(index)
        errors.append(score(plan_truth(where.scene, where.number, pose_of(sample), sample.plan)))
    found = planning_measures(errors)
    assert found["uniad.L2_avg"].value == 0
    assert found["uniad.L2_3s"].count == 81
    assert found["stp3.L2_3s"].count == 81 - 2 * 6
    assert found["oriented.human_collision_3s"].value == 0
    assert found["uniad.collision_avg"].value == found["stp3.collision_avg"].value == 0
    # 0.36 % of val's steps are counted as hit; 486 steps may well have none, and have not many.
    assert found["uniad.human_collision_avg"].value <= found["stp3.human_collision_avg"].value <= 5
