"""Real nuScenes: what has to be true of any of its samples."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from nuscenes.nuscenes import NuScenes
from pyquaternion import Quaternion
from tinybev_training.data.camera_inputs import camera_inputs
from tinybev_training.data.dataset import NuScenesDataset, open_dataset
from tinybev_training.data.occupancy import OCCUPYING_IDS

from tinybev.geometry import project, transform_points, wrap_angle
from tinybev.types import CAMERAS, Command, MapClass


@pytest.fixture(scope="module")
def mini_val(nuscenes_dataroot: Path) -> NuScenesDataset:
    """Scenes whose poses, calibrations and boxes are nuScenes' own, whether their images are at hand or not."""
    return open_dataset(nuscenes_dataroot, "v1.0-mini", scenes=["scene-0103", "scene-0916"], keep_imageless=True)


@pytest.fixture(scope="module")
def nusc(nuscenes_dataroot: Path) -> NuScenes:
    return NuScenes("v1.0-mini", str(nuscenes_dataroot), verbose=False)


def test_boxes_sent_back_to_the_map_are_the_annotations(mini_val: NuScenesDataset, nusc: NuScenes) -> None:
    for index in range(0, len(mini_val), 13):
        sample = mini_val[index]
        boxes, pose = sample.agents.boxes, sample.frame.map_T_base
        assert pose is not None
        found = transform_points(pose, boxes.centers)
        annotated = [nusc.get("sample_annotation", token) for token in nusc.get("sample", sample.token)["anns"]]
        centers = np.array([record["translation"] for record in annotated])
        assert len(boxes) > 10
        for n in range(len(boxes)):
            distances = np.linalg.norm(centers - found[n], axis=1)
            assert distances.min() < 1e-4
            record = annotated[distances.argmin()]
            width, length, height = record["size"]
            np.testing.assert_allclose(boxes.sizes[n], [length, width, height], rtol=1e-6)
            heading = Quaternion(record["rotation"]).rotation_matrix[:, 0]
            in_map = pose[:3, :3] @ [np.cos(boxes.yaws[n]), np.sin(boxes.yaws[n]), 0]
            turn = np.arctan2(in_map[1], in_map[0]) - np.arctan2(heading[1], heading[0])
            assert abs(np.degrees(wrap_angle(turn))) < 0.2  # base_link leans by up to 3 degrees


def test_velocities_agree_with_the_futures(mini_val: NuScenesDataset) -> None:
    errors = []
    for index in range(len(mini_val)):
        agents = mini_val[index].agents
        known = agents.futures_valid[:, 0] & np.isfinite(agents.boxes.velocities).all(axis=1)
        step = agents.futures[known, 0] - agents.boxes.centers[known, :2]
        errors.append(np.linalg.norm(step / 0.5 - agents.boxes.velocities[known], axis=1))
    error = np.concatenate(errors)
    assert len(error) > 1000
    # The devkit's velocity spans two keyframes, the step one, and keyframes are 0.40 to 0.60 s apart.
    assert np.median(error) < 0.2
    assert np.quantile(error, 0.95) < 1.5


def test_plan_agrees_with_the_ego_status(mini_val: NuScenesDataset) -> None:
    differences = []
    for where, index in zip(mini_val.keyframes, range(len(mini_val)), strict=True):
        sample = mini_val[index]
        if sample.ego is None or not sample.plan.valid[0]:
            continue
        seconds = (where.scene.keyframes[where.number + 1].lidar.stamp_ns - sample.frame.stamp_ns) / 1e9
        differences.append(sample.plan.positions[0, 0] / seconds - sample.ego.speed_mps)
        assert abs(sample.plan.positions[0, 1]) < 1.0
    assert len(differences) > 70
    # The one is the mean of the next half second, the other that of the last quarter: they differ by braking only.
    assert np.abs(differences).max() < 0.4 * 5.0
    assert np.median(np.abs(differences)) < 0.4


def test_occupied_cells_are_the_vehicles(mini_val: NuScenesDataset) -> None:

    for index in range(0, len(mini_val), 9):
        sample = mini_val[index]
        boxes, occupancy = sample.agents.boxes, sample.occupancy
        inside = (np.abs(boxes.centers[:, :2]) < 49).all(axis=1)
        vehicle = np.isin(boxes.class_ids, OCCUPYING_IDS)
        rows, columns = np.floor(occupancy.grid.metric_to_cell(boxes.centers[inside & vehicle, :2])).astype(int).T
        np.testing.assert_array_equal(occupancy.instances[0, rows, columns], boxes.track_ids[inside & vehicle])
        area = np.prod(boxes.sizes[inside & vehicle, :2], axis=1).sum()
        assert (occupancy.instances[0] > 0).sum() * 0.25 == pytest.approx(area, rel=0.25, abs=3.0)


def test_the_ego_drives_on_the_road(mini_val: NuScenesDataset) -> None:
    for index in range(0, len(mini_val), 5):
        sample = mini_val[index]
        if not sample.map.valid[MapClass.DRIVABLE]:
            continue
        path = sample.plan.positions[sample.plan.valid]
        rows, columns = np.floor(sample.map.grid.metric_to_cell(path)).astype(int).T
        assert sample.map.masks[MapClass.DRIVABLE][rows, columns].all()


def test_the_first_real_keyframe_projects_as_the_devkit_does(nuscenes_dataroot: Path, nusc: NuScenes) -> None:
    """The network's matrices against the devkit's chain of ego poses, for every box in front of every camera."""
    dataset = open_dataset(nuscenes_dataroot, "v1.0-mini", scenes=["scene-0061"])
    sample = dataset[0]
    assert sample.frame.missing == ()
    assert sample.frame.stamp_ns == max(image.stamp_ns for image in sample.frame.images.values())
    assert sample.frame.goal.command == Command.FORWARD
    inputs = camera_inputs(sample.frame, (900, 1600))  # full size: the devkit's pixels
    compared = 0
    for n, camera in enumerate(CAMERAS):
        _, devkit_boxes, intrinsics = nusc.get_sample_data(nusc.get("sample", sample.token)["data"][camera])
        centers = {tuple(np.round(box.wlh[[1, 0, 2]], 3)): box.center for box in devkit_boxes}
        camera_T_base = np.linalg.inv(inputs.base_T_camera_N44[n])
        boxes = sample.agents.boxes
        for row in range(len(boxes)):
            key = tuple(np.round(boxes.sizes[row].astype(np.float64), 3))
            if key not in centers:
                continue
            ours, depth = project(transform_points(camera_T_base, boxes.centers[row][None]), inputs.intrinsics_N33[n])
            if depth[0] < 1:
                continue
            theirs, _ = project(centers[key][None], intrinsics)
            if np.linalg.norm(ours - theirs) < 20:  # sizes are not unique
                np.testing.assert_allclose(ours, theirs, atol=0.1)
                compared += 1
    assert compared >= 15


def test_lidar_points_fill_the_boxes_of_the_first_real_keyframe(nuscenes_dataroot: Path) -> None:
    sample = open_dataset(nuscenes_dataroot, "v1.0-mini", scenes=["scene-0061"])[0]
    boxes = sample.agents.boxes
    filled = 0
    for n in np.flatnonzero(np.linalg.norm(boxes.centers[:, :2], axis=1) < 30):
        offset = sample.lidar_points[:, :3] - boxes.centers[n]
        cos, sin = np.cos(boxes.yaws[n]), np.sin(boxes.yaws[n])
        ahead, left = cos * offset[:, 0] + sin * offset[:, 1], -sin * offset[:, 0] + cos * offset[:, 1]
        local = np.abs(np.stack([ahead, left, offset[:, 2]], axis=1))
        filled += bool((local < boxes.sizes[n] / 2).all(axis=1).any())
    near = int((np.linalg.norm(boxes.centers[:, :2], axis=1) < 30).sum())
    assert filled > 0.8 * near > 10
