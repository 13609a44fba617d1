"""Occupied cells: against a loop over cells and boxes, and by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely.geometry import Point, Polygon
from tinybev_training.data.occupancy import UNIAD_GRID, CellRule, occupancy_targets
from tinybev_training.data.rasterize import polygon_cells
from tinybev_training.data.surroundings import Footprints

from tinybev.geometry import BevGrid
from tinybev.types import DETECTION_CLASSES

GRID = BevGrid((-8.0, 12.0, 0.5), (-6.0, 6.0, 0.4))


def rectangles(rows: list[tuple[float, float, float, float, float]], class_name: str = "car") -> Footprints:
    """Footprints of (x, y, length, width, yaw); ids from 1."""
    table = np.array(rows, dtype=np.float64).reshape(-1, 5)
    return Footprints(
        centers=table[:, :2],
        sizes=table[:, 2:4],
        yaws=table[:, 4],
        track_ids=np.arange(1, len(table) + 1),
        class_ids=np.full(len(table), DETECTION_CLASSES.index(class_name)),
    )


def naive_cells(grid: BevGrid, x: float, y: float, length: float, width: float, yaw: float) -> set[tuple[int, int]]:
    """Cells whose centre is inside the rectangle, one after the other, and the one the rectangle's centre is in."""
    cells = set()
    xs, ys = grid.cell_centers()
    for row, cell_x in enumerate(xs):
        for column, cell_y in enumerate(ys):
            ahead = math.cos(yaw) * (cell_x - x) + math.sin(yaw) * (cell_y - y)
            left = -math.sin(yaw) * (cell_x - x) + math.cos(yaw) * (cell_y - y)
            if abs(ahead) < length / 2 and abs(left) < width / 2:
                cells.add((row, column))
    row, column = (
        math.floor((x - grid.x_bound[0]) / grid.x_bound[2]),
        math.floor((y - grid.y_bound[0]) / grid.y_bound[2]),
    )
    if 0 <= row < grid.shape[0] and 0 <= column < grid.shape[1]:
        cells.add((row, column))
    return cells


positions = st.floats(-14, 18, allow_nan=False)


@settings(max_examples=150)
@given(positions, positions, st.floats(0.05, 14), st.floats(0.05, 6), st.floats(-4, 4))
def test_cells_are_those_of_a_loop_over_all_cells(x: float, y: float, length: float, width: float, yaw: float) -> None:
    instances = occupancy_targets([rectangles([(x, y, length, width, yaw)])], GRID).instances[0]
    found = {(int(row), int(column)) for row, column in np.argwhere(instances)}
    expected = naive_cells(GRID, x, y, length, width, yaw)
    # A centre that lies on an edge to the last digit may fall to either side.
    for row, column in found ^ expected:
        center = GRID.cell_to_metric(np.array([row + 0.5, column + 0.5]))
        outline = Polygon(rectangles([(x, y, length, width, yaw)]).corners[0]).exterior
        assert outline.distance(Point(center)) < 1e-6


@settings(max_examples=60)
@given(st.lists(st.tuples(positions, positions), min_size=3, max_size=9))
def test_any_outline_is_filled_by_the_even_odd_rule(corners: list[tuple[float, float]]) -> None:
    ring = np.array(corners)
    filled = np.zeros(GRID.shape, dtype=bool)
    filled[polygon_cells(GRID, [ring])] = True
    xs, ys = GRID.cell_centers()
    for row in range(0, GRID.shape[0], 3):
        for column in range(0, GRID.shape[1], 3):
            inside = False
            for (x0, y0), (x1, y1) in zip(ring, np.roll(ring, -1, axis=0), strict=True):
                if (x0 < xs[row]) != (x1 < xs[row]):
                    inside ^= bool(y0 + (xs[row] - x0) / (x1 - x0) * (y1 - y0) < ys[column])
            if filled[row, column] != inside:
                edges = np.stack([ring, np.roll(ring, -1, axis=0)], axis=1)
                center = Point(xs[row], ys[column])
                assert min(Polygon([a, b, a]).distance(center) for a, b in edges) < 1e-6


def test_a_car_on_uniads_grid_takes_known_cells() -> None:
    """4 x 2 m at the origin along x: 8 rows of 0.5 m before and behind, 4 columns."""
    targets = occupancy_targets([rectangles([(0.0, 0.0, 4.0, 2.0, 0.0)])], UNIAD_GRID)
    rows, columns = np.nonzero(targets.instances[0])
    assert (rows.min(), rows.max(), columns.min(), columns.max(), len(rows)) == (96, 103, 98, 101, 32)


def test_a_driving_car_moves_by_its_speed() -> None:
    steps = [rectangles([(5.0 * 0.5 * t, 0.0, 4.0, 2.0, 0.0)]) for t in range(5)]  # 5 m/s: 5 cells of 0.5 m a step
    instances = occupancy_targets(steps, UNIAD_GRID).instances
    for step in range(1, 5):
        np.testing.assert_array_equal(instances[step], np.roll(instances[0], 5 * step, axis=0))


def test_a_bicycle_smaller_than_a_cell_is_seen() -> None:
    coarse = BevGrid((-10.0, 10.0, 2.0), (-10.0, 10.0, 2.0))
    targets = occupancy_targets([rectangles([(0.3, 0.3, 0.6, 0.4, 0.0)], "bicycle")], coarse)
    assert np.argwhere(targets.instances[0]).tolist() == [[5, 5]]


@pytest.mark.parametrize(("class_name", "occupies"), [("pedestrian", False), ("barrier", False), ("trailer", True)])
def test_only_vehicles_occupy(class_name: str, occupies: bool) -> None:
    targets = occupancy_targets([rectangles([(0.0, 0.0, 4.0, 2.0, 0.0)], class_name)], GRID)
    assert targets.instances.any() == occupies


def test_steps_that_are_not_annotated_are_masked_and_ids_are_kept() -> None:
    cars = rectangles([(0.0, 0.0, 4.0, 2.0, 0.0), (6.0, 0.0, 4.0, 2.0, 0.0)])
    targets = occupancy_targets([cars, None], GRID)
    assert targets.valid.tolist() == [True, False]
    assert set(np.unique(targets.instances[0])) == {0, 1, 2}
    assert not targets.instances[1].any()


def test_uniads_rule_takes_one_more_row_ahead_and_one_more_column_to_the_right() -> None:
    """Its corners are rounded to cell numbers and both ends filled: by hand, cells 96 to 104 and, from the right, 98 to
    102, which is 97 to 101 from the left of base_link's columns."""
    targets = occupancy_targets([rectangles([(0.0, 0.0, 4.0, 2.0, 0.0)])], UNIAD_GRID, CellRule.UNIAD)
    rows, columns = np.nonzero(targets.instances[0])
    assert (rows.min(), rows.max(), columns.min(), columns.max(), len(rows)) == (96, 104, 97, 101, 45)


@settings(max_examples=40)
@given(positions, positions, st.floats(-4, 4))
def test_uniads_rule_differs_from_centres_by_the_rim_only(x: float, y: float, yaw: float) -> None:
    car = [rectangles([(x, y, 4.5, 2.0, yaw)])]
    by_uniad = occupancy_targets(car, UNIAD_GRID, CellRule.UNIAD).instances[0] > 0
    outline = Polygon(car[0].corners[0])
    for row, column in np.argwhere(by_uniad):
        center = UNIAD_GRID.cell_to_metric(np.array([row + 0.5, column + 0.5]))
        assert outline.distance(Point(center)) < 0.5 * 1.5 * math.sqrt(2) + 1e-9
