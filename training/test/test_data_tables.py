"""From files on disk to samples, on a generated dataset whose course is known."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
import tiny_nuscenes
from tiny_nuscenes import CAMERA_BEFORE_LIDAR_US, OBJECTS, SPEED_MPS, VERSION, YAW_RATE_RPS, ego_pose, scene_start_us
from tinybev_training.data.dataset import open_dataset
from tinybev_training.data.tables import open_tables, scenes_of_split
from tinybev_training.data.targets import TargetGrids

from tinybev.errors import UserError
from tinybev.geometry import BevGrid, project, quaternion_from_yaw, transform_from, transform_points
from tinybev.types import ATTRIBUTES, CAMERAS, DETECTION_CLASSES, Command, MapClass

NEWEST = "CAM_BACK_LEFT"


def map_T_base(seconds: float) -> np.ndarray:
    x, y, yaw = ego_pose(seconds)
    return transform_from(quaternion_from_yaw(yaw), (x, y, 0.0))


def test_samples_come_scene_by_scene_in_time_order(tiny_dataroot: Path) -> None:
    dataset = open_dataset(tiny_dataroot, VERSION)
    assert len(dataset) == 2 * 16
    samples = [dataset[index] for index in (0, 1, 16)]
    assert [sample.scene for sample in samples] == ["tiny-0001", "tiny-0001", "tiny-0002"]
    assert samples[1].frame.stamp_ns - samples[0].frame.stamp_ns == 500_000_000
    assert str(dataset.absences) == ""


def test_frame_is_at_the_newest_image_with_each_cameras_own_pose(tiny_dataroot: Path) -> None:
    frame = open_dataset(tiny_dataroot, VERSION, scenes=["tiny-0002"])[3].frame
    at_s = 1.5 - CAMERA_BEFORE_LIDAR_US[NEWEST] / 1e6
    assert frame.stamp_ns == round((scene_start_us(1) / 1e6 + at_s) * 1e6) * 1000
    np.testing.assert_allclose(frame.map_T_base, map_T_base(at_s), atol=1e-9)
    assert tuple(frame.images) == CAMERAS
    for camera, image in frame.images.items():
        shot_s = 1.5 - CAMERA_BEFORE_LIDAR_US[camera] / 1e6
        np.testing.assert_allclose(image.map_T_base, map_T_base(shot_s), atol=1e-9)
        assert image.image[:2] == b"\xff\xd8"


def test_boxes_are_where_the_course_says_in_base_link_at_the_frames_stamp(tiny_dataroot: Path) -> None:
    sample = open_dataset(tiny_dataroot, VERSION)[4]
    boxes = sample.agents.boxes
    base_T_map = np.linalg.inv(map_T_base(2.0 - CAMERA_BEFORE_LIDAR_US[NEWEST] / 1e6))
    x0, y0, _ = ego_pose(0.0)
    for row, thing in enumerate(OBJECTS):
        velocity = np.array(thing.velocity_mps)
        position = np.array([x0 + thing.ahead_m, y0 + thing.left_m]) + 2.0 * velocity
        expected = transform_points(base_T_map, np.array([[*position, thing.size_wlh[2] / 2]]))[0]
        np.testing.assert_allclose(boxes.centers[row], expected, atol=1e-4)
        np.testing.assert_allclose(boxes.velocities[row], base_T_map[:2, :2] @ velocity, atol=1e-3)
        width, length, height = thing.size_wlh
        np.testing.assert_allclose(boxes.sizes[row], [length, width, height])
        assert boxes.yaws[row] == pytest.approx(0.3 - YAW_RATE_RPS * 2.0, abs=1e-3)
        future = transform_points(base_T_map, np.array([[*(position + 3.0 * velocity), 0.0]]))[0, :2]
        np.testing.assert_allclose(sample.agents.futures[row, 5], future, atol=1e-3)
    assert [DETECTION_CLASSES[i] for i in boxes.class_ids] == ["car", "pedestrian", "traffic_cone"]
    assert [ATTRIBUTES[i] if i >= 0 else None for i in boxes.attribute_ids] == [
        "vehicle.parked",
        "pedestrian.moving",
        None,
    ]
    assert sample.agents.lidar_points.tolist() == [5, 5, 5]
    assert boxes.track_ids.tolist() == [1, 2, 3]


def test_track_ids_are_the_same_all_along_a_scene(tiny_dataroot: Path) -> None:
    dataset = open_dataset(tiny_dataroot, VERSION, scenes=["tiny-0001"])
    for index in range(len(dataset)):
        boxes = dataset[index].agents.boxes
        assert boxes.class_ids[boxes.track_ids == 2].tolist() == [DETECTION_CLASSES.index("pedestrian")]


def test_ego_drives_a_left_hand_circle(tiny_dataroot: Path) -> None:
    sample = open_dataset(tiny_dataroot, VERSION)[4]
    assert sample.frame.goal.command == Command.LEFT
    assert sample.ego is not None
    assert sample.ego.speed_mps == pytest.approx(SPEED_MPS, abs=0.01)
    assert sample.ego.yaw_rate_rps == pytest.approx(YAW_RATE_RPS, abs=1e-4)
    assert sample.plan.yaws[-1] == pytest.approx(3.0 * YAW_RATE_RPS, abs=1e-3)
    radius = SPEED_MPS / YAW_RATE_RPS
    point = sample.frame.goal.point
    assert point is not None
    assert math.hypot(point[0], point[1] - radius) == pytest.approx(radius, abs=0.02)


def test_the_ring_road_is_under_the_ego_and_ten_metres_wide(tiny_dataroot: Path) -> None:
    grid = BevGrid((-20.0, 20.0, 0.2), (-20.0, 20.0, 0.2))
    targets = open_dataset(tiny_dataroot, VERSION, grids=TargetGrids(map=grid))[0].map
    across = targets.masks[MapClass.DRIVABLE][100]  # the row through the ego, from right to left
    assert across[75:125].all()
    assert across[60:140].sum() == pytest.approx(50, abs=1)
    assert targets.valid.tolist() == [False, False, True, True]


def test_lidar_is_in_base_link_at_the_frames_stamp(tiny_dataroot: Path) -> None:
    sample = open_dataset(tiny_dataroot, VERSION)[2]
    points = sample.lidar_points
    assert points.shape == (tiny_nuscenes.LIDAR_POINTS, 5)
    # A ring of 10 m around the lidar, which is 1 m ahead of base_link and has moved on by half a millisecond.
    moved = SPEED_MPS * CAMERA_BEFORE_LIDAR_US[NEWEST] / 1e6
    np.testing.assert_allclose(np.hypot(points[:, 0] - 1.0 - moved, points[:, 1]), 10.0, atol=1e-3)
    np.testing.assert_allclose(points[:, 2], 0.0, atol=1e-5)


def test_a_box_projects_into_the_camera_through_both_ego_poses(tiny_dataroot: Path) -> None:
    """From base_link at the frame's stamp, over the map, into the camera at its own stamp: the map point's pixel."""
    frame = open_dataset(tiny_dataroot, VERSION)[4].frame
    camera = frame.images["CAM_FRONT_LEFT"]
    assert camera.map_T_base is not None
    assert frame.map_T_base is not None
    in_map = np.array([[430.0, 975.0, 1.0]])
    in_base = transform_points(np.linalg.inv(frame.map_T_base), in_map)
    through_base = transform_points(np.linalg.inv(camera.map_T_base @ camera.base_T_camera) @ frame.map_T_base, in_base)
    direct = transform_points(np.linalg.inv(camera.map_T_base @ camera.base_T_camera), in_map)
    np.testing.assert_allclose(project(through_base, camera.intrinsics)[0], project(direct, camera.intrinsics)[0])


@pytest.fixture
def damaged(tiny_dataroot: Path, tmp_path: Path) -> Path:
    """A copy that may be taken apart."""
    return Path(shutil.copytree(tiny_dataroot, tmp_path / "damaged"))


def test_what_is_absent_is_skipped_and_counted(damaged: Path) -> None:
    for image in (damaged / "samples" / "CAM_FRONT").iterdir():
        image.unlink()
    for channel in CAMERAS[1:]:
        min((damaged / "samples" / channel).glob("tiny-0001*")).unlink()
    for sweep in (damaged / "samples" / "LIDAR_TOP").glob("tiny-0002*"):
        sweep.unlink()
    (damaged / "maps" / "expansion" / f"{tiny_nuscenes.LOCATION}.json").unlink()
    dataset = open_dataset(damaged, VERSION)
    assert len(dataset) == 31  # the first keyframe of tiny-0001 has no image left
    assert str(dataset.absences) == (
        "absent and skipped: 1 keyframes without any image, 31 further images, 16 lidar sweeps, the map of "
        f"{tiny_nuscenes.LOCATION}."
    )
    sample = dataset[20]
    assert sample.frame.missing == ("CAM_FRONT",)
    assert len(sample.lidar_points) == 0
    assert not sample.map.valid.any()
    assert len(sample.agents.boxes) == 3


def test_the_stamp_is_that_of_the_newest_image_at_hand(damaged: Path) -> None:
    for image in (damaged / "samples" / NEWEST).iterdir():
        image.unlink()
    frame = open_dataset(damaged, VERSION)[0].frame
    assert frame.stamp_ns == frame.images["CAM_BACK"].stamp_ns
    np.testing.assert_allclose(frame.map_T_base, frame.images["CAM_BACK"].map_T_base)


def test_keyframes_without_images_can_be_kept(damaged: Path) -> None:
    shutil.rmtree(damaged / "samples")
    with pytest.raises(UserError, match=r"nothing is left to read .* 32 keyframes without any image"):
        open_dataset(damaged, VERSION)
    dataset = open_dataset(damaged, VERSION, keep_imageless=True)
    assert len(dataset) == 32
    assert not dataset[0].frame.images
    assert len(dataset[0].agents.boxes) == 3


def test_named_splits_and_those_of_splits_json(damaged: Path) -> None:
    (damaged / VERSION / "splits.json").write_text(json.dumps({"my_val": ["tiny-0002", "tiny-0009"]}))
    dataset = open_dataset(damaged, VERSION, split="my_val")
    assert {where.scene.name for where in dataset.keyframes} == {"tiny-0002"}
    assert str(dataset.absences) == "absent and skipped: 1 scenes of the split."
    assert "scene-0061" in scenes_of_split(open_tables(damaged, VERSION), "mini_train")
    with pytest.raises(UserError, match="got 'my_train'"):
        open_dataset(damaged, VERSION, split="my_train")
    with pytest.raises(UserError, match="nothing is left to read"):
        open_dataset(damaged, VERSION, split="mini_val")


def test_errors_are_one_sentence(damaged: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="expected a nuScenes-format dataset"):
        open_dataset(tmp_path / "nowhere", VERSION)
    with pytest.raises(UserError, match=r"the versions there are: v1\.0-mini"):
        open_dataset(damaged, "v1.0-trainval")
    with pytest.raises(UserError, match=r"expected a scene .* got 'scene-9999'; it has tiny-0001, tiny-0002"):
        open_dataset(damaged, VERSION, scenes=["scene-9999"])
    sweep = next((damaged / "samples" / "LIDAR_TOP").glob("tiny-0001*"))
    sweep.write_bytes(sweep.read_bytes()[:-3])
    dataset = open_dataset(damaged, VERSION)
    broken = next(index for index, where in enumerate(dataset.keyframes) if where.keyframe.lidar.path == sweep)
    with pytest.raises(UserError, match="expected points of 5 float32 numbers"):
        dataset[broken]
    (damaged / VERSION / "ego_pose.json").write_text("[{")
    with pytest.raises(UserError, match="cannot be loaded"):
        open_dataset(damaged, VERSION)
