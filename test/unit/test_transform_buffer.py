"""The transform buffer against known motion and against a naive reference."""

from __future__ import annotations

import contextlib
import math
import threading
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinybev.geometry import invert, quaternion_from_yaw, transform_from, yaw_of
from tinybev.transform_buffer import TransformBuffer, TransformUnknownError

SECOND = 1_000_000_000
IDENTITY_ROTATION = (0.0, 0.0, 0.0, 1.0)


def pose(x: float, y: float = 0.0, yaw: float = 0.0) -> np.ndarray:
    return transform_from(quaternion_from_yaw(yaw), (x, y, 0.0))


def test_static_edge_holds_at_every_stamp() -> None:
    buffer = TransformBuffer()
    mounting = transform_from((-0.5, 0.5, -0.5, 0.5), (1.7, 0.0, 1.5))
    buffer.set_static("base_link", "cam_front", mounting)
    for stamp_ns in (0, 17, 5 * SECOND):
        np.testing.assert_allclose(buffer.lookup("base_link", "cam_front", stamp_ns), mounting, atol=1e-12)
    np.testing.assert_allclose(buffer.lookup("cam_front", "base_link"), invert(mounting), atol=1e-12)


def test_moving_edge_is_interpolated_between_samples_and_exact_on_them() -> None:
    buffer = TransformBuffer()
    buffer.set_dynamic("map", "base_link", SECOND, pose(10.0, 0.0, 0.0))
    buffer.set_dynamic("map", "base_link", 2 * SECOND, pose(20.0, 4.0, 0.4))
    quarter = buffer.lookup("map", "base_link", SECOND + SECOND // 4)
    np.testing.assert_allclose(quarter[:3, 3], (12.5, 1.0, 0.0))
    assert yaw_of(quarter[:3, :3]) == pytest.approx(0.1)
    np.testing.assert_allclose(buffer.lookup("map", "base_link", 2 * SECOND), pose(20.0, 4.0, 0.4), atol=1e-12)


def test_chain_through_common_ancestor_uses_each_edge_in_its_direction() -> None:
    buffer = TransformBuffer()
    buffer.set_static("map", "odom", pose(100.0, 50.0, math.pi / 2))
    buffer.set_dynamic("odom", "base_link", 0, pose(1.0, 2.0, 0.0))
    buffer.set_static("map", "station", pose(90.0, 50.0, 0.0))
    # base_link's origin is at (1, 2) of odom, that is (100 - 2, 50 + 1) of the map, (8, 1) seen from the station.
    np.testing.assert_allclose(buffer.lookup("station", "base_link", 0)[:3, 3], (8.0, 1.0, 0.0), atol=1e-12)
    np.testing.assert_allclose(
        buffer.lookup("base_link", "station", 0), invert(buffer.lookup("station", "base_link", 0)), atol=1e-12
    )


def test_unknown_frames_and_stamps_are_refused_with_what_is_known() -> None:
    buffer = TransformBuffer()
    buffer.set_dynamic("map", "base_link", SECOND, pose(1.0))
    with pytest.raises(TransformUnknownError, match="map and cam_front are not connected"):
        buffer.lookup("map", "cam_front", SECOND)
    for stamp_ns in (SECOND - 1, SECOND + 1):
        with pytest.raises(TransformUnknownError, match="known from 1000000000 to 1000000000 ns"):
            buffer.lookup("map", "base_link", stamp_ns)
    assert buffer.connected("map", "base_link")
    assert not buffer.connected("map", "cam_front")


def test_extrapolation_continues_the_motion_within_its_bound() -> None:
    buffer = TransformBuffer()
    buffer.set_dynamic("map", "base_link", 0, pose(0.0, 0.0, 0.0))
    buffer.set_dynamic("map", "base_link", SECOND, pose(10.0, 0.0, 0.2))
    ahead = buffer.lookup("map", "base_link", SECOND + SECOND // 2, extrapolate_s=0.5)
    assert ahead[0, 3] == pytest.approx(15.0)
    assert yaw_of(ahead[:3, :3]) == pytest.approx(0.3)
    with pytest.raises(TransformUnknownError):
        buffer.lookup("map", "base_link", SECOND + SECOND // 2 + 1, extrapolate_s=0.5)


def test_the_vehicles_edge_is_extrapolated_and_corrections_above_it_are_held() -> None:
    buffer = TransformBuffer()
    buffer.set_static("base_footprint", "base_link", pose(0.0))
    for stamp_ns, x in ((0, 0.0), (SECOND, 10.0)):
        buffer.set_dynamic("odom", "base_footprint", stamp_ns, pose(x))
    for stamp_ns, y in ((0, 0.0), (SECOND // 2, 1.0)):  # a step, interpolated as everywhere
        buffer.set_dynamic("map", "odom", stamp_ns, pose(0.0, y))
    at = partial(buffer.lookup, "map", "base_link")
    np.testing.assert_allclose(at(SECOND // 4)[:2, 3], (2.5, 0.5))
    np.testing.assert_allclose(at(SECOND, hold_s=0.5)[:2, 3], (10.0, 1.0))
    np.testing.assert_allclose(at(SECOND + SECOND // 5, 0.2, 0.7)[:2, 3], (12.0, 1.0))
    for extrapolate_s, hold_s, edge in ((0.1, 0.7, "odom -> base_footprint"), (0.2, 0.6, "map -> odom")):
        with pytest.raises(TransformUnknownError, match=edge):
            at(SECOND + SECOND // 5, extrapolate_s, hold_s)


def test_single_sample_is_extrapolated_as_standing_still() -> None:
    buffer = TransformBuffer()
    buffer.set_dynamic("map", "base_link", SECOND, pose(3.0))
    np.testing.assert_allclose(buffer.lookup("map", "base_link", SECOND + 5, extrapolate_s=0.1), pose(3.0))


def test_history_is_bounded_in_time_and_in_samples() -> None:
    by_time = TransformBuffer(history_s=1.0)
    by_count = TransformBuffer(history_s=1e6, max_samples=3)
    for n in range(50):
        by_time.set_dynamic("map", "base_link", n * SECOND // 10, pose(n))
        by_count.set_dynamic("map", "base_link", n * SECOND // 10, pose(n))
    newest = 49 * SECOND // 10
    assert by_time.lookup("map", "base_link", newest - SECOND)[0, 3] == pytest.approx(39.0)
    with pytest.raises(TransformUnknownError):
        by_time.lookup("map", "base_link", newest - SECOND - 1)
    assert by_count.lookup("map", "base_link", 47 * SECOND // 10)[0, 3] == pytest.approx(47.0)
    with pytest.raises(TransformUnknownError):
        by_count.lookup("map", "base_link", 47 * SECOND // 10 - 1)


def test_edge_that_jumps_back_begins_anew_and_what_does_not_move_stays() -> None:
    buffer = TransformBuffer(jump_back_s=1.0)
    buffer.set_static("base_link", "cam_front", pose(1.5))
    buffer.set_dynamic("map", "base_link", 100 * SECOND, pose(500.0))
    buffer.set_dynamic("map", "base_link", 10 * SECOND, pose(5.0))
    assert buffer.lookup("map", "cam_front", 10 * SECOND)[0, 3] == pytest.approx(6.5)
    with pytest.raises(TransformUnknownError, match="known from 10000000000 to 10000000000 ns"):
        buffer.lookup("map", "base_link", 100 * SECOND)


def test_a_straggler_costs_its_own_edge_only() -> None:
    buffer = TransformBuffer()
    buffer.set_dynamic("map", "odom", 0, pose(0.0))
    for tenth in range(100):
        for parent, child in (("odom", "base_link"), ("base_link", "tag_7")):
            buffer.set_dynamic(parent, child, tenth * SECOND // 10, pose(tenth))
    buffer.set_dynamic("map", "odom", 9 * SECOND, pose(0.0))
    buffer.set_dynamic("base_link", "tag_7", 8 * SECOND, pose(3.0))
    assert buffer.lookup("map", "base_link", 5 * SECOND)[0, 3] == pytest.approx(50.0)
    assert buffer.lookup("base_link", "tag_7", 8 * SECOND)[0, 3] == pytest.approx(3.0)


def test_edges_that_jumped_are_known_at_once_although_one_comes_seldom() -> None:
    buffer = TransformBuffer()
    for pass_ in range(2):
        buffer.set_dynamic("map", "odom", 0, pose(pass_))
        for tenth in range(11):
            buffer.set_dynamic("odom", "base_link", tenth * SECOND // 10, pose(tenth))
            if pass_ and tenth < 10:  # map -> odom comes once a second, and has not come again
                assert buffer.lookup("odom", "base_link", tenth * SECOND // 10)[0, 3] == pytest.approx(tenth)
                assert buffer.lookup("map", "base_link", 0)[0, 3] == pytest.approx(1.0)
        buffer.set_dynamic("map", "odom", 2 * SECOND, pose(pass_))
        buffer.set_dynamic("odom", "base_link", 2 * SECOND, pose(20.0))


@settings(max_examples=60)
@given(
    periods=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    jump_back=st.integers(29, 40),  # more than 1 s and two periods
    stragglers=st.sets(st.integers(0, 60)),
)
def test_no_lookup_mixes_what_was_before_and_after_a_jump_back(
    periods: tuple[int, int], jump_back: int, stragglers: set[int]
) -> None:
    tenth = SECOND // 10
    buffer = TransformBuffer()
    answers: set[float] = set()
    for step in range(60):
        jumped = step >= 45
        now = step - (jump_back if jumped else 0)
        for frames, period in zip((("map", "odom"), ("odom", "base_link")), periods, strict=True):
            if now % period == 0:
                buffer.set_dynamic(*frames, now * tenth, pose(1.0 if jumped else 0.0))
        if step in stragglers:
            buffer.set_dynamic("base_link", "tag_7", now * tenth, pose(0.0))
            buffer.set_dynamic("base_link", "tag_7", (now - 12) * tenth, pose(0.0))
        for asked in range(max(0, now - 9), now + 1) if step > 40 else ():
            with contextlib.suppress(TransformUnknownError):
                answers.add(float(buffer.lookup("map", "base_link", asked * tenth)[0, 3]))
    assert answers == {0.0, 2.0}


def test_late_sample_within_the_bound_is_sorted_in() -> None:
    buffer = TransformBuffer()
    for stamp_ns, x in ((0, 0.0), (SECOND, 10.0), (SECOND // 2, 20.0)):
        buffer.set_dynamic("map", "base_link", stamp_ns, pose(x))
    assert buffer.lookup("map", "base_link", SECOND // 4)[0, 3] == pytest.approx(10.0)
    assert buffer.lookup("map", "base_link", 3 * SECOND // 4)[0, 3] == pytest.approx(15.0)


def test_child_with_a_new_parent_leaves_the_old_one() -> None:
    buffer = TransformBuffer()
    buffer.set_dynamic("odom", "base_link", 0, pose(1.0))
    buffer.set_dynamic("map", "base_link", 0, pose(2.0))
    assert buffer.lookup("map", "base_link", 0)[0, 3] == pytest.approx(2.0)
    assert not buffer.connected("odom", "base_link")


def test_frames_in_a_loop_end_the_search() -> None:
    buffer = TransformBuffer()
    buffer.set_static("a", "b", pose(1.0))
    buffer.set_static("b", "a", pose(1.0))
    assert not buffer.connected("a", "c")


def test_wait_ends_when_the_transform_arrives() -> None:
    buffer = TransformBuffer()
    buffer.set_dynamic("map", "base_link", 0, pose(0.0))
    found: list[np.ndarray] = []
    waiter = threading.Thread(target=lambda: found.append(buffer.wait_for("map", "base_link", SECOND // 2, 30.0)))
    waiter.start()
    buffer.set_dynamic("map", "base_link", SECOND, pose(10.0))
    waiter.join(timeout=20.0)
    assert found
    assert found[0][0, 3] == pytest.approx(5.0)


def test_wait_that_is_in_vain_extrapolates_or_refuses() -> None:
    buffer = TransformBuffer()
    buffer.set_dynamic("map", "base_link", 0, pose(0.0))
    buffer.set_dynamic("map", "base_link", SECOND, pose(10.0))
    assert buffer.wait_for("map", "base_link", 2 * SECOND, 0.01, extrapolate_s=1.0)[0, 3] == pytest.approx(20.0)
    with pytest.raises(TransformUnknownError):
        buffer.wait_for("map", "base_link", 2 * SECOND, 0.01)


@settings(max_examples=200)
@given(
    samples=st.dictionaries(st.integers(0, 900), st.floats(-1000, 1000), min_size=1, max_size=30),
    order=st.randoms(use_true_random=False),
    asked=st.integers(0, 900),
)
def test_any_order_of_arrival_gives_what_linear_interpolation_gives(
    samples: dict[int, float], order: object, asked: int
) -> None:
    buffer = TransformBuffer()
    arrivals = list(samples.items())
    order.shuffle(arrivals)  # type: ignore[attr-defined]
    for stamp_ns, x in arrivals:
        buffer.set_dynamic("map", "base_link", stamp_ns, transform_from(IDENTITY_ROTATION, (x, 0.0, 0.0)))
    stamps = sorted(samples)
    if stamps[0] <= asked <= stamps[-1]:
        expected = np.interp(asked, stamps, [samples[stamp] for stamp in stamps])
        assert buffer.lookup("map", "base_link", asked)[0, 3] == pytest.approx(expected, abs=1e-9)
    else:
        with pytest.raises(TransformUnknownError):
            buffer.lookup("map", "base_link", asked)
