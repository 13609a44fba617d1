"""Transforms, projection and the grid, against hand-computed values and their own inverses."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinybev import geometry

angles = st.floats(-math.pi, math.pi)
metres = st.floats(-1000, 1000)
quaternions = st.tuples(*[st.floats(-1, 1)] * 4).filter(lambda q: np.linalg.norm(q) > 0.1)
transforms = st.builds(geometry.transform_from, quaternions, st.tuples(metres, metres, metres))


@given(transforms)
def test_inverse_undoes_a_transform(a_T_b: np.ndarray) -> None:
    np.testing.assert_allclose(geometry.invert(a_T_b) @ a_T_b, np.eye(4), atol=1e-9)


matrices = st.lists(st.floats(-10, 10), min_size=18, max_size=18).map(lambda values: np.reshape(values, (2, 3, 3)))


@given(matrices)
def test_determinants_and_inverses_are_lapacks(matrices_233: np.ndarray) -> None:
    expected = np.linalg.det(matrices_233)
    np.testing.assert_allclose(geometry.determinants(matrices_233), expected, rtol=1e-9, atol=1e-9)
    regular = np.abs(expected) > 0.1
    np.testing.assert_allclose(
        geometry.invert_matrices(matrices_233)[regular], np.linalg.inv(matrices_233[regular]), rtol=1e-6, atol=1e-6
    )


def test_a_singular_matrix_has_no_finite_inverse() -> None:
    assert not np.isfinite(geometry.invert_matrices(np.ones((3, 3)))).any()


@given(quaternions)
def test_quaternion_survives_the_matrix(quaternion: tuple[float, float, float, float]) -> None:
    rotation = geometry.rotation_from_quaternion(quaternion)
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(rotation) == pytest.approx(1)
    again = geometry.rotation_from_quaternion(geometry.quaternion_from_rotation(rotation))
    np.testing.assert_allclose(again, rotation, atol=1e-9)


@given(angles)
def test_yaw_survives_the_quaternion(yaw: float) -> None:
    rotation = geometry.rotation_from_quaternion(geometry.quaternion_from_yaw(yaw))
    assert abs(geometry.wrap_angle(geometry.yaw_of(rotation) - yaw)) < 1e-9


def test_nuscenes_quaternions_put_w_first() -> None:
    quarter_turn_left = (math.sqrt(0.5), 0.0, 0.0, math.sqrt(0.5))
    rotation = geometry.rotation_from_quaternion(geometry.quaternion_from_wxyz(quarter_turn_left))
    np.testing.assert_allclose(rotation @ [1, 0, 0], [0, 1, 0], atol=1e-12)


def test_a_T_b_takes_points_from_b_to_a() -> None:
    map_T_base = geometry.transform_from(geometry.quaternion_from_yaw(math.pi / 2), (10, 20, 0))
    ahead_of_the_vehicle = geometry.transform_points(map_T_base, [[5, 0, 1]])
    np.testing.assert_allclose(ahead_of_the_vehicle, [[10, 25, 1]], atol=1e-12)


@given(transforms, transforms, st.floats(0, 1))
def test_interpolation_is_rigid_and_meets_its_ends(first: np.ndarray, last: np.ndarray, fraction: float) -> None:
    np.testing.assert_allclose(geometry.interpolate_transform(first, last, 0.0), first, atol=1e-6)
    np.testing.assert_allclose(geometry.interpolate_transform(first, last, 1.0), last, atol=1e-6)
    between = geometry.interpolate_transform(first, last, fraction)
    np.testing.assert_allclose(between[:3, :3] @ between[:3, :3].T, np.eye(3), atol=1e-9)


def test_interpolation_turns_at_a_constant_rate_the_short_way() -> None:
    first = geometry.transform_from(geometry.quaternion_from_yaw(math.radians(170)), (0, 0, 0))
    last = geometry.transform_from(geometry.quaternion_from_yaw(math.radians(-170)), (4, 0, 0))
    quarter = geometry.interpolate_transform(first, last, 0.25)
    assert math.degrees(geometry.yaw_of(quarter[:3, :3])) == pytest.approx(175)
    np.testing.assert_allclose(quarter[:3, 3], [1, 0, 0])


def test_projection_of_a_point_computed_by_hand() -> None:
    intrinsics = [[1000, 0, 800], [0, 1000, 450], [0, 0, 1]]
    pixels, depth = geometry.project([[2, -1, 10], [0, 0, -5]], intrinsics)
    np.testing.assert_allclose(pixels[0], [1000, 350])
    np.testing.assert_allclose(depth, [10, -5])


def test_box_corners_of_a_box_turned_left() -> None:
    corners = geometry.box_corners((10, 0, 1), (4, 2, 2), math.pi / 2)
    np.testing.assert_allclose(corners[0], [9, 2, 0], atol=1e-12)  # front-left of a box that faces left
    np.testing.assert_allclose(corners[4:, 2], 2)
    np.testing.assert_allclose(corners.mean(axis=0), [10, 0, 1], atol=1e-12)


GRID = geometry.BevGrid((-50, 50, 0.5), (-40, 40, 0.25))


def test_rows_run_along_x_from_rear_to_front_and_columns_along_y_from_right_to_left() -> None:
    assert GRID.shape == (200, 320)
    np.testing.assert_allclose(GRID.metric_to_cell([-50, -40]), [0, 0])
    np.testing.assert_allclose(GRID.metric_to_cell([49.9, 0.1]), [199.8, 160.4])
    x, y = GRID.cell_centers()
    assert (x[0], x[-1], y[0], y[-1]) == (-49.75, 49.75, -39.875, 39.875)


@given(st.tuples(metres, metres))
def test_cells_and_metres_undo_each_other(point: tuple[float, float]) -> None:
    np.testing.assert_allclose(GRID.cell_to_metric(GRID.metric_to_cell(point)), point, atol=1e-9)


@pytest.mark.parametrize("bound", [(0, 10, 3), (0, 10, 0), (10, 0, 1), (0, 10, -1)])
def test_a_step_that_does_not_divide_the_range_is_refused(bound: tuple[float, float, float]) -> None:
    with pytest.raises(ValueError, match=r"x_bound: expected \(min, max, step\)"):
        geometry.BevGrid(bound, (-1, 1, 1))


@pytest.mark.parametrize("quaternion", [(0, 0, 0, 0), (math.nan, 0, 0, 1)])
def test_a_quaternion_without_length_is_refused(quaternion: tuple[float, float, float, float]) -> None:
    with pytest.raises(ValueError, match="expected four numbers"):
        geometry.rotation_from_quaternion(quaternion)
