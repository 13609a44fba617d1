"""The bird's-eye view: what is where."""

from __future__ import annotations

import numpy as np
import pytest
from drawn_scene import detections

from tinybev.draw.bev_view import RANGE_M, bev_pixels, draw_bev, occupancy_tint
from tinybev.draw.overlay import Overlay
from tinybev.draw.palette import DETECTION_COLORS, MAP_COLORS, OCCUPIED_LAST, OCCUPIED_NOW, PLAN, TRUTH, bgr
from tinybev.draw.shapes import Shapes
from tinybev.geometry import BevGrid
from tinybev.runtime.options import PipelineOptions
from tinybev.runtime.plan_refinement import refine_plan
from tinybev.types import Goal, MapClass, MapSegment, Occupancy, Plan

SIDE = 520  # 5 pixels a metre
GRID = BevGrid((-50.0, 50.0, 0.5), (-30.0, 30.0, 0.5))


def _bev(overlay: Overlay) -> np.ndarray:
    return draw_bev(overlay, Shapes.of_overlay(overlay), SIDE)


EMPTY = _bev(Overlay())


def _changed(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """x and y in base_link of the pixels that differ from the empty view."""
    rows, columns = np.nonzero((image != EMPTY).any(axis=2))
    return (259.5 - rows) / 5, (259.5 - columns) / 5


def _color_at(image: np.ndarray, x: float, y: float) -> np.ndarray:
    column, row = bev_pixels(np.array([x, y]), SIDE)
    return image[round(row), round(column)].astype(int)


def _occupancy(*cells: tuple[int, float, float], steps: int = 5) -> Occupancy:
    probability = np.zeros((steps, *GRID.shape))
    for step, x, y in cells:
        row, column = np.floor(GRID.metric_to_cell([x, y])).astype(int)
        probability[step, row, column] = 0.9
    return Occupancy(probability, np.zeros(probability.shape, dtype=int), GRID, 0.5)


def _plan(goal: tuple[float, float] | None) -> Plan:
    positions = np.array([[4.0, 0.0], [8.0, 1.0], [12.0, 3.0]])
    return Plan(positions, np.zeros(3), np.zeros(3), positions, Goal(point=goal), 0.5)


def test_forward_is_up_and_left_is_left() -> None:
    np.testing.assert_allclose(bev_pixels(np.array([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]]), SIDE)[0], [259.5, 259.5])
    np.testing.assert_allclose(bev_pixels(np.array([10.0, 0.0]), SIDE), [259.5, 209.5])
    np.testing.assert_allclose(bev_pixels(np.array([0.0, 10.0]), SIDE), [209.5, 259.5])
    np.testing.assert_allclose(bev_pixels(np.array([RANGE_M, RANGE_M]), SIDE), [-0.5, -0.5])


@pytest.mark.parametrize("truth", [False, True])
def test_a_box_ahead_to_the_left_is_in_the_upper_left_quadrant_and_nowhere_else(truth: bool) -> None:
    boxes = detections((20, 8, 1, 4, 2, 1.5, 0))
    image = _bev(Overlay(truth=boxes) if truth else Overlay(detections=boxes))
    x, y = _changed(image)
    assert (x.min(), x.max()) == pytest.approx((18, 22), abs=0.5)
    assert (y.min(), y.max()) == pytest.approx((7, 9), abs=0.5)
    color = bgr(TRUTH if truth else DETECTION_COLORS[0])
    assert np.abs(_color_at(image, 18.0, 8.0) - color).max() < 140


def test_a_heading_line_runs_from_the_middle_to_the_front() -> None:
    image = _bev(Overlay(detections=detections((20, 8, 1, 8, 4, 1.5, np.pi / 2))))
    assert np.abs(_color_at(image, 20, 10) - _color_at(EMPTY, 20, 10)).max() > 60
    assert (_color_at(image, 20, 6) == _color_at(EMPTY, 20, 6)).all()


def test_a_track_id_stands_beside_its_box() -> None:
    row = (20, 8, 1, 4, 2, 1.5, 0)
    plain, labelled = _bev(Overlay(detections=detections(row))), _bev(Overlay(detections=detections(row, track_id=12)))
    rows, columns = np.nonzero((plain != labelled).any(axis=2))
    assert np.hypot(rows.mean() - (259.5 - 100), columns.mean() - (259.5 - 40)) < 30


@pytest.mark.parametrize(("x", "y"), [(20.25, 8.25), (-33.75, -12.25)])
def test_an_occupied_cell_is_tinted_where_it_lies(x: float, y: float) -> None:
    changed_x, changed_y = _changed(_bev(Overlay(occupancy=_occupancy((0, x, y)))))
    assert len(changed_x)
    assert (changed_x.mean(), changed_y.mean()) == pytest.approx((x, y), abs=0.15)
    assert np.abs(changed_x - x).max() <= 0.4
    assert np.abs(changed_y - y).max() <= 0.4


def test_a_cell_has_the_shade_of_the_first_step_at_which_it_is_taken() -> None:
    color, opacity = occupancy_tint(_occupancy((0, 1, 1), (3, 1, 1), (4, 5, 5)), occupied_from=0.5)
    now, last = (tuple(np.floor(GRID.metric_to_cell(xy)).astype(int)) for xy in ([1, 1], [5, 5]))
    assert color[now].tolist() == list(bgr(OCCUPIED_NOW))
    assert color[last].tolist() == list(bgr(OCCUPIED_LAST))
    assert opacity[now] > opacity[last] > 0
    assert np.count_nonzero(opacity) == 2


@pytest.mark.parametrize("chosen", [{}, {"occupied_from": 0.2}], ids=["by default", "chosen"])
def test_what_a_plan_gives_way_to_is_shown(chosen: dict[str, float]) -> None:
    threshold = chosen.get("occupied_from", PipelineOptions().occupancy_threshold)
    for probability, expected in ((threshold + 0.01, True), (threshold - 0.01, False)):
        beside_the_plan = _occupancy((2, 8.25, 0.75))
        beside_the_plan.probability[beside_the_plan.probability > 0] = probability
        refined = refine_plan(_plan(None).positions, beside_the_plan, threshold)
        assert (refined != _plan(None).positions).any() == expected
        assert (_bev(Overlay(occupancy=beside_the_plan, **chosen)) != EMPTY).any() == expected


def test_free_cells_change_nothing() -> None:
    assert (_bev(Overlay(occupancy=_occupancy())) == EMPTY).all()


def test_an_outline_inside_another_is_a_hole_in_the_drivable_area() -> None:
    square = np.array([[1.0, 1], [1, -1], [-1, -1], [-1, 1]])
    outlines = tuple(MapSegment(MapClass.DRIVABLE, square * half + [25, 15], 1.0, True) for half in (10, 4))
    image = _bev(Overlay(segments=outlines))
    assert _color_at(image, 25 + 7, 15 + 7.5).tolist() == list(bgr(MAP_COLORS[MapClass.DRIVABLE]))
    assert (_color_at(image, 25.5, 15.5) == _color_at(EMPTY, 25.5, 15.5)).all()


def test_a_map_line_lies_where_it_is() -> None:
    line = MapSegment(MapClass.BOUNDARY, np.array([[5.0, 3.7], [35.0, 3.7]]), 1.0)
    x, y = _changed(_bev(Overlay(segments=(line,))))
    assert (x.min(), x.max()) == pytest.approx((5, 35), abs=0.6)
    assert (y.min(), y.max()) == pytest.approx((3.7, 3.7), abs=0.6)


def test_the_plan_marks_its_steps() -> None:
    image = _bev(Overlay(plan=_plan(goal=None)))
    for x, y in ((4.0, 0.0), (8.0, 1.0), (12.0, 3.0)):
        assert _color_at(image, x, y).tolist() == list(bgr(PLAN))


@pytest.mark.parametrize(
    ("goal", "shown"), [((30.0, -20.0), (30.0, -20.0)), ((200.0, 40.0), (49.5, 9.9)), ((-10.0, -99.0), (-5.0, -49.5))]
)
def test_a_goal_beyond_the_view_is_shown_at_the_edge_in_its_direction(
    goal: tuple[float, float], shown: tuple[float, float]
) -> None:
    image = _bev(Overlay(plan=_plan(goal)))
    assert _color_at(image, *shown).tolist() == list(bgr(PLAN))


def test_numbers_far_beyond_the_view_are_drawn_as_nothing() -> None:
    wild = detections((1e7, 1e7, 0, 4, 2, 1, 0), track_id=5)
    line = MapSegment(MapClass.DIVIDER, np.array([[1e6, 1e7], [2e6, 1e7]]), 1.0)
    assert (_bev(Overlay(detections=wild, segments=(line,))) == EMPTY).all()
