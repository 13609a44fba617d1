"""nuScenes-format dataset -> rosbag2: the files that are written, the command, and real scenes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from nuscenes.nuscenes import NuScenes
from read_bag import read_bag
from rosbags.interfaces import QosDurability, QosReliability
from tiny_nuscenes import VERSION

from tinybev.cli import run_command
from tinybev.types import CAMERAS
from tinybev_ros import topics
from tinybev_ros.bag_writer import BagFormat
from tinybev_ros.nuscenes2bag import convert_scene
from tinybev_ros.nuscenes_dataset import open_dataset

SCENE = "tiny-0002"
COMMAND = "tinybev_ros.nuscenes2bag"


@pytest.fixture(scope="module")
def nusc(tiny_dataroot: Path) -> NuScenes:
    return open_dataset(tiny_dataroot, VERSION)


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


def run_bag_command(*arguments: object) -> int:
    return run_command(COMMAND, [str(argument) for argument in arguments], "tinybev bag")


def test_command_converts_all_scenes_and_keeps_existing_bags(
    tiny_dataroot: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ("--dataroot", tiny_dataroot, "--out", tmp_path)
    assert run_bag_command(*arguments, "--scene", "tiny-0001") == 0
    content = (tmp_path / "tiny-0001" / "tiny-0001.mcap").read_bytes()
    assert run_bag_command(*arguments) == 2
    assert "exists already" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["tiny-0001"]
    assert (tmp_path / "tiny-0001" / "tiny-0001.mcap").read_bytes() == content
    assert run_bag_command(*arguments, "--overwrite", "--storage", "sqlite3") == 0
    assert sorted(path.name for path in (tmp_path / "tiny-0001").iterdir()) == ["metadata.yaml", "tiny-0001.db3"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["tiny-0001", "tiny-0002"]


def test_overwrite_spares_what_is_no_bag(
    tiny_dataroot: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    precious = tmp_path / SCENE / "thesis.tex"
    precious.parent.mkdir()
    precious.write_text("years of work")
    assert run_bag_command("--dataroot", tiny_dataroot, "--scene", SCENE, "--out", tmp_path, "--overwrite") == 2
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
    tiny_dataroot: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], wrong: dict[str, str], sentence: str
) -> None:
    arguments = {"--dataroot": str(tiny_dataroot), "--out": str(tmp_path / "out"), **wrong}
    assert run_bag_command(*[part for pair in arguments.items() for part in pair]) == 2
    error = capsys.readouterr().err
    assert sentence in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


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
