"""Messages <-> types: round trips over generated values, and layouts against known answers."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from cv_bridge import CvBridge
from hypothesis import given
from hypothesis import strategies as st
from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import Header

from tinybev.errors import UserError
from tinybev.geometry import BevGrid, quaternion_from_yaw, transform_from, wrap_angle
from tinybev.types import (
    ATTRIBUTES,
    DETECTION_CLASSES,
    Command,
    Detections,
    Goal,
    MapClass,
    MapSegment,
    MapSegments,
    Occupancy,
    Plan,
    Trajectories,
    WeightsInfo,
)
from tinybev_ros import conversions as c

ROOT = Path(__file__).resolve().parents[2]
HEADER = c.header_to_msg(1_533_151_603_512_404_123, "base_link")
WEIGHTS = WeightsInfo("tinybev-nano", "nothing (untrained, seed 7)", "ab" * 32)
GRID = BevGrid((-2.0, 4.0, 0.5), (-1.0, 1.5, 0.5))  # 12 rows, 5 columns

seeds = st.integers(0, 2**32 - 1)


def through_the_wire(message):  # type: ignore[no-untyped-def]
    """Serialized and deserialized: what a subscriber gets."""
    return deserialize_message(serialize_message(message), type(message))


def some_detections(rng: np.random.Generator, count: int) -> Detections:
    return Detections(
        centers=rng.uniform(-50, 50, (count, 3)),
        sizes=rng.uniform(0.3, 12, (count, 3)),
        yaws=rng.uniform(-math.pi, math.pi, count),
        velocities=rng.uniform(-20, 20, (count, 2)),
        scores=np.sort(rng.uniform(0, 1, count))[::-1],
        class_ids=rng.integers(0, len(DETECTION_CLASSES), count),
        attribute_ids=rng.integers(-1, len(ATTRIBUTES), count),
        track_ids=rng.integers(0, 2**32, count),
    )


@given(st.integers(0, 2**31 * 10**9 - 1))
def test_stamps_are_exact(stamp_ns: int) -> None:
    assert c.msg_to_stamp(c.stamp_to_msg(stamp_ns)) == stamp_ns


@given(st.lists(st.floats(-1, 1), min_size=4, max_size=4), st.lists(st.floats(-1e6, 1e6), min_size=3, max_size=3))
def test_transforms_round_trip(quaternion: list[float], translation: list[float]) -> None:
    if np.linalg.norm(quaternion) < 0.1:
        quaternion = [0.0, 0.0, 0.0, 1.0]
    transform = transform_from(quaternion, translation)
    message = c.transform_stamped_to_msg(transform, "map", "base_link", 5)
    assert (message.header.frame_id, message.child_frame_id, c.msg_to_stamp(message.header.stamp)) == (
        "map",
        "base_link",
        5,
    )
    np.testing.assert_allclose(c.msg_to_transform(through_the_wire(message).transform), transform, atol=1e-9)


@given(st.floats(-1e3, 1e3), st.floats(-1e3, 1e3), st.floats(-10, 10))
def test_poses_round_trip(x: float, y: float, yaw: float) -> None:
    pose = c.pose_to_msg((x, y, 1.5), yaw)
    assert abs(wrap_angle(c.yaw_from_msg(pose) - yaw)) < 1e-9
    np.testing.assert_allclose(c.msg_to_pose(pose), transform_from(quaternion_from_yaw(yaw), (x, y, 1.5)), atol=1e-9)


def test_broken_transforms_are_refused() -> None:
    message = c.transform_to_msg(np.eye(4))
    message.rotation.w = 0.0
    with pytest.raises(ValueError, match="quaternion"):
        c.msg_to_transform(message)
    message.rotation.w, message.translation.x = 1.0, math.nan
    with pytest.raises(ValueError, match="finite"):
        c.msg_to_transform(message)


def test_leading_slash_of_ros_1_frames_is_dropped() -> None:
    assert c.msg_to_frame_id(Header(frame_id="/base_link")) == "base_link"


@given(seeds, st.integers(0, 5))
def test_detections_round_trip(seed: int, count: int) -> None:
    detections = some_detections(np.random.default_rng(seed), count)
    message = through_the_wire(c.detections_to_msg(detections, HEADER, WEIGHTS))
    assert message.header == HEADER
    assert c.msg_to_model_info(message.model) == WEIGHTS
    assert not message.model.trained
    for item, class_id in zip(message.objects, detections.class_ids, strict=True):
        assert item.class_name == DETECTION_CLASSES[class_id]
    back = c.msg_to_detections(message)
    for name in ("centers", "sizes", "velocities"):
        np.testing.assert_array_equal(getattr(back, name), getattr(detections, name))
    np.testing.assert_allclose(back.yaws, detections.yaws, atol=1e-9)
    np.testing.assert_allclose(back.scores, detections.scores, rtol=1e-6)
    for name in ("class_ids", "attribute_ids", "track_ids"):
        np.testing.assert_array_equal(getattr(back, name), getattr(detections, name))


def test_boxes_as_the_standard_message() -> None:
    pytest.importorskip("vision_msgs.msg", reason="vision_msgs is no wheel: it comes with a ROS 2 installation")
    from tinybev_ros.conversions.vision import detections_to_vision_msg

    detections = some_detections(np.random.default_rng(1), 3)
    message = through_the_wire(detections_to_vision_msg(detections, HEADER))
    assert [d.results[0].hypothesis.class_id for d in message.detections] == [
        DETECTION_CLASSES[class_id] for class_id in detections.class_ids
    ]
    assert [d.bbox.size.x for d in message.detections] == detections.sizes[:, 0].tolist()
    assert message.header == HEADER


@given(seeds, st.integers(0, 4))
def test_map_segments_round_trip_without_their_masks(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    segments = tuple(
        MapSegment(
            MapClass(int(rng.integers(4))),
            rng.uniform(-50, 50, (int(rng.integers(2, 9)), 2)),
            0.5,
            bool(rng.integers(2)),
        )
        for _ in range(count)
    )
    source = MapSegments(segments, np.zeros((4, *GRID.shape)), GRID)
    message = through_the_wire(c.map_segments_to_msg(source, HEADER, WEIGHTS))
    back = c.msg_to_map_segments(message)
    assert len(back) == count
    for got, expected in zip(back, segments, strict=True):
        assert (got.map_class, got.score, got.closed) == (expected.map_class, expected.score, expected.closed)
        np.testing.assert_array_equal(got.points, expected.points)
    assert [s.class_name for s in message.segments] == [s.map_class.name.lower() for s in segments]


@given(seeds, st.integers(0, 4), st.integers(1, 6), st.integers(1, 12))
def test_trajectories_round_trip_most_probable_mode_first(seed: int, agents: int, modes: int, steps: int) -> None:
    rng = np.random.default_rng(seed)
    detections = some_detections(rng, agents)
    trajectories = Trajectories(
        positions=rng.uniform(-50, 50, (agents, modes, steps, 2)),
        sigmas=rng.uniform(0.1, 5, (agents, modes, steps, 2)),
        probabilities=rng.dirichlet(np.ones(modes), agents),
        track_ids=detections.track_ids,
        class_ids=detections.class_ids,
        time_step_s=0.5,
    )
    message = through_the_wire(c.trajectories_to_msg(trajectories, detections, HEADER, WEIGHTS))
    back = c.msg_to_trajectories(message)
    assert back.time_step_s == 0.5
    np.testing.assert_array_equal(back.track_ids, trajectories.track_ids)
    np.testing.assert_array_equal(back.class_ids, trajectories.class_ids)
    for n in range(agents):
        order = np.argsort(-trajectories.probabilities[n], kind="stable")
        np.testing.assert_allclose(back.probabilities[n], trajectories.probabilities[n, order], rtol=1e-6)
        np.testing.assert_array_equal(back.positions[n], trajectories.positions[n, order])
        np.testing.assert_allclose(back.sigmas[n], trajectories.sigmas[n, order], rtol=1e-6)
        heights = {p.z for mode in message.trajectories[n].modes for p in mode.positions}
        assert heights == {detections.centers[n, 2]}
        assert message.trajectories[n].score == pytest.approx(detections.scores[n], rel=1e-6)


def test_occupancy_grid_puts_a_cell_where_it_is_in_base_link() -> None:
    rows, columns = GRID.shape
    probability = np.zeros((2, rows, columns))
    probability[0, 9, 1] = 0.755  # x in [2.5, 3.0), y in [-0.5, 0.0)
    probability[1] = 1.0
    instances = np.zeros((2, rows, columns), dtype=np.int64)
    message = through_the_wire(c.occupancy_to_msg(Occupancy(probability, instances, GRID, 0.5), HEADER))
    assert (message.info.width, message.info.height, message.info.resolution) == (12, 5, 0.5)
    assert (message.info.origin.position.x, message.info.origin.position.y) == (-2.0, -1.0)
    # nav_msgs: data is row-major with x running along width, starting at the origin.
    index = np.flatnonzero(message.data)
    assert index.tolist() == [1 * message.info.width + 9]
    assert message.data[index[0]] == 76
    back, grid = c.msg_to_occupancy(message)
    assert grid == GRID
    assert np.argwhere(back).tolist() == [[9, 1]]


@given(seeds, st.integers(1, 5))
def test_forecast_round_trips_to_the_per_cent(seed: int, steps: int) -> None:
    rng = np.random.default_rng(seed)
    occupancy = Occupancy(
        rng.uniform(0, 1, (steps, *GRID.shape)), rng.integers(0, 0x10000, (steps, *GRID.shape)), GRID, 0.5
    )
    message = through_the_wire(c.forecast_to_msg(occupancy, HEADER, WEIGHTS))
    back = c.msg_to_forecast(message)
    assert (back.grid, back.time_step_s, message.steps) == (GRID, 0.5, steps)
    np.testing.assert_allclose(back.probability, occupancy.probability, atol=0.005 + 1e-9)
    np.testing.assert_array_equal(back.instances, occupancy.instances)


@given(st.lists(st.integers(1, 2**32 - 1)))
def test_instances_are_tracks_in_sixteen_bits_as_the_messages_say(track_ids: list[int]) -> None:
    instances = c.tracks_to_instances(np.array([0, 1, 65535, 65536, *track_ids], dtype=np.int64))
    assert instances.tolist() == [0, 1, 65535, 1, *((track_id - 1) % 65535 + 1 for track_id in track_ids)]
    for message in ("OccupancyForecast", "DetectedObject"):
        assert "(track_id - 1) % 65535 + 1" in (ROOT / "msg" / f"{message}.msg").read_text()


def test_forecast_never_turns_an_object_into_none() -> None:
    instances = np.full((1, *GRID.shape), 0x10000)
    message = c.forecast_to_msg(Occupancy(np.ones((1, *GRID.shape)), instances, GRID, 0.5), HEADER, WEIGHTS)
    assert set(message.instances) == {1}


def test_cells_that_are_not_square_are_refused() -> None:
    with pytest.raises(ValueError, match="square cells"):
        c.grid_to_msg(BevGrid((0.0, 2.0, 0.5), (0.0, 2.0, 1.0)), HEADER)


@given(st.floats(0.01, 2.0), st.integers(1, 300), st.integers(1, 300))
def test_grids_round_trip_to_float32(step: float, rows: int, columns: int) -> None:
    grid = BevGrid((-3.0, -3.0 + rows * step, step), (1.0, 1.0 + columns * step, step))
    back = c.msg_to_grid(through_the_wire(c.grid_to_msg(grid, HEADER)))
    assert back.shape == grid.shape
    np.testing.assert_allclose((*back.x_bound, *back.y_bound), (*grid.x_bound, *grid.y_bound), rtol=1e-6, atol=1e-4)


@given(seeds, st.integers(1, 12), st.booleans())
def test_plan_round_trips_with_its_times(seed: int, steps: int, with_goal: bool) -> None:
    rng = np.random.default_rng(seed)
    plan = Plan(
        positions=rng.uniform(-30, 30, (steps, 2)),
        yaws=rng.uniform(-3, 3, steps),
        speeds=rng.uniform(0, 20, steps),
        raw_positions=rng.uniform(-30, 30, (steps, 2)),
        goal=Goal(Command(int(rng.integers(3))), (12.5, -3.25) if with_goal else None),
        time_step_s=0.5,
    )
    message = through_the_wire(c.plan_to_msg(plan, HEADER, WEIGHTS))
    assert [point.time_from_start for point in message.points] == [0.5 * (t + 1) for t in range(steps)]
    back = c.msg_to_plan(message)
    assert (back.goal, back.time_step_s) == (plan.goal, 0.5)
    np.testing.assert_array_equal(back.positions, plan.positions)
    np.testing.assert_array_equal(back.raw_positions, plan.raw_positions)
    np.testing.assert_allclose(back.yaws, plan.yaws, atol=1e-9)
    np.testing.assert_allclose(back.speeds, plan.speeds, rtol=1e-6, atol=1e-6)
    path = through_the_wire(c.path_to_msg(plan, HEADER))
    positions, yaws = c.msg_to_path(path)
    np.testing.assert_array_equal(positions, plan.positions)
    np.testing.assert_allclose(yaws, plan.yaws, atol=1e-9)


def test_raw_plan_gets_heading_and_speed_of_its_steps() -> None:
    straight = np.array([[1.0, 0.0], [1.0, 2.0]])
    plan = Plan(straight, np.zeros(2), np.zeros(2), straight, Goal(), 0.5)
    first, second = c.plan_to_msg(plan, HEADER, WEIGHTS).raw_points
    assert (c.yaw_from_msg(first.pose), first.speed) == (0.0, 2.0)
    assert (c.yaw_from_msg(second.pose), second.speed) == (pytest.approx(math.pi / 2), 4.0)


def camera_info() -> CameraInfo:
    intrinsics = np.array([[1266.4, 0.0, 816.3], [0.0, 1266.4, 491.5], [0.0, 0.0, 1.0]])
    return c.intrinsics_to_msg(intrinsics, (900, 1600), HEADER)


def test_camera_info_round_trips_and_a_wrong_r_does_not_matter() -> None:
    info = camera_info()
    info.r = np.array([1.0, 0, 0, 1, 0, 0, 1, 0, 0])
    intrinsics, size = c.msg_to_intrinsics(through_the_wire(info))
    assert size == (900, 1600)
    np.testing.assert_array_equal(intrinsics.ravel(), camera_info().k)


def test_projection_matrix_counts_where_k_is_none_and_where_the_camera_is_distorted() -> None:
    without_k, distorted, bad_p = camera_info(), camera_info(), camera_info()
    without_k.k = np.zeros(9)
    assert c.msg_to_intrinsics(without_k)[0][0, 0] == 1266.4
    distorted.p[0], distorted.d[0] = 1000.0, -0.3
    assert c.msg_to_intrinsics(distorted)[0][0, 0] == 1000.0
    bad_p.p, bad_p.d[0] = np.zeros(12), -0.3
    assert c.msg_to_intrinsics(bad_p)[0][0, 0] == 1266.4


def test_calibration_of_zeros_and_of_nonsense_is_refused_in_one_sentence() -> None:
    with pytest.raises(UserError, match=r"says 0x0 pixels, expected the size"):
        c.msg_to_intrinsics(CameraInfo())
    zeros = CameraInfo(height=900, width=1600)
    with pytest.raises(UserError, match=r"no pinhole matrix: expected k = .*, got k = \[0\.0, .*correct"):
        c.msg_to_intrinsics(zeros)
    for index, value in ((0, -1266.0), (2, 5000.0), (8, 0.0), (4, math.nan)):
        info = camera_info()
        info.k[index], info.p = value, np.zeros(12)
        with pytest.raises(UserError, match="no pinhole matrix"):
            c.msg_to_intrinsics(info)


def test_images_become_rgb_whatever_their_encoding_and_row_padding() -> None:
    rgb = np.random.default_rng(3).integers(0, 256, (3, 5, 3), dtype=np.uint8)
    bgr = np.ascontiguousarray(rgb[..., ::-1])
    plain = Image(height=3, width=5, encoding="bgr8", step=15, data=bgr.tobytes())
    np.testing.assert_array_equal(c.raw_msg_to_image(plain), rgb)
    padded = np.zeros((3, 16), dtype=np.uint8)
    padded[:, :15] = rgb.reshape(3, 15)
    np.testing.assert_array_equal(
        c.raw_msg_to_image(Image(height=3, width=5, encoding="rgb8", step=16, data=padded.tobytes())), rgb
    )
    grey = Image(height=3, width=5, encoding="mono8", step=5, data=rgb[..., 0].tobytes())
    np.testing.assert_array_equal(c.raw_msg_to_image(grey), np.repeat(rgb[..., :1], 3, axis=2))


@pytest.mark.parametrize(
    "image",
    [
        Image(height=3, width=5, encoding="bgr8", step=15, data=bytes(14)),
        Image(height=3, width=5, encoding="nonsense", step=15, data=bytes(45)),
        Image(height=0, width=0, encoding="bgr8"),
    ],
)
def test_image_that_cannot_be_read_is_refused(image: Image) -> None:
    with pytest.raises(UserError, match="cannot be read as RGB"):
        c.raw_msg_to_image(image)


@pytest.mark.parametrize("error", [ImportError("numpy.core.multiarray failed to import"), AttributeError("_ARRAY_API")])
def test_cv_bridge_of_another_numpy_is_a_sentence(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(CvBridge, "imgmsg_to_cv2", fail)
    image = Image(height=3, width=5, encoding="bgr8", step=15, data=bytes(45))
    with pytest.raises(UserError, match=r"cv_bridge does not work with numpy .* set image_transport to compressed"):
        c.raw_msg_to_image(image)


def test_compressed_image_keeps_its_bytes() -> None:
    data = bytes(range(256))
    assert c.compressed_msg_to_image(through_the_wire(CompressedImage(format="jpeg", data=data))) == data
