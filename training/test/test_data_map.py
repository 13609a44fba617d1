"""Map masks of a small map whose cells are known."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from scene_builder import pose, straight
from shapely.geometry import LineString, Point, Polygon
from synthetic_map import LOCATION, write_map
from tinybev_training.data.city_map import NO_MAP, open_city_map
from tinybev_training.data.map_masks import LINE_CELLS, map_targets
from tinybev_training.data.sample import MapTargets

from tinybev.errors import UserError
from tinybev.geometry import BevGrid, invert, transform_points
from tinybev.types import MapClass

GRID = BevGrid((-20.0, 20.0, 0.5), (-20.0, 20.0, 0.5))
RADIUS_M = 33.0
ROAD = [(-100.0, -6.0), (100.0, -6.0), (100.0, 6.0), (-100.0, 6.0)]
EGO = straight(0.0, x=3.3, y=-1.7, yaw=0.4)


def masks(root: Path, grid: BevGrid = GRID) -> MapTargets:
    city = open_city_map(root, LOCATION)
    assert city is not None
    return map_targets(city.around(pose(EGO, 0.0), RADIUS_M), grid)


def cell_centers_in_map(grid: BevGrid) -> np.ndarray:
    """(X, Y, 2)."""
    x, y = np.meshgrid(*grid.cell_centers(), indexing="ij")
    points = np.stack([x.ravel(), y.ravel(), np.zeros(x.size)], axis=1)
    return transform_points(pose(EGO, 0.0), points)[:, :2].reshape(*grid.shape, 2)


def distances(geometry: LineString, grid: BevGrid = GRID) -> np.ndarray:
    """(X, Y) distance of each cell's centre from a geometry of the map."""
    centers = cell_centers_in_map(grid)
    return np.array([[geometry.distance(Point(center)) for center in row] for row in centers])


def test_drivable_area_with_a_hole_covers_the_cells_whose_centre_is_inside(tmp_path: Path) -> None:
    hole = [(0.0, 1.0), (9.0, 2.0), (5.0, 5.0)]
    drawn = masks(write_map(tmp_path, drivable=[[ROAD, hole]])).masks[MapClass.DRIVABLE]
    polygon = Polygon(ROAD, [hole])
    expected = [[polygon.contains(Point(center)) for center in row] for row in cell_centers_in_map(GRID)]
    np.testing.assert_array_equal(drawn, expected)
    assert drawn.any()
    assert not drawn.all()


def test_polygons_that_reach_far_beyond_the_grid_are_cut_without_a_trace(tmp_path: Path) -> None:
    whole_world = [(-900.0, -900.0), (900.0, -900.0), (900.0, 900.0), (-900.0, 900.0)]
    targets = masks(write_map(tmp_path, drivable=[[whole_world]], road_segments=[whole_world]))
    assert targets.masks[MapClass.DRIVABLE].all()
    assert not targets.masks[MapClass.BOUNDARY].any()


def test_a_divider_is_as_wide_as_uniads(tmp_path: Path) -> None:
    line = [(-50.0, -30.0), (60.0, 25.0)]
    drawn = masks(write_map(tmp_path, lane_dividers=[line])).masks[MapClass.DIVIDER]
    distance = distances(LineString(line)) / 0.5
    assert drawn[distance < LINE_CELLS / 2 - 0.5].all()
    assert not drawn[distance > LINE_CELLS / 2 + 1.0].any()
    assert (
        0.8 * LINE_CELLS
        < drawn.sum() * 0.25 / (0.5 * LineString(line).intersection(grid_in_map()).length)
        < 2 * LINE_CELLS
    )


def grid_in_map() -> Polygon:
    corners = np.array([[-20.0, -20, 0], [20, -20, 0], [20, 20, 0], [-20, 20, 0]])
    return Polygon(transform_points(pose(EGO, 0.0), corners)[:, :2])


def test_dividers_are_those_of_roads_and_lanes(tmp_path: Path) -> None:
    near, far = [(-50.0, 2.0), (50.0, 2.0)], [(-50.0, -9.0), (50.0, -9.0)]
    drawn = masks(write_map(tmp_path, road_dividers=[near], lane_dividers=[far])).masks[MapClass.DIVIDER]
    for line in (near, far):
        assert drawn[distances(LineString(line)) < 0.2].all()


def test_a_crossing_is_its_two_longest_edges(tmp_path: Path) -> None:
    crossing = [(0.0, -6.0), (4.0, -6.0), (4.0, 6.0), (0.0, 6.0)]
    targets = masks(write_map(tmp_path, crossings=[crossing]))
    drawn = targets.masks[MapClass.CROSSING]
    sides = [LineString([(0, -5), (0, 5)]), LineString([(4, -5), (4, 5)])]
    for side in sides:
        assert drawn[distances(side) < 0.2].all()
    assert not drawn[distances(LineString([(1.5, 6), (2.5, 6)])) < 0.4].any()  # not the short edges
    assert not drawn[distances(LineString([(2, -4), (2, 4)])) < 0.4].any()  # nor the inside


def test_the_boundary_is_the_outline_of_roads_and_lanes_together(tmp_path: Path) -> None:
    lane = [(-10.0, 0.0), (10.0, 0.0), (10.0, 10.0), (-10.0, 10.0)]  # overlaps the road and stands out of it
    targets = masks(write_map(tmp_path, road_segments=[ROAD], lanes=[lane], drivable=[[ROAD]]))
    drawn = targets.masks[MapClass.BOUNDARY]
    union = Polygon(ROAD).union(Polygon(lane))
    assert drawn[distances(union.exterior) < 0.2].all()
    assert not drawn[distances(LineString([(-8, 6), (8, 6)])) < 0.4].any()  # inside the union
    assert not drawn[distances(union.exterior) > 1.5].any()


def test_without_road_segments_the_boundary_is_the_drivable_areas(tmp_path: Path) -> None:
    lane = [(-10.0, -3.0), (10.0, -3.0), (10.0, 3.0), (-10.0, 3.0)]
    drawn = masks(write_map(tmp_path, lanes=[lane], drivable=[[ROAD]])).masks[MapClass.BOUNDARY]
    assert drawn[distances(Polygon(ROAD).exterior) < 0.2].all()
    assert not drawn[distances(Polygon(lane).exterior) < 0.4].any()


def test_dividers_give_way_to_boundaries(tmp_path: Path) -> None:
    """UniAD clears a class within a band around the lines of later classes: here where they cross."""
    across = [(5.0, -20.0), (5.0, 20.0)]
    targets = masks(write_map(tmp_path, drivable=[[ROAD]], road_segments=[ROAD], lane_dividers=[across]))
    near_boundary = distances(Polygon(ROAD).exterior) < 1.0
    on_divider = distances(LineString(across)) < 0.2
    assert not targets.masks[MapClass.DIVIDER][near_boundary].any()
    assert targets.masks[MapClass.DIVIDER][on_divider & (distances(Polygon(ROAD).exterior) > 2.5)].all()
    assert targets.masks[MapClass.BOUNDARY][distances(Polygon(ROAD).exterior) < 0.2].all()


def test_classes_the_map_lacks_are_not_valid_and_empty_places_are(tmp_path: Path) -> None:
    far = [(500.0, 500.0), (510.0, 500.0)]
    targets = masks(write_map(tmp_path, lane_dividers=[far], drivable=[[ROAD]]))
    assert targets.valid.tolist() == [True, False, True, True]  # a divider far away: known, none here
    assert not targets.masks[MapClass.DIVIDER].any()
    assert not map_targets(NO_MAP, GRID).valid.any()


def test_the_grid_may_be_any(tmp_path: Path) -> None:
    root = write_map(tmp_path, drivable=[[ROAD]])
    fine = masks(root, BevGrid((0.0, 10.0, 0.1), (-5.0, 5.0, 0.1))).masks[MapClass.DRIVABLE]
    coarse = masks(root, BevGrid((0.0, 10.0, 1.0), (-5.0, 5.0, 1.0))).masks[MapClass.DRIVABLE]
    np.testing.assert_array_equal(fine[5::10, 5::10].shape, coarse.shape)
    assert math.isclose(fine.mean(), coarse.mean(), abs_tol=0.05)


def test_map_is_placed_by_the_pose(tmp_path: Path) -> None:
    """A landmark 7 m ahead and 3 m to the left of the ego is there, whichever way the ego looks."""
    landmark = transform_points(pose(EGO, 0.0), np.array([[7.0, 3.0, 0.0]]))[0, :2]
    square = [(landmark[0] + dx, landmark[1] + dy) for dx, dy in ((-1, -1), (1, -1), (1, 1), (-1, 1))]
    drawn = masks(write_map(tmp_path, drivable=[[square]])).masks[MapClass.DRIVABLE]
    middle = GRID.cell_to_metric(np.argwhere(drawn) + 0.5).mean(axis=0)
    np.testing.assert_allclose(middle, [7.0, 3.0], atol=0.15)
    assert invert(pose(EGO, 0.0)) @ np.array([*landmark, 0, 1]) == pytest.approx([7, 3, 0, 1])


def test_a_damaged_expansion_is_refused_in_one_sentence_and_a_missing_one_is_no_map(tmp_path: Path) -> None:
    assert open_city_map(tmp_path, LOCATION) is None
    assert open_city_map(tmp_path, "atlantis") is None
    write_map(tmp_path)
    file = tmp_path / "maps" / "expansion" / f"{LOCATION}.json"
    file.write_text(file.read_text()[:200])
    with pytest.raises(UserError, match="cannot be read"):
        open_city_map(tmp_path, LOCATION)
    file.write_text('{"version": "1.0", "canvas_edge": [1, 1]}')
    with pytest.raises(UserError, match="cannot be read"):
        open_city_map(tmp_path, LOCATION)
