"""nuScenes-format dataset -> rosbag2: what is in the bag, against the tables, the files and the analytic course."""

from __future__ import annotations

import json
import math
import shutil
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from nuscenes.nuscenes import NuScenes
from rosbags.highlevel import AnyReader
from rosbags.interfaces import QosDurability, QosReliability
from tiny_nuscenes import (
    CIRCLE_CENTER,
    LIDAR_POINTS,
    LOCATION,
    OBJECTS,
    RADIUS_M,
    ROAD_HALF_WIDTH_M,
    SPEED_MPS,
    VERSION,
    YAW_RATE_RPS,
    ego_pose,
    scene_start_us,
    write_tiny_nuscenes,
)

from tinybev.cli import run_command
from tinybev.errors import UserError
from tinybev.geometry import Array, project, transform_from, transform_points, yaw_of
from tinybev.types import CAMERAS
from tinybev_ros import nuscenes2bag, topics
from tinybev_ros.bag_writer import BagFormat
from tinybev_ros.nuscenes2bag import convert_scene
from tinybev_ros.nuscenes_dataset import open_dataset

SCENE_INDEX, SCENE = 1, "tiny-0002"
COMMAND = "tinybev_ros.nuscenes2bag"


@dataclass(frozen=True)
class Message:
    """A message of a bag with its log time."""

    log_ns: int
    content: Any

    @property
    def stamp_ns(self) -> int:
        stamp = self.content.header.stamp
        return int(stamp.sec * 10**9 + stamp.nanosec)


def read_bag(path: Path) -> dict[str, list[Message]]:
    """All messages of a bag by topic, deserialized with the definitions that the bag itself carries."""
    found: dict[str, list[Message]] = defaultdict(list)
    with AnyReader([path]) as reader:
        for connection, log_ns, data in reader.messages():
            found[connection.topic].append(Message(log_ns, reader.deserialize(data, connection.msgtype)))
    return found


def matrix(transform: Any) -> Array:
    """The matrix of a geometry_msgs Transform or Pose."""
    pose = hasattr(transform, "position")
    rotation = transform.orientation if pose else transform.rotation
    translation = transform.position if pose else transform.translation
    return transform_from(
        [rotation.x, rotation.y, rotation.z, rotation.w], [translation.x, translation.y, translation.z]
    )


def edit_table(root: Path, table: str, edit: Callable[[list[dict[str, Any]]], list[dict[str, Any]]]) -> None:
    path = root / VERSION / f"{table}.json"
    path.write_text(json.dumps(edit(json.loads(path.read_text()))))


@pytest.fixture(scope="module")
def tiny_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_nuscenes(tmp_path_factory.mktemp("nuscenes"))


@pytest.fixture(scope="module")
def nusc(tiny_root: Path) -> NuScenes:
    return open_dataset(tiny_root, VERSION)


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


@pytest.fixture
def root(tmp_path: Path, tiny_root: Path) -> Path:
    """A copy of the dataset that a test may damage."""
    return Path(shutil.copytree(tiny_root, tmp_path / "nuscenes"))


def seconds_of(stamp_ns: int) -> float:
    """Time on the analytic course."""
    return (stamp_ns / 1000 - scene_start_us(SCENE_INDEX)) / 1e6


@pytest.mark.parametrize("camera", CAMERAS)
def test_every_picture_is_there_byte_for_byte_with_its_own_stamp(
    bag: dict[str, list[Message]], rows: list[dict[str, Any]], tiny_root: Path, camera: str
) -> None:
    expected = sorted((row["timestamp"] * 1000, row["filename"]) for row in rows if row["channel"] == camera)
    pictures = bag[f"/{camera.lower()}/image_rect_compressed"]
    assert len(expected) > 4  # sweeps too
    assert [picture.stamp_ns for picture in pictures] == [stamp for stamp, _ in expected]
    for picture, (_, filename) in zip(pictures, expected, strict=True):
        assert picture.content.data.tobytes() == (tiny_root / filename).read_bytes()
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


def test_sensors_that_fire_together_give_one_transform(root: Path, tmp_path: Path) -> None:
    def together(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
        for record in records:
            record["timestamp"] += 500 if "/CAM_BACK_LEFT/" in record["filename"] else 0
        return records

    edit_table(root, "sample_data", together)
    nusc = open_dataset(root, VERSION)
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


def test_lidar_points_are_the_files(bag: dict[str, list[Message]], rows: list[dict[str, Any]], tiny_root: Path) -> None:
    expected = sorted((row["timestamp"] * 1000, row["filename"]) for row in rows if row["channel"] == "LIDAR_TOP")
    clouds = bag["/lidar_top"]
    assert [cloud.stamp_ns for cloud in clouds] == [stamp for stamp, _ in expected]
    for cloud, (_, filename) in zip(clouds, expected, strict=True):
        layout = [(part.name, part.offset, part.datatype, part.count) for part in cloud.content.fields]
        assert layout == [("x", 0, 7, 1), ("y", 4, 7, 1), ("z", 8, 7, 1), ("intensity", 12, 7, 1), ("ring", 16, 7, 1)]
        assert (cloud.content.width, cloud.content.height) == (LIDAR_POINTS, 1)
        assert cloud.content.row_step == cloud.content.width * cloud.content.point_step
        points = cloud.content.data.view(np.float32).reshape(LIDAR_POINTS, 5)
        np.testing.assert_array_equal(points, np.fromfile(tiny_root / filename, np.float32).reshape(-1, 5))


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


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
@pytest.mark.parametrize("version", [9, 8])
def test_metadata_is_what_rosbag2_reads(nusc: NuScenes, tmp_path: Path, storage: Any, version: Any) -> None:
    out = tmp_path / "one"
    report = convert_scene(nusc, SCENE, out, BagFormat(storage, version))
    information = yaml.safe_load((out / "metadata.yaml").read_text())["rosbag2_bagfile_information"]
    file = "one.mcap" if storage == "mcap" else "one.db3"
    assert (information["version"], information["storage_identifier"]) == (version, storage)
    assert information["relative_file_paths"] == [file]
    assert sorted(path.name for path in out.iterdir()) == sorted(["metadata.yaml", file])
    assert (information["compression_format"], information["compression_mode"]) == ("", "")
    found = read_bag(out)
    log_times = [message.log_ns for messages in found.values() for message in messages]
    assert information["message_count"] == len(log_times) == report.messages.total()
    assert information["starting_time"]["nanoseconds_since_epoch"] == min(log_times)
    assert information["duration"]["nanoseconds"] == max(log_times) - min(log_times)
    by_topic = {entry["topic_metadata"]["name"]: entry for entry in information["topics_with_message_count"]}
    assert {topic: entry["message_count"] for topic, entry in by_topic.items()} == dict(report.messages)
    for topic, entry in by_topic.items():
        metadata = entry["topic_metadata"]
        assert metadata["serialization_format"] == "cdr"
        assert metadata["type_description_hash"].startswith("RIHS01_")
        profiles = metadata["offered_qos_profiles"]
        # Up to version 8 the profiles are text within the text, with rmw's numbers; from 9 on a list with names.
        (profile,) = yaml.safe_load(profiles) if version == 8 else profiles
        latched = topic in ("/tf_static", "/drivable_area")
        if version == 8:
            assert profile["durability"] == (QosDurability.TRANSIENT_LOCAL if latched else QosDurability.VOLATILE).value
            assert profile["reliability"] == QosReliability.RELIABLE.value
        else:
            assert profile["durability"] == ("transient_local" if latched else "volatile")
            assert (profile["reliability"], profile["history"]) == ("reliable", "keep_last")


def test_absent_and_damaged_files_are_counted_and_the_rest_is_written(root: Path, tmp_path: Path) -> None:
    pictures = sorted((root / "sweeps" / "CAM_BACK").glob(f"{SCENE}__*"))
    pictures[0].unlink()
    pictures[1].write_bytes(b"")
    cloud = next((root / "sweeps" / "LIDAR_TOP").glob(f"{SCENE}__*"))
    cloud.write_bytes(cloud.read_bytes()[:-7])
    report = convert_scene(open_dataset(root, VERSION), SCENE, tmp_path / "bag")
    named = report.named_files["CAM_BACK"]
    assert dict(report.absent_files) == {"CAM_BACK": 2}
    assert dict(report.damaged_files) == {"LIDAR_TOP": 1}
    assert report.messages["/cam_back/image_rect_compressed"] == named - 2
    assert report.messages["/cam_back/camera_info"] == named - 2
    assert report.messages["/lidar_top"] == report.named_files["LIDAR_TOP"] - 1
    assert report.messages["/cam_front/image_rect_compressed"] == report.named_files["CAM_FRONT"] == named
    text = "\n".join(report.lines())
    assert text.count("CAM_BACK:") == 1
    assert f"2 of the {named} files" in text


def test_a_scene_without_any_file_still_gives_its_motion_and_boxes(root: Path, tmp_path: Path) -> None:
    for folder in ("samples", "sweeps"):
        shutil.rmtree(root / folder)
    report = convert_scene(open_dataset(root, VERSION), SCENE, tmp_path / "bag")
    assert set(read_bag(tmp_path / "bag")) == {"/tf", "/tf_static", "/odom", "/markers/annotations", "/drivable_area"}
    assert report.absent_files == report.named_files
    assert "none of its pictures is on the disk" in "\n".join(report.lines())


def test_nothing_left_at_all_is_refused(root: Path, tmp_path: Path) -> None:
    edit_table(root, "sample_data", lambda _: [])
    with pytest.raises(UserError, match="no sensor data"):
        convert_scene(open_dataset(root, VERSION), SCENE, tmp_path / "bag")
    assert list(tmp_path.glob("*bag*")) == []


def remove_expansion(root: Path) -> None:
    (root / "maps" / "expansion" / f"{LOCATION}.json").unlink()


def cut_expansion(root: Path) -> None:
    path = root / "maps" / "expansion" / f"{LOCATION}.json"
    path.write_text(path.read_text()[:1000])


def move_to_another_city(root: Path) -> None:
    edit_table(root, "log", lambda logs: [{**log, "location": "atlantis"} for log in logs])


@pytest.mark.parametrize(
    ("damage", "reason"),
    [(remove_expansion, "is absent"), (cut_expansion, "cannot be read"), (move_to_another_city, "'atlantis'")],
)
def test_without_a_map_the_report_says_why(
    root: Path, tmp_path: Path, damage: Callable[[Path], None], reason: str
) -> None:
    damage(root)
    report = convert_scene(open_dataset(root, VERSION), SCENE, tmp_path / "bag")
    assert reason in str(report.no_drivable_area)
    assert "/drivable_area" in "\n".join(report.lines())
    assert "/drivable_area" not in report.messages
    assert report.messages["/cam_front/camera_info"] > 0


@pytest.mark.parametrize("overwrite", [False, True])
def test_an_interrupted_run_leaves_what_was_there_before(
    nusc: NuScenes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, overwrite: bool
) -> None:
    out = tmp_path / "bag"
    if overwrite:
        convert_scene(nusc, "tiny-0001", out)
    before = {path.name: path.read_bytes() for path in out.glob("*")}
    original = nuscenes2bag.messages.odometry
    calls = iter(range(50))

    def interrupted(*args: Any) -> Any:
        assert {path.name: path.read_bytes() for path in out.glob("*")} == before  # not yet touched
        if next(calls, None) is None:
            raise KeyboardInterrupt
        return original(*args)

    monkeypatch.setattr(nuscenes2bag.messages, "odometry", interrupted)
    with pytest.raises(KeyboardInterrupt):
        convert_scene(nusc, SCENE, out, overwrite=overwrite)
    assert {path.name: path.read_bytes() for path in out.glob("*")} == before
    assert [path for path in tmp_path.iterdir() if path != out] == []


def test_what_a_killed_run_left_is_cleared(nusc: NuScenes, tmp_path: Path) -> None:
    stale = tmp_path / f".{SCENE}.partial" / SCENE
    stale.mkdir(parents=True)
    (stale / f"{SCENE}.mcap").write_bytes(b"half a bag")
    convert_scene(nusc, SCENE, tmp_path / SCENE)
    assert [path.name for path in tmp_path.iterdir()] == [SCENE]


def run_bag_command(*arguments: object) -> int:
    return run_command(COMMAND, [str(argument) for argument in arguments], "tinybev bag")


def test_command_converts_all_scenes_and_keeps_existing_bags(
    tiny_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ("--dataroot", tiny_root, "--out", tmp_path)
    assert run_bag_command(*arguments, "--scene", "tiny-0001") == 0
    content = (tmp_path / "tiny-0001" / "tiny-0001.mcap").read_bytes()
    assert run_bag_command(*arguments) == 2
    assert "exists already" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["tiny-0001"]
    assert (tmp_path / "tiny-0001" / "tiny-0001.mcap").read_bytes() == content
    assert run_bag_command(*arguments, "--overwrite", "--storage", "sqlite3") == 0
    assert sorted(path.name for path in (tmp_path / "tiny-0001").iterdir()) == ["metadata.yaml", "tiny-0001.db3"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["tiny-0001", "tiny-0002"]


def test_overwrite_spares_what_is_no_bag(tiny_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    precious = tmp_path / SCENE / "thesis.tex"
    precious.parent.mkdir()
    precious.write_text("years of work")
    assert run_bag_command("--dataroot", tiny_root, "--scene", SCENE, "--out", tmp_path, "--overwrite") == 2
    assert "is not a bag" in capsys.readouterr().err
    assert precious.read_text() == "years of work"


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        pytest.param({"--dataroot": "nowhere"}, "nowhere does not exist", id="dataroot"),
        pytest.param({"--version": "v1.0-trainval"}, f"it holds {VERSION}", id="version"),
        pytest.param({"--scene": "scene-9999"}, "it has tiny-0001, tiny-0002", id="scene"),
    ],
)
def test_wrong_input_is_one_sentence_that_names_what_exists(
    tiny_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], wrong: dict[str, str], sentence: str
) -> None:
    arguments = {"--dataroot": str(tiny_root), "--out": str(tmp_path / "out"), **wrong}
    assert run_bag_command(*[part for pair in arguments.items() for part in pair]) == 2
    error = capsys.readouterr().err
    assert sentence in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("table", ["sample_data", "ego_pose"])
def test_a_cut_table_is_one_sentence(root: Path, table: str) -> None:
    path = root / VERSION / f"{table}.json"
    path.write_text(path.read_text()[:500])
    with pytest.raises(UserError, match="cannot be loaded"):
        open_dataset(root, VERSION)


def test_real_scene_with_one_keyframe_on_disk(nuscenes_dataroot: Path, tmp_path: Path) -> None:
    nusc = open_dataset(nuscenes_dataroot, "v1.0-mini")
    report = convert_scene(nusc, "scene-0061", tmp_path / "scene-0061")
    found = read_bag(tmp_path / "scene-0061")
    sample = nusc.get("sample", "ca9a282c9e77460f8360f564131a8af5")
    on_disk = {camera: nusc.get("sample_data", sample["data"][camera]) for camera in CAMERAS}
    for camera, record in on_disk.items():
        pictures = {p.stamp_ns: p.content.data.tobytes() for p in found[topics.camera_image_topic(camera)]}
        file = nuscenes_dataroot / record["filename"]
        assert pictures[record["timestamp"] * 1000] == file.read_bytes()
        assert len(pictures) == report.named_files[camera] - report.absent_files[camera]
    boxes = found["/markers/annotations"][0].content.markers
    assert len(boxes) == len(sample["anns"])


def test_real_scene_without_pictures(nuscenes_dataroot: Path, tmp_path: Path) -> None:
    nusc = open_dataset(nuscenes_dataroot, "v1.0-mini")
    report = convert_scene(nusc, "scene-0103", tmp_path / "bag")
    poses = read_bag(tmp_path / "bag")["/odom"]
    speeds = np.array([message.content.twist.twist.linear.x for message in poses])
    assert report.messages["/odom"] == report.messages["/tf"] > 1000
    # A car in town: its speed is smooth although its poses come within a millisecond of each other.
    assert 0 < speeds.min() < speeds.max() < 12
    assert np.abs(np.diff(speeds)).max() < 0.5
