"""The synthetic world on disk: the unmodified devkit reads it, the same seed gives the same bytes, labels are true."""

from __future__ import annotations

import argparse
import hashlib
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from nuscenes.nuscenes import NuScenes
from nuscenes.utils.data_classes import LidarPointCloud
from nuscenes.utils.geometry_utils import points_in_box
from tinybev_training.eval import commands as eval_commands
from tinybev_training.world import commands

from tinybev.types import CAMERAS


def write_world(out: Path) -> Path:
    """One short scene of small pictures, written by the command."""
    parser = argparse.ArgumentParser()
    commands.add_arguments(parser)
    arguments = ["--scenes", "1", "--seed", "0", "--duration", "2", "--size", "160", "90", "--processes", "1"]
    assert commands.run(parser.parse_args([*arguments, "--out", str(out)])) == 0
    return out


def checksums(root: Path) -> dict[str, str]:
    """Of every file of the dataset, by its path in it."""
    files = [path for path in sorted(root.rglob("*")) if path.is_file()]
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of one scene."""
    return write_world(tmp_path_factory.mktemp("world") / "dataset")


def test_the_devkit_reads_it_and_every_named_file_is_there(world: Path) -> None:
    nusc = NuScenes("v1.0-world", str(world), verbose=False)
    assert len(nusc.scene) == 1
    assert len(nusc.sample) >= 3
    splits = json.loads((world / "v1.0-world" / "splits.json").read_text())
    assert sorted(splits) == ["world_train", "world_val"]
    assert [scene["name"] for scene in nusc.scene] == splits["world_train"] + splits["world_val"]
    for record in nusc.sample_data:
        assert (world / record["filename"]).is_file(), record["filename"]
    for sample in nusc.sample:
        assert set(sample["data"]) >= {*CAMERAS, "LIDAR_TOP"}
        picture = cv2.imread(str(world / nusc.get("sample_data", sample["data"]["CAM_FRONT"])["filename"]))
        assert picture.shape == (90, 160, 3)
        assert picture.std() > 10  # a street, not one grey


def test_cameras_fire_in_order_within_a_revolution(world: Path) -> None:
    nusc = NuScenes("v1.0-world", str(world), verbose=False)
    for sample in nusc.sample:
        stamps = {camera: nusc.get("sample_data", sample["data"][camera])["timestamp"] for camera in CAMERAS}
        assert min(stamps, key=lambda camera: stamps[camera]) == "CAM_FRONT_LEFT"
        assert max(stamps, key=lambda camera: stamps[camera]) == "CAM_BACK_LEFT"
        assert 40_000 < max(stamps.values()) - min(stamps.values()) < 50_000


def test_lidar_points_lie_in_the_boxes_that_count_them(world: Path) -> None:
    """Counted anew with the devkit's own geometry; points are float32, and a box's faces are hit from outside."""
    nusc = NuScenes("v1.0-world", str(world), verbose=False)
    counted, found = [], []
    for sample in nusc.sample:
        path, boxes, _ = nusc.get_sample_data(sample["data"]["LIDAR_TOP"])
        points = LidarPointCloud.from_file(str(path)).points[:3]
        for box in boxes:
            counted.append(nusc.get("sample_annotation", box.token)["num_lidar_pts"])
            found.append(int(points_in_box(box, points, wlh_factor=1.05).sum()))
    counted_N, found_N = np.array(counted), np.array(found)
    seen = counted_N >= 5
    assert seen.sum() >= 10
    assert (found_N[seen] >= 0.9 * counted_N[seen]).mean() > 0.95


def test_its_own_ground_truth_scores_one_with_the_official_classes(world: Path, tmp_path: Path) -> None:
    parser = argparse.ArgumentParser()
    eval_commands.add_arguments(parser)
    report = tmp_path / "scores.json"
    dataset = ["--dataroot", str(world), "--version", "v1.0-world", "--split", "world_val"]
    assert eval_commands.run(parser.parse_args(["--predictions", "ground-truth", *dataset, "--json", str(report)])) == 0
    scores = json.loads(report.read_text())
    assert scores["detection"]["mAP"] == pytest.approx(1.0)
    assert scores["detection"]["NDS"] == pytest.approx(1.0, abs=1e-3)
    assert scores["tracking"]["AMOTA"] == pytest.approx(1.0)


def test_the_same_seed_gives_the_same_bytes(world: Path, tmp_path: Path) -> None:
    assert checksums(write_world(tmp_path / "again")) == checksums(world)


def test_what_is_finished_is_not_rendered_again(world: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in (world / "samples").rglob("*.jpg")}
    write_world(world)
    assert {path: path.stat().st_mtime_ns for path in (world / "samples").rglob("*.jpg")} == before
