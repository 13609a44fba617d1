"""Markers of results whose picture is known."""

from __future__ import annotations

import numpy as np
import pytest
from visualization_msgs.msg import Marker, MarkerArray

from tinybev.geometry import BevGrid
from tinybev.types import Detections, Goal, MapClass, MapSegment, MapSegments, Plan, Trajectories, WeightsInfo
from tinybev_ros.conversions import header_to_msg
from tinybev_ros.markers import (
    UNTRAINED_TEXT,
    detection_markers,
    map_markers,
    plan_markers,
    trajectory_markers,
)

HEADER = header_to_msg(123, "base_link")
TRAINED = WeightsInfo("tinybev", "nuScenes trainval", "0" * 64)
UNTRAINED = WeightsInfo("tinybev", "nothing (untrained, seed 0)", "0" * 64)


def boxes(class_ids: list[int]) -> Detections:
    count = len(class_ids)
    return Detections(
        centers=np.tile([10.0, 0.0, 1.0], (count, 1)),
        sizes=np.tile([4.0, 2.0, 1.5], (count, 1)),
        yaws=np.zeros(count),
        velocities=np.zeros((count, 2)),
        scores=np.full(count, 0.5),
        class_ids=np.array(class_ids, dtype=np.int64),
        attribute_ids=np.full(count, -1),
        track_ids=np.arange(count),
    )


def by_namespace(array: MarkerArray) -> dict[str, list[Marker]]:
    found: dict[str, list[Marker]] = {}
    for marker in array.markers:
        found.setdefault(marker.ns, []).append(marker)
    return found


def test_boxes_are_one_wireframe_marker_a_class_and_a_label_each() -> None:
    found = by_namespace(detection_markers(boxes([0, 8, 0]), HEADER, TRAINED))
    assert set(found) == {"", "boxes/car", "boxes/pedestrian", "labels"}
    cars = found["boxes/car"][0]
    assert (cars.type, len(cars.points)) == (Marker.LINE_LIST, 2 * 2 * 13)
    corners = {(point.x, point.y, point.z) for point in cars.points}
    for corner in ((12.0, 1.0, 0.25), (8.0, -1.0, 1.75)):
        assert corner in corners
    assert (cars.points[-1].x, cars.points[-1].y) == (12.0, 0.0)  # the stroke ends at the front
    assert [label.text for label in found["labels"]] == ["car 0.50", "pedestrian #1 0.50", "car #2 0.50"]


def test_every_array_deletes_the_one_before_and_lives_only_for_a_while() -> None:
    segments = MapSegments((), np.zeros((4, 2, 2)), BevGrid((0.0, 1.0, 0.5), (0.0, 1.0, 0.5)))
    for array in (detection_markers(boxes([]), HEADER, TRAINED), map_markers(segments, HEADER, TRAINED)):
        assert [marker.action for marker in array.markers] == [Marker.DELETEALL]
    drawn = detection_markers(boxes([0]), HEADER, TRAINED).markers[1:]
    lifetimes_s = {marker.lifetime.sec + marker.lifetime.nanosec / 1e9 for marker in drawn}
    assert lifetimes_s == {1.0}  # longer than the 0.6 s that keyframes are apart at most
    assert all(marker.header == HEADER for marker in drawn)


def test_untrained_weights_are_written_over_every_array() -> None:
    segments = MapSegments((), np.zeros((4, 2, 2)), BevGrid((0.0, 1.0, 0.5), (0.0, 1.0, 0.5)))
    plan = Plan(np.zeros((1, 2)), np.zeros(1), np.zeros(1), np.zeros((1, 2)), Goal(), 0.5)
    none = boxes([])
    futures = Trajectories(
        np.zeros((0, 1, 1, 2)), np.ones((0, 1, 1, 2)), np.zeros((0, 1)), none.track_ids, none.class_ids, 0.5
    )
    for build in (
        lambda weights: detection_markers(none, HEADER, weights),
        lambda weights: map_markers(segments, HEADER, weights),
        lambda weights: trajectory_markers(futures, none, HEADER, weights),
        lambda weights: plan_markers(plan, HEADER, weights),
    ):
        assert [marker.text for marker in by_namespace(build(UNTRAINED))["warning"]] == [UNTRAINED_TEXT]
        assert "warning" not in by_namespace(build(TRAINED))


def test_map_lines_close_where_the_segment_is_closed() -> None:
    points = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0]])
    segments = (MapSegment(MapClass.DIVIDER, points, 0.9), MapSegment(MapClass.CROSSING, points, 0.9, closed=True))
    source = MapSegments(segments, np.zeros((4, 2, 2)), BevGrid((0.0, 1.0, 0.5), (0.0, 1.0, 0.5)))
    found = by_namespace(map_markers(source, HEADER, TRAINED))
    assert len(found["map/divider"][0].points) == 3
    crossing = found["map/crossing"][0].points
    assert (len(crossing), crossing[-1]) == (4, crossing[0])


def test_trajectory_starts_at_its_agent_and_is_as_opaque_as_probable() -> None:
    agents = boxes([0])
    positions = np.array([[[[11.0, 0.0], [12.0, 0.0]], [[11.0, 1.0], [12.0, 2.0]]]])
    futures = Trajectories(
        positions, np.ones_like(positions), np.array([[0.75, 0.25]]), agents.track_ids, agents.class_ids, 0.5
    )
    lines = by_namespace(trajectory_markers(futures, agents, HEADER, TRAINED))["trajectories"]
    assert [line.color.a for line in lines] == [0.75, 0.25]
    assert [(p.x, p.y) for p in lines[1].points] == [(10.0, 0.0), (11.0, 1.0), (12.0, 2.0)]
    assert len({line.id for line in lines}) == 2


@pytest.mark.parametrize("moved", [False, True])
def test_plan_shows_the_networks_own_where_refinement_moved_it(moved: bool) -> None:
    raw = np.array([[1.0, 0.0], [2.0, 0.0]])
    plan = Plan(raw + moved, np.zeros(2), np.zeros(2), raw, Goal(point=(5.0, 1.0)), 0.5)
    found = by_namespace(plan_markers(plan, HEADER, TRAINED))
    assert ("plan/raw" in found) == moved
    start = found["plan"][0].points[0]
    assert (start.x, start.y) == (0.0, 0.0)
    assert (found["goal"][0].pose.position.x, found["goal"][0].pose.position.y) == (5.0, 1.0)
