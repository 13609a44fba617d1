"""What is drawn into one camera, at pixels computed by hand."""

from __future__ import annotations

import numpy as np
import pytest
from drawn_scene import PROJECTION, SIZE, detections, pixel

from tinybev.draw.camera_view import draw_camera
from tinybev.draw.overlay import Overlay
from tinybev.draw.palette import DETECTION_COLORS, MAP_COLORS, PLAN, TRUTH, bgr
from tinybev.draw.shapes import Shapes
from tinybev.types import Goal, MapClass, MapSegment, Plan, Trajectories

GREY = 90


def _drawn(overlay: Overlay) -> np.ndarray:
    image = np.full((*SIZE, 3), GREY, dtype=np.uint8)
    draw_camera(image, PROJECTION, Shapes.of_overlay(overlay))
    return image


def _changed(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Columns and rows of the pixels that clearly changed."""
    rows, columns = np.nonzero(np.abs(image.astype(int) - GREY).max(axis=2) > 60)
    return columns, rows


def _at(image: np.ndarray, u: float, v: float) -> list[int]:
    return image[round(v), round(u)].tolist()


def _plan(positions: np.ndarray) -> Plan:
    count = len(positions)
    return Plan(positions, np.zeros(count), np.zeros(count), positions, Goal(), 0.5)


def _modes(*paths: list[tuple[float, float]], probabilities: list[float]) -> Trajectories:
    positions = np.array(paths)[None]
    return Trajectories(
        positions, np.ones_like(positions), np.array([probabilities]), np.array([1]), np.array([0]), 0.5
    )


def test_a_box_covers_the_pixels_computed_by_hand() -> None:
    # Its near face is 10 m away, 2 m wide and 2 m high around the optical axis: 100 * 1 / 10 = 10 pixels to each side.
    columns, rows = _changed(_drawn(Overlay(detections=detections((12, 0, 1.5, 4, 2, 2, 0)))))
    assert (columns.min(), columns.max()) == pytest.approx((119.5 - 10, 119.5 + 10), abs=2)
    assert (rows.min(), rows.max()) == pytest.approx((79.5 - 10, 79.5 + 10), abs=2)


def test_a_turned_box_is_long_across() -> None:
    columns, _ = _changed(_drawn(Overlay(detections=detections((10, 0, 1.5, 4, 0.2, 1, np.pi / 2)))))
    assert (columns.min(), columns.max()) == pytest.approx((119.5 - 200 / 9.9, 119.5 + 200 / 9.9), abs=3)


@pytest.mark.parametrize(
    "overlay",
    [
        Overlay(detections=detections((-12, 0, 1.5, 4, 2, 2, 0), track_id=3)),
        Overlay(truth=detections((-12, 0, 1.5, 4, 2, 2, 0))),
        Overlay(segments=(MapSegment(MapClass.BOUNDARY, np.array([[-20.0, 3.0], [-2.0, 3.0]]), 1.0),)),
        Overlay(trajectories=_modes([(-5, 0), (-9, 0)], probabilities=[1.0])),
        Overlay(detections=detections(), truth=detections()),
        Overlay(),
    ],
    ids=["box", "truth", "map", "trajectory", "no boxes", "nothing"],
)
def test_what_is_behind_the_camera_leaves_the_image_as_it_was(overlay: Overlay) -> None:
    assert (_drawn(overlay) == GREY).all()


def test_a_box_around_the_camera_draws_only_what_is_before_it() -> None:
    image = _drawn(Overlay(detections=detections((0, 0, 1.5, 20, 4, 4, 0))))
    columns, rows = _changed(image)
    # The face ahead, at 10 m, is 40 pixels wide; its edges towards the camera leave the image along its diagonals.
    assert (rows.min(), rows.max()) == (0, SIZE[0] - 1)
    assert (columns.min(), columns.max()) == pytest.approx((119.5 - 79.5, 119.5 + 79.5), abs=4)
    inner = (np.abs(columns - 119.5) < 17) & (np.abs(rows - 79.5) < 17)
    assert not inner.any()


@pytest.mark.parametrize("near_first", [True, False])
def test_the_nearer_box_is_drawn_over_the_farther_one(near_first: bool) -> None:
    # Faces at 10 and 20 m, the farther twice as large: their outlines fall on the same pixels.
    near, far = (10.5, 0, 1.5, 1, 2, 2, 0), (20.5, 0, 1.5, 1, 4, 4, 0)
    boxes = detections(*((near, far) if near_first else (far, near)))
    boxes.class_ids[:] = (0, 8) if near_first else (8, 0)
    image = _drawn(Overlay(detections=boxes))
    middle_of_top = _at(image, *pixel(10, 0, 2.5))
    assert np.abs(np.array(middle_of_top) - bgr(DETECTION_COLORS[0])).max() < 60


def test_a_map_line_is_on_the_ground_below_the_horizon() -> None:
    line = MapSegment(MapClass.BOUNDARY, np.array([[-10.0, 2.0], [40.0, 2.0]]), 1.0)
    image = _drawn(Overlay(segments=(line,)))
    columns, rows = _changed(image)
    assert rows.min() == pytest.approx(pixel(40, 2, 0)[1], abs=1.5)
    for x in (3.0, 6.0, 12.0):
        color = np.array(_at(image, *pixel(x, 2, 0)))
        assert np.abs(color - bgr(MAP_COLORS[MapClass.BOUNDARY])).max() < 80
    assert rows.max() == SIZE[0] - 1  # it runs on under the camera
    assert columns.max() < 119.5  # y = 2 is to the left


def test_a_closed_segment_returns_to_its_first_point() -> None:
    points = np.array([[5.0, 1.0], [5.0, -1.0], [10.0, -1.0], [10.0, 1.0]])
    last_edge = pixel(7, 1, 0)
    for closed in (False, True):
        image = _drawn(Overlay(segments=(MapSegment(MapClass.CROSSING, points, 1.0, closed=closed),)))
        assert (_at(image, *last_edge) != [GREY] * 3) == closed


def test_near_lines_are_thicker() -> None:
    line = MapSegment(MapClass.DIVIDER, np.array([[2.0, 0.0], [60.0, 0.0]]), 1.0)
    columns, rows = _changed(_drawn(Overlay(segments=(line,))))
    near = columns[rows == round(pixel(3, 0, 0)[1])]
    far = columns[rows == round(pixel(30, 0, 0)[1])]
    assert len(near) > len(far) >= 1


def test_truth_has_its_own_colour_and_is_no_thicker_than_detections() -> None:
    row = (12, 0, 1.5, 4, 2, 2, 0)
    truth, detected = _drawn(Overlay(truth=detections(row))), _drawn(Overlay(detections=detections(row)))
    top = pixel(10, 0.5, 2.5)
    strongest = truth[round(top[1]) - 1 : round(top[1]) + 2, round(top[0])].astype(int)
    assert np.abs(strongest - bgr(TRUTH)).max(axis=1).min() < 80
    assert len(_changed(truth)[0]) < len(_changed(detected)[0])


def test_the_likelier_mode_is_more_opaque() -> None:
    image = _drawn(
        Overlay(trajectories=_modes([(6, 2), (16, 2)], [(6, -2), (16, -2)], probabilities=[0.8, 0.2])),
    ).astype(int)
    color = np.array(bgr(DETECTION_COLORS[0]))

    def contrast(y: float) -> int:
        u, v = pixel(8, y, 0)
        return int(np.abs(image[round(v), round(u) - 1 : round(u) + 2] - GREY).max())

    assert np.abs(color - GREY).max() >= contrast(2) > 2 * contrast(-2) > 20


def test_a_mode_that_is_all_but_impossible_is_not_drawn() -> None:
    both, one = (
        _drawn(Overlay(trajectories=_modes(*paths, probabilities=probabilities)))
        for paths, probabilities in (
            ([[(6, 2), (16, 2)], [(6, -2), (16, -2)]], [0.95, 0.05]),
            ([[(6, 2), (16, 2)]], [0.95]),
        )
    )
    assert np.array_equal(both, one)


def test_a_trajectory_starts_at_its_box() -> None:
    boxes = detections((8, 0, 0.1, 0.2, 0.2, 0.2, 0), track_id=1)
    image = _drawn(Overlay(detections=boxes, trajectories=_modes([(16, 0)], probabilities=[1.0])))
    assert _at(image, *pixel(12, 0, 0)) != [GREY] * 3


def test_the_plan_is_a_ribbon_as_wide_as_a_car() -> None:
    image = _drawn(Overlay(plan=_plan(np.array([[5.0, 0.0], [10.0, 0.0], [15.0, 0.0]]))))
    mixed = 0.35 * np.array(bgr(PLAN)) + 0.65 * GREY
    for y, expected in ((0.5, True), (-0.5, True), (1.1, False), (-1.1, False)):
        close = np.abs(np.array(_at(image, *pixel(6, y, 0))) - mixed).max() < 4
        assert close == expected


def test_a_plan_that_stands_still_is_drawn_without_a_warning() -> None:
    assert (_drawn(Overlay(plan=_plan(np.zeros((6, 2))))) == GREY).all()


def test_a_track_id_is_written_above_its_box() -> None:
    row = (6, 0, 1.5, 2, 2, 2, 0)
    plain = _drawn(Overlay(detections=detections(row)))
    labelled = _drawn(Overlay(detections=detections(row, track_id=7)))
    rows, columns = np.nonzero((plain != labelled).any(axis=2))
    assert rows.max() <= pixel(5, 0, 2.5)[1]
    assert columns.mean() == pytest.approx(119.5, abs=4)


def test_a_box_beside_the_image_is_not_labelled_in_it() -> None:
    # Its right side is at pixel -8: lines are cut beyond the image's edge, a label would be moved into it.
    row = (5, 7.5, 1.5, 0.2, 2, 2, 0)
    assert pixel(5.1, 6.5, 1.5)[0] < -4
    assert (_drawn(Overlay(detections=detections(row, track_id=7))) == GREY).all()
