"""nuScenes-format dataset -> rosbag2: what is absent, damaged or interrupted."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from nuscenes.nuscenes import NuScenes
from read_bag import edit_table, read_bag
from tiny_nuscenes import LOCATION, VERSION

from tinybev.errors import UserError
from tinybev_ros import nuscenes2bag
from tinybev_ros.nuscenes2bag import convert_scene
from tinybev_ros.nuscenes_dataset import open_dataset

SCENE = "tiny-0002"


@pytest.fixture(scope="module")
def nusc(tiny_dataroot: Path) -> NuScenes:
    return open_dataset(tiny_dataroot, VERSION)


def test_absent_and_damaged_files_are_counted_and_the_rest_is_written(dataset_copy: Path, tmp_path: Path) -> None:
    pictures = sorted((dataset_copy / "sweeps" / "CAM_BACK").glob(f"{SCENE}__*"))
    pictures[0].unlink()
    pictures[1].write_bytes(b"")
    cloud = next((dataset_copy / "sweeps" / "LIDAR_TOP").glob(f"{SCENE}__*"))
    cloud.write_bytes(cloud.read_bytes()[:-7])
    report = convert_scene(open_dataset(dataset_copy, VERSION), SCENE, tmp_path / "bag")
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


def test_a_scene_without_any_file_still_gives_its_motion_and_boxes(dataset_copy: Path, tmp_path: Path) -> None:
    for folder in ("samples", "sweeps"):
        shutil.rmtree(dataset_copy / folder)
    report = convert_scene(open_dataset(dataset_copy, VERSION), SCENE, tmp_path / "bag")
    assert set(read_bag(tmp_path / "bag")) == {"/tf", "/tf_static", "/odom", "/markers/annotations", "/drivable_area"}
    assert report.absent_files == report.named_files
    assert "none of its pictures is on the disk" in "\n".join(report.lines())


def test_nothing_left_at_all_is_refused(dataset_copy: Path, tmp_path: Path) -> None:
    edit_table(dataset_copy, "sample_data", lambda _: [])
    with pytest.raises(UserError, match="no sensor data"):
        convert_scene(open_dataset(dataset_copy, VERSION), SCENE, tmp_path / "bag")
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
    dataset_copy: Path, tmp_path: Path, damage: Callable[[Path], None], reason: str
) -> None:
    damage(dataset_copy)
    report = convert_scene(open_dataset(dataset_copy, VERSION), SCENE, tmp_path / "bag")
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


@pytest.mark.parametrize("table", ["sample_data", "ego_pose"])
def test_a_cut_table_is_one_sentence(dataset_copy: Path, table: str) -> None:
    path = dataset_copy / VERSION / f"{table}.json"
    path.write_text(path.read_text()[:500])
    with pytest.raises(UserError, match="cannot be loaded"):
        open_dataset(dataset_copy, VERSION)
