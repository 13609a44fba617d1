"""nuScenes-format dataset -> rosbag2: what is in the bag, against the tables, the files and the analytic course."""

from __future__ import annotations

import math
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nuscenes.nuscenes import NuScenes
from read_bag import Message, edit_table, read_bag
from rosbags.highlevel import AnyReader
from tiny_nuscenes import (
    CIRCLE_CENTER,
    LIDAR_POINTS,
    OBJECTS,
    RADIUS_M,
    ROAD_HALF_WIDTH_M,
    SPEED_MPS,
    VERSION,
    YAW_RATE_RPS,
    ego_pose,
    scene_start_us,
)

from tinybev.geometry import Array, project, transform_from, transform_points, yaw_of
from tinybev.types import CAMERAS
from tinybev_ros import topics
from tinybev_ros.nuscenes2bag import convert_scene
from tinybev_ros.nuscenes_dataset import open_dataset

SCENE_INDEX, SCENE = 1, "tiny-0002"


def matrix(transform: Any) -> Array:
    """The matrix of a geometry_msgs Transform or Pose."""
    pose = hasattr(transform, "position")
    rotation = transform.orientation if pose else transform.rotation
    translation = transform.position if pose else transform.translation
    return transform_from(
        [rotation.x, rotation.y, rotation.z, rotation.w], [translation.x, translation.y, translation.z]
    )


@pytest.fixture(scope="module")
def nusc(tiny_dataroot: Path) -> NuScenes:
    return open_dataset(tiny_dataroot, VERSION)


@pytest.fixture(scope="module")
def rows(nusc: NuScenes) -> list[dict[str, Any]]:
    """The sample_data of the scene, read straight from the table."""
    token = next(scene["token"] for scene in nusc.scene if scene["name"] == SCENE)
    samples = {sample["token"] for sample in nusc.sample if sample["scene_token"] == token}
    return [record for record in nusc.sample_data if record["sample_token"] in samples]


@pytest.fixture(scope="module")
def bag(nusc: NuScenes, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Message]]:
    out = tmp_path_factory.mktemp("bags") / SCENE
    convert_scene(nusc, SCENE, out)
    return read_bag(out)


def seconds_of(stamp_ns: int) -> float:
    """Time on the analytic course."""
    return (stamp_ns / 1000 - scene_start_us(SCENE_INDEX)) / 1e6


@pytest.mark.parametrize("camera", CAMERAS)
def test_every_picture_is_there_byte_for_byte_with_its_own_stamp(
    bag: dict[str, list[Message]], rows: list[dict[str, Any]], tiny_dataroot: Path, camera: str
) -> None:
    expected = sorted((row["timestamp"] * 1000, row["filename"]) for row in rows if row["channel"] == camera)
    pictures = bag[f"/{camera.lower()}/image_rect_compressed"]
    assert len(expected) > 4  # sweeps too
    assert [picture.stamp_ns for picture in pictures] == [stamp for stamp, _ in expected]
    for picture, (_, filename) in zip(pictures, expected, strict=True):
        assert picture.content.data.tobytes() == (tiny_dataroot / filename).read_bytes()
        assert picture.content.format == "jpeg"
        assert picture.content.header.frame_id == camera.lower()


@pytest.mark.parametrize("camera", CAMERAS)
def test_camera_info_belongs_to_its_picture(
    bag: dict[str, list[Message]], nusc: NuScenes, rows: list[dict[str, Any]], camera: str
) -> None:
    token = next(row["calibrated_sensor_token"] for row in rows if row["channel"] == camera)
    intrinsics = np.array(nusc.get("calibrated_sensor", token)["camera_intrinsic"])
    pictures, infos = (bag[f"/{camera.lower()}/{name}"] for name in ("image_rect_compressed", "camera_info"))
    assert [info.stamp_ns for info in infos] == [picture.stamp_ns for picture in pictures]
    for info in (message.content for message in infos):
        assert info.header.frame_id == camera.lower()
        assert (info.height, info.width) == (180, 320)
        np.testing.assert_array_equal(info.k.reshape(3, 3), intrinsics)
        np.testing.assert_array_equal(info.r.reshape(3, 3), np.eye(3))
        np.testing.assert_array_equal(info.p.reshape(3, 4), np.c_[intrinsics, np.zeros(3)])
        assert not info.d.any()


def test_log_times_are_the_true_stamps_and_sorted(nusc: NuScenes, tmp_path: Path) -> None:
    convert_scene(nusc, SCENE, tmp_path / "bag")
    previous = 0
    with AnyReader([tmp_path / "bag"]) as reader:
        for connection, log_ns, data in reader.messages():
            assert log_ns >= previous
            previous = log_ns
            content: Any = reader.deserialize(data, connection.msgtype)
            if hasattr(content, "header"):
                headers = [content.header]
            else:
                headers = [part.header for part in getattr(content, "transforms", None) or content.markers]
            assert headers
            assert {Message(log_ns, type("Part", (), {"header": one})).stamp_ns for one in headers} == {log_ns}


def test_ego_transform_at_every_reading_once(bag: dict[str, list[Message]], rows: list[dict[str, Any]]) -> None:
    assert [message.log_ns for message in bag["/tf"]] == sorted({row["timestamp"] * 1000 for row in rows})
    for message in bag["/tf"]:
        (transform,) = message.content.transforms
        assert (transform.header.frame_id, transform.child_frame_id) == ("map", "base_link")
        x, y, yaw = ego_pose(seconds_of(message.log_ns))
        map_T_base = matrix(transform.transform)
        np.testing.assert_allclose(map_T_base[:3, 3], [x, y, 0.0], atol=1e-9)
        assert yaw_of(map_T_base[:3, :3]) == pytest.approx(yaw)


def test_sensors_that_fire_together_give_one_transform(dataset_copy: Path, tmp_path: Path) -> None:
    def together(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
        for record in records:
            record["timestamp"] += 500 if "/CAM_BACK_LEFT/" in record["filename"] else 0
        return records

    edit_table(dataset_copy, "sample_data", together)
    nusc = open_dataset(dataset_copy, VERSION)
    convert_scene(nusc, SCENE, tmp_path / "bag")
    found = read_bag(tmp_path / "bag")
    both = {m.log_ns for m in found["/cam_back_left/camera_info"]} & {m.log_ns for m in found[topics.LIDAR]}
    assert len(both) == len(found["/cam_back_left/camera_info"])
    for topic in (topics.TF, topics.ODOMETRY):
        stamps = [message.log_ns for message in found[topic]]
        assert len(stamps) == len(set(stamps))
        assert both < set(stamps)


def test_odometry_has_the_pose_and_the_twist_of_the_course(bag: dict[str, list[Message]]) -> None:
    assert [message.stamp_ns for message in bag["/odom"]] == [message.log_ns for message in bag["/tf"]]
    for message in bag["/odom"]:
        odometry = message.content
        assert (odometry.header.frame_id, odometry.child_frame_id) == ("map", "base_link")
        x, y, _ = ego_pose(seconds_of(message.log_ns))
        np.testing.assert_allclose(matrix(odometry.pose.pose)[:2, 3], [x, y], atol=1e-9)
        linear, angular = odometry.twist.twist.linear, odometry.twist.twist.angular
        # A chord is shorter than its arc and, one-sided, turned by half of it: 8 m/s * 0.2 rad/s * 0.05 s.
        assert linear.x == pytest.approx(SPEED_MPS, abs=0.01)
        assert linear.y == pytest.approx(0.0, abs=SPEED_MPS * YAW_RATE_RPS * 0.05)
        assert angular.z == pytest.approx(YAW_RATE_RPS, abs=1e-6)
        assert (linear.z, angular.x, angular.y) == pytest.approx((0, 0, 0), abs=1e-9)


def test_static_transforms_put_a_point_ahead_of_each_camera_into_its_middle(bag: dict[str, list[Message]]) -> None:
    (message,) = bag["/tf_static"]
    mountings = {part.child_frame_id: part for part in message.content.transforms}
    assert set(mountings) == {camera.lower() for camera in CAMERAS} | {"lidar_top"}
    assert {part.header.frame_id for part in mountings.values()} == {"base_link"}
    for camera, yaw_deg in (("cam_front", 0), ("cam_back_right", -120), ("cam_front_left", 60)):
        base_T_camera = matrix(mountings[camera].transform)
        direction = np.array([math.cos(math.radians(yaw_deg)), math.sin(math.radians(yaw_deg)), 0.0])
        ahead = base_T_camera[:3, 3] + 10 * direction
        intrinsics = bag[f"/{camera}/camera_info"][0].content.k.reshape(3, 3)
        pixel, depth = project(transform_points(np.linalg.inv(base_T_camera), ahead[None]), intrinsics)
        np.testing.assert_allclose(pixel[0], [159.5, 89.5], atol=1e-6)
        assert depth[0] == pytest.approx(10.0)


def test_lidar_points_are_the_files(
    bag: dict[str, list[Message]], rows: list[dict[str, Any]], tiny_dataroot: Path
) -> None:
    expected = sorted((row["timestamp"] * 1000, row["filename"]) for row in rows if row["channel"] == "LIDAR_TOP")
    clouds = bag["/lidar_top"]
    assert [cloud.stamp_ns for cloud in clouds] == [stamp for stamp, _ in expected]
    for cloud, (_, filename) in zip(clouds, expected, strict=True):
        layout = [(part.name, part.offset, part.datatype, part.count) for part in cloud.content.fields]
        assert layout == [("x", 0, 7, 1), ("y", 4, 7, 1), ("z", 8, 7, 1), ("intensity", 12, 7, 1), ("ring", 16, 7, 1)]
        assert (cloud.content.width, cloud.content.height) == (LIDAR_POINTS, 1)
        assert cloud.content.row_step == cloud.content.width * cloud.content.point_step
        points = cloud.content.data.view(np.float32).reshape(LIDAR_POINTS, 5)
        np.testing.assert_array_equal(points, np.fromfile(tiny_dataroot / filename, np.float32).reshape(-1, 5))


def test_annotations_are_cubes_in_the_map_with_lasting_ids(bag: dict[str, list[Message]]) -> None:
    keyframes = bag["/markers/annotations"]
    assert [seconds_of(message.log_ns) for message in keyframes] == [0.0, 0.5, 1.0, 1.5]
    x0, y0, _ = ego_pose(0.0)
    ids: dict[str, set[int]] = defaultdict(set)
    for message in keyframes:
        markers = message.content.markers
        assert len({marker.id for marker in markers}) == len(OBJECTS)
        for marker, known in zip(markers, OBJECTS, strict=True):
            assert (marker.type, marker.action, marker.ns) == (marker.CUBE, marker.ADD, known.category)
            assert marker.header.frame_id == "map"
            width, length, height = known.size_wlh
            assert (marker.scale.x, marker.scale.y, marker.scale.z) == (length, width, height)
            time_s = seconds_of(message.log_ns)
            expected = [
                x0 + known.ahead_m + known.velocity_mps[0] * time_s,
                y0 + known.left_m + known.velocity_mps[1] * time_s,
                height / 2,
            ]
            map_T_box = matrix(marker.pose)
            np.testing.assert_allclose(map_T_box[:3, 3], expected)
            assert yaw_of(map_T_box[:3, :3]) == pytest.approx(0.3)
            assert 0.5 <= marker.lifetime.sec + marker.lifetime.nanosec / 1e9 < 1.0
            assert 0 < marker.color.a <= 1
            ids[known.name] |= {marker.id}
    assert all(len(found) == 1 for found in ids.values())
    colors = {(m.color.r, m.color.g, m.color.b) for m in keyframes[0].content.markers}
    assert len(colors) == len(OBJECTS)


def test_drivable_area_is_the_ring_road(bag: dict[str, list[Message]]) -> None:
    (message,) = bag["/drivable_area"]
    grid = message.content
    assert grid.header.frame_id == "map"
    data = grid.data.reshape(grid.info.height, grid.info.width)
    column, row = np.meshgrid(np.arange(grid.info.width), np.arange(grid.info.height))
    x = grid.info.origin.position.x + (column + 0.5) * grid.info.resolution
    y = grid.info.origin.position.y + (row + 0.5) * grid.info.resolution
    from_middle_of_road = np.abs(np.hypot(x - CIRCLE_CENTER[0], y - CIRCLE_CENTER[1]) - RADIUS_M)
    clear = np.abs(from_middle_of_road - ROAD_HALF_WIDTH_M) > 0.05  # the road's outline is a polygon of 72 corners
    np.testing.assert_array_equal(data[clear], np.where(from_middle_of_road < ROAD_HALF_WIDTH_M, 0, 100)[clear])
    for stamp in (0.0, 1.5):  # the ego's path and 60 m around it
        ego_x, ego_y, _ = ego_pose(stamp)
        assert x.min() < ego_x - 59 < ego_x + 59 < x.max()
        assert y.min() < ego_y - 59 < ego_y + 59 < y.max()
