"""Ids stay with their objects: through motion, ego motion, crossings, gaps; and are never given twice."""

from __future__ import annotations

import numpy as np
import pytest
from rigs import yaw_transform

from tinybev.geometry import invert
from tinybev.runtime.tracker import MAX_AGE_S, Tracker
from tinybev.types import DETECTION_CLASSES, Detections

CAR, PEDESTRIAN, CONE = (DETECTION_CLASSES.index(name) for name in ("car", "pedestrian", "traffic_cone"))
STEP_NS = 500_000_000


def boxes(
    xy: list[tuple[float, float]], velocities: list[tuple[float, float]] | None = None, classes: list[int] | None = None
) -> Detections:
    """Boxes at positions, best first."""
    count = len(xy)
    return Detections(
        centers=np.column_stack([np.array(xy).reshape(-1, 2), np.ones(count)]),
        sizes=np.ones((count, 3)),
        yaws=np.zeros(count),
        velocities=np.array(velocities or [(0.0, 0.0)] * count, dtype=float).reshape(-1, 2),
        scores=np.linspace(0.9, 0.5, count),
        class_ids=np.array(classes or [CAR] * count, dtype=np.int64),
        attribute_ids=np.full(count, -1),
        track_ids=np.zeros(count, dtype=np.int64),
    )


def ids(tracker: Tracker, frame: int, detections: Detections, map_T_base: np.ndarray | None = None) -> list[int]:
    return tracker.update(detections, frame * STEP_NS, map_T_base).track_ids.tolist()


def test_ids_start_at_one_and_follow_the_score() -> None:
    assert ids(Tracker(), 0, boxes([(5, 0), (9, 3), (-4, 1)])) == [1, 2, 3]


def test_a_fast_car_is_followed_by_its_velocity() -> None:
    tracker = Tracker()
    for frame in range(5):  # 10 m a frame, more than the gate
        assert ids(tracker, frame, boxes([(10.0 * frame, 0.0)], [(20.0, 0.0)])) == [1]


def test_without_its_velocity_it_would_be_lost() -> None:
    tracker = Tracker()
    assert ids(tracker, 0, boxes([(0.0, 0.0)])) == [1]
    assert ids(tracker, 1, boxes([(10.0, 0.0)])) == [2]


def test_two_cars_that_cross_keep_their_ids() -> None:
    tracker = Tracker()
    for frame in range(7):
        x = -6.0 + 2.0 * frame
        detections = boxes([(x, 0.5), (-x, -0.5)], [(4.0, 0.0), (-4.0, 0.0)])
        assert ids(tracker, frame, detections) == [1, 2]


def test_what_stands_keeps_its_id_while_the_vehicle_drives_and_turns() -> None:
    tracker = Tracker()
    cones_map = np.array([[20.0, 3.0, 0.0, 1.0], [22.0, 5.0, 0.0, 1.0]])
    for frame in range(6):
        map_T_base = yaw_transform(0.15 * frame, x=5.0 * frame, y=0.3 * frame)
        seen = (invert(map_T_base) @ cones_map.T).T
        found = boxes([tuple(row[:2]) for row in seen], classes=[CONE, CONE])
        assert ids(tracker, frame, found, map_T_base) == [1, 2]


def test_a_gap_in_the_ego_pose_leaves_the_ids_with_their_objects() -> None:
    tracker, far_from_the_maps_origin = Tracker(), yaw_transform(0.3, x=10.0)
    cars = boxes([(5.0, 0.0), (15.0, 0.0)])
    for frame, map_T_base in enumerate([None, far_from_the_maps_origin, None, None, far_from_the_maps_origin]):
        tracked = ids(tracker, frame, cars, map_T_base)
        if frame == 1:  # the first pose may move everything
            expected = tracked
        elif frame > 1:
            assert tracked == expected


def test_a_velocity_over_ground_is_turned_with_the_vehicle() -> None:
    tracker = Tracker()
    heading_left = yaw_transform(np.pi / 2)  # base_link's x is the map's y
    assert ids(tracker, 0, boxes([(0.0, 0.0)], [(20.0, 0.0)]), heading_left) == [1]
    assert ids(tracker, 1, boxes([(10.0, 0.0)], [(20.0, 0.0)]), heading_left) == [1]


def test_classes_do_not_mix() -> None:
    tracker = Tracker()
    assert ids(tracker, 0, boxes([(5, 0)], classes=[CAR])) == [1]
    assert ids(tracker, 1, boxes([(5, 0)], classes=[PEDESTRIAN])) == [2]


def test_the_most_confident_box_chooses_first_and_one_track_is_one_box() -> None:
    tracker = Tracker()
    assert ids(tracker, 0, boxes([(0.0, 0.0)])) == [1]
    assert ids(tracker, 1, boxes([(1.0, 0.0), (0.0, 0.0)])) == [1, 2]


def test_a_short_gap_is_bridged_and_a_long_one_is_not() -> None:
    tracker = Tracker()
    ids(tracker, 0, boxes([(0.0, 0.0)]))
    for frame in (1, 2):
        assert ids(tracker, frame, boxes([])) == []
    assert ids(tracker, 3, boxes([(0.0, 0.0)])) == [1]
    gone = int(MAX_AGE_S * 1e9 / STEP_NS) + 2
    for frame in range(4, 4 + gone):
        ids(tracker, frame, boxes([]))
    assert ids(tracker, 4 + gone, boxes([(0.0, 0.0)])) == [2]


def test_a_long_gap_without_frames_is_not_bridged_either() -> None:
    tracker, there = Tracker(), boxes([(0.0, 0.0)])
    oldest_ns = int(MAX_AGE_S * 1e9)
    assert tracker.update(there, 0, None).track_ids.tolist() == [1]
    assert tracker.update(there, oldest_ns, None).track_ids.tolist() == [1]
    assert tracker.update(there, 2 * oldest_ns + 1, None).track_ids.tolist() == [2]


def test_after_a_reset_no_old_id_comes_back() -> None:
    tracker = Tracker()
    assert ids(tracker, 0, boxes([(0.0, 0.0), (9.0, 9.0)])) == [1, 2]
    tracker.reset()
    assert ids(tracker, 1, boxes([(0.0, 0.0)])) == [3]


@pytest.mark.parametrize("seed", range(5))
def test_ids_of_a_frame_are_unique_and_boxes_stay_in_order(seed: int) -> None:
    tracker, random = Tracker(), np.random.default_rng(seed)
    for frame in range(8):
        count = int(random.integers(0, 40))
        found = boxes(
            random.uniform(-10, 10, (count, 2)).tolist(),
            random.uniform(-5, 5, (count, 2)).tolist(),
            random.integers(0, 10, count).tolist(),
        )
        tracked = tracker.update(found, frame * STEP_NS, None)
        assert len(set(tracked.track_ids.tolist())) == count
        assert (tracked.track_ids > 0).all()
        assert tracked.centers is found.centers
