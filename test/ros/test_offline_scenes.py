"""``tinybev run --dataroot``: a scene gives what its bag gives, and what is asked for is what is run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from offline_runs import contents, run, run_scenes
from tiny_nuscenes import SCENES, VERSION, write_tiny_nuscenes

from tinybev.types import CAMERAS
from tinybev_ros.bag import open_bag
from tinybev_ros.nuscenes2bag import convert_scene
from tinybev_ros.nuscenes_dataset import open_dataset
from tinybev_ros.offline import FAILURE, SUMMARY
from tinybev_ros.offline_recordings import SceneRecording
from tinybev_ros.topics import ODOMETRY, TF, TF_STATIC, camera_image_topic, camera_info_topic


@pytest.fixture(scope="module")
def dataroot(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two scenes of half a second; one of them is the split ``second``."""
    root = write_tiny_nuscenes(tmp_path_factory.mktemp("scenes") / "data", seconds=0.5)
    (root / VERSION / "splits.json").write_text(json.dumps({"second": [SCENES[1], "elsewhere"]}))
    return root


def test_a_scene_reads_like_its_bag(dataroot: Path, tmp_path: Path) -> None:
    bag_path = convert_scene(open_dataset(dataroot, VERSION), SCENES[0], tmp_path / "bag").bag
    cameras = [topic(camera) for camera in CAMERAS for topic in (camera_image_topic, camera_info_topic)]
    topics = [*cameras, TF, TF_STATIC, ODOMETRY]
    with open_bag(bag_path) as bag, SceneRecording(dataroot, VERSION, SCENES[0]).open() as scene:
        assert list(scene.messages(topics)) == list(bag.messages(topics))
        assert scene.end_ns == bag.end_ns
        assert set(scene.topics) == {topic for topic in bag.topics if topic in map(camera_image_topic, CAMERAS)}


def test_scenes_give_what_their_bags_give_and_a_split_or_names_choose_them(dataroot: Path, tmp_path: Path) -> None:
    bags = [convert_scene(open_dataset(dataroot, VERSION), name, tmp_path / name).bag for name in SCENES]
    assert run(bags, tmp_path / "bags") == 0
    assert run_scenes(dataroot, tmp_path / "scenes", "--split", "second") == 0
    kept = (tmp_path / "scenes" / SCENES[1] / SUMMARY).stat().st_mtime_ns
    assert list(contents(tmp_path / "scenes")) == [SCENES[1]]
    assert run_scenes(dataroot, tmp_path / "scenes", "--scenes", *SCENES) == 0
    assert (tmp_path / "scenes" / SCENES[1] / SUMMARY).stat().st_mtime_ns == kept
    assert contents(tmp_path / "scenes") == contents(tmp_path / "bags")


def test_a_scene_without_pictures_fails_alone(
    dataroot: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = write_tiny_nuscenes(tmp_path / "data", seconds=0.5)
    for record in json.loads((root / VERSION / "sample_data.json").read_text()):
        if "CAM" in record["filename"] and SCENES[0] in record["filename"]:
            (root / record["filename"]).unlink()
    assert run_scenes(root, tmp_path / "out") == 1
    assert "expected images on" in (tmp_path / "out" / SCENES[0] / FAILURE).read_text()
    assert (tmp_path / "out" / SCENES[1] / SUMMARY).is_file()
    assert "2 recordings (1 failed)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--split", "other"), "expected a split of the devkit"),
        (("--split", "val"), "expected scenes of split 'val'"),
        (("--scenes", "nowhere"), "expected a scene of v1.0-mini, got 'nowhere'"),
        (("--version", "v9"), "expected the tables of version v9"),
    ],
)
def test_what_is_not_there_is_said(
    dataroot: Path, tmp_path: Path, options: tuple[str, ...], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_scenes(dataroot, tmp_path, *options) == 2
    assert sentence in capsys.readouterr().err
