"""``tinybev run``: the same bags of results however many processes made them; damaged bags stop no other."""

from __future__ import annotations

import json
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from offline_runs import contents, run
from tiny_nuscenes import SCENES, write_tiny_nuscenes

from tinybev_ros.bag_frames import MessageSource
from tinybev_ros.nuscenes2bag import convert_scene
from tinybev_ros.nuscenes_dataset import open_dataset
from tinybev_ros.offline import FAILURE, RESULTS, SUMMARY
from tinybev_ros.offline_recordings import BagRecording
from tinybev_ros.outputs import OUTPUTS


@pytest.fixture(scope="module")
def bags(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two bags of a second each."""
    folder = tmp_path_factory.mktemp("bags")
    nusc = open_dataset(write_tiny_nuscenes(folder / "data", seconds=0.5), "v1.0-mini")
    return [convert_scene(nusc, scene, folder / scene).bag for scene in SCENES[:2]]


def test_two_processes_and_two_ranks_write_what_one_writes(
    bags: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(bags, tmp_path / "one") == 0
    assert len(contents(tmp_path / "one")) == len(bags)
    assert all(len(messages) >= len(OUTPUTS) for messages in contents(tmp_path / "one").values())
    assert run(bags, tmp_path / "two", "--processes", "2") == 0
    monkeypatch.setenv("WORLD_SIZE", "2")
    for rank in ("1", "0"):
        monkeypatch.setenv("RANK", rank)
        assert run(bags, tmp_path / "ranks") == 0
    assert contents(tmp_path / "one") == contents(tmp_path / "two") == contents(tmp_path / "ranks")


def test_what_is_done_is_kept_and_what_was_cut_off_is_made_again(bags: list[Path], tmp_path: Path) -> None:
    assert run(bags, tmp_path) == 0
    whole = contents(tmp_path)
    first, second = (tmp_path / bag.name / SUMMARY for bag in bags)
    kept = first.stat().st_mtime_ns
    second.unlink()  # as a process leaves it that is killed before the end
    next((tmp_path / bags[1].name / RESULTS).glob("*.mcap")).write_bytes(b"half")
    assert run(bags, tmp_path) == 0
    assert first.stat().st_mtime_ns == kept
    assert contents(tmp_path) == whole
    assert json.loads(second.read_text())["frames"] > 0


def test_a_torn_bag_is_reported_and_the_others_are_run(
    bags: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torn = tmp_path / "torn.mcap"
    torn.write_bytes(next(bags[0].glob("*.mcap")).read_bytes()[:-1000])
    assert run([torn, bags[1]], tmp_path / "out") == 1
    assert "is cut off" in capsys.readouterr().err
    assert "is cut off" in (tmp_path / "out" / "torn" / FAILURE).read_text()
    assert not (tmp_path / "out" / "torn" / SUMMARY).exists()
    assert (tmp_path / "out" / bags[1].name / SUMMARY).exists()


def test_what_nobody_foresaw_in_one_bag_stops_no_other(
    bags: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    there = BagRecording.open

    def breaks(recording: BagRecording) -> AbstractContextManager[MessageSource]:
        if recording.path == bags[0]:
            raise ZeroDivisionError("no frames\nin it")
        return there(recording)

    monkeypatch.setattr(BagRecording, "open", breaks)
    assert run(bags, tmp_path) == 1
    assert f"{bags[0]}: ZeroDivisionError: no frames" in capsys.readouterr().err
    failure = (tmp_path / bags[0].name / FAILURE).read_text()
    assert failure.startswith("ZeroDivisionError: no frames")
    assert "Traceback" in failure
    assert (tmp_path / bags[1].name / SUMMARY).exists()


def test_refuses_bags_of_one_name_no_processes_and_results_of_another_run(
    bags: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([bags[0], bags[0]], tmp_path) == 2
    assert "bags of different names" in capsys.readouterr().err
    assert run(bags, tmp_path, "--processes", "0") == 2
    assert "--processes of at least 1" in capsys.readouterr().err
    assert run(bags[:1], tmp_path) == 0
    path = tmp_path / bags[0].name / SUMMARY
    summary = json.loads(path.read_text())
    for changed in ("weights", "code", "options"):
        path.write_text(json.dumps(summary | {"of": summary["of"] | {changed: "other"}}))
        assert run(bags[:1], tmp_path) == 2
        assert "names another recording, other weights, code or options" in capsys.readouterr().err
