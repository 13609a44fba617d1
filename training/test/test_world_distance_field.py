"""Distances on the ground against shapely's, cell by cell."""

from __future__ import annotations

import numpy as np
import shapely
from tinybev_training.world.distance_field import CELL_M, STEPS_PER_M, distance_to_boxes, signed_distance
from tinybev_training.world.paint import _pieces

LOW = np.array([-3.0, -2.0])
SHAPE = (90, 120)
KNOWN_M = 0.3
"""Distances are kept up to a little more."""


def cells() -> np.ndarray:
    """The middles of all cells, as points."""
    rows, columns = np.indices(SHAPE)
    return shapely.points(LOW[0] + columns * CELL_M, LOW[1] + rows * CELL_M)


def test_a_cell_has_its_distance_to_the_edge_and_the_sign_of_its_side() -> None:
    outline = shapely.affinity.rotate(shapely.box(-1.0, -1.0, 5.03, 4.02), 17).difference(
        shapely.Point(2.01, 2.0).buffer(1.3)
    )
    beside = shapely.affinity.rotate(shapely.box(5.5, 4.0, 8.0, 6.0), -33)
    table = signed_distance([outline, beside], LOW, SHAPE)
    union = outline.union(beside)
    side = np.where(shapely.contains(union, cells()), 1, -1)
    exact = side * shapely.distance(union.boundary, cells())
    near = np.abs(exact) < KNOWN_M
    assert near.sum() > 1000
    np.testing.assert_allclose((table[near].astype(int) - 128) / STEPS_PER_M, exact[near], atol=0.6 / STEPS_PER_M)
    assert (table[exact > 0.4] == 255).all()
    assert (table[exact < -0.4] <= 128 - KNOWN_M * STEPS_PER_M).all()


def test_a_long_box_has_no_seam_where_it_is_cut() -> None:
    boxes = np.array([[2.0, 2.0, 0.4, 3.9, 0.25], [1.0, 4.0, -1.1, 0.3, 0.2]])
    field = distance_to_boxes(boxes, LOW, SHAPE)
    exact = np.full(SHAPE, np.inf)
    for x, y, yaw, half_length, half_width in boxes:
        box = shapely.box(-half_length, -half_width, half_length, half_width)
        box = shapely.affinity.translate(shapely.affinity.rotate(box, yaw, origin=(0, 0), use_radians=True), x, y)
        side = np.where(shapely.contains(box, cells()), -1, 1)
        exact = np.minimum(exact, side * shapely.distance(box.boundary, cells()))
    near = exact < KNOWN_M
    assert (exact < -0.15).sum() > 50
    np.testing.assert_allclose(field[near], exact[near], atol=1e-4)


def test_the_pieces_of_a_line_that_bends_leave_no_seam() -> None:
    half = 0.075
    line = np.array([[0.0, 0.0], [2.0, 0.1], [4.0, 0.35], [6.0, 0.8]])
    field = distance_to_boxes(np.array(list(_pieces(line, half))), LOW, SHAPE)
    inner = shapely.LineString(line).buffer(half / 2, cap_style="flat")
    inside = shapely.contains(inner, cells())
    assert inside.sum() > 30
    ends = shapely.MultiPoint([line[0], line[-1]]).buffer(half)
    deep = inside & ~shapely.contains(ends, cells())
    assert (field[deep] <= -half / 2 + 1e-3).all()
    assert field[shapely.distance(shapely.LineString(line), cells()) > 2 * half].min() > 0
