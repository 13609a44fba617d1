"""Missing cameras and other weather: what is run, what is held against what, and what counts as kept."""

from __future__ import annotations

import json
import math
import shutil
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_nuscenes import write_tiny_nuscenes
from tinybev_training.data.tables import open_tables
from tinybev_training.eval import speed
from tinybev_training.eval.measure import NOTHING, Measure
from tinybev_training.eval.missing_cameras import missing_cameras, without_cameras
from tinybev_training.eval.robustness import (
    ROBUSTNESS_METRICS,
    conditions,
    kept_share,
    robustness_measures,
    robustness_table,
)
from tinybev_training.eval.speed import SceneTimes, device_name, read_speed, speed_measures, write_times

from tinybev.cli import run_command
from tinybev.errors import UserError
from tinybev.runtime.pipeline import Pipeline
from tinybev.types import CAMERAS, CameraFrame, Command, Frame, Goal, Results

BUNDLE = "untrained:nano"


def evaluate(*arguments: object) -> int:
    return run_command("tinybev_training.eval.commands", [str(argument) for argument in arguments], "tinybev eval")


@pytest.mark.parametrize("count", [1, 2, 3])
def test_six_scenes_lose_every_camera_equally_often_and_neighbours_together(count: int) -> None:
    lost = Counter(camera for scene in range(6) for camera in missing_cameras(scene, count))
    assert lost == dict.fromkeys(CAMERAS, count)
    for scene in range(12):
        places = [CAMERAS.index(camera) for camera in missing_cameras(scene, count)]
        assert [(place - places[0]) % 6 for place in places] == list(range(count))


def test_a_frame_without_cameras_keeps_its_stamp_and_pose() -> None:
    image = CameraFrame("CAM_BACK", 7, b"", np.eye(3), (90, 160), np.eye(4), np.eye(4))
    frame = Frame(7, dict.fromkeys(CAMERAS, image), np.eye(4), Goal(Command.LEFT), None)
    found = without_cameras(frame, ("CAM_FRONT", "CAM_BACK"))
    assert set(found.missing) == {"CAM_FRONT", "CAM_BACK"}
    assert (found.stamp_ns, found.map_T_base is frame.map_T_base) == (7, True)


# --- shares ---


def test_the_kept_share_of_larger_and_smaller_figures() -> None:
    assert kept_share(Measure(0.2, 5), Measure(0.4, 9), True) == Measure(0.5, 5)
    assert kept_share(Measure(2.0, 5), Measure(0.5, 9), False) == Measure(0.25, 5)
    assert kept_share(Measure(-0.3, 5), Measure(0.4, 9), True).value == 0.0  # EPA can be below 0
    assert kept_share(Measure(0.0, 5), Measure(0.5, 9), False).value == 1.0  # not a collision is left
    for clean in (Measure(0.0, 9), Measure(-0.1, 9), NOTHING):
        for larger_is_better in (True, False):
            assert not kept_share(Measure(0.2, 5), clean, larger_is_better).valid
    assert not kept_share(Measure(math.nan, 4), Measure(0.5, 9), False).valid


@given(score=st.floats(-1, 10), clean=st.floats(1e-3, 10), larger_is_better=st.booleans())
def test_a_share_is_a_share_and_the_clean_score_keeps_all(score: float, clean: float, larger_is_better: bool) -> None:
    assert 0 <= kept_share(Measure(score, 1), Measure(clean, 1), larger_is_better).value <= 1
    assert kept_share(Measure(clean, 1), Measure(clean, 1), larger_is_better).value == 1


def test_the_mean_is_over_what_has_a_share_and_says_over_how_much() -> None:
    clean = {"detection": {"mAP": Measure(0.4, 10), "NDS": Measure(0.0, 10)}, "motion": {"minADE": Measure(1.0, 30)}}
    fog = {"detection": {"mAP": Measure(0.1, 10), "NDS": Measure(0.0, 10)}, "motion": {"minADE": Measure(2.0, 12)}}
    night = {"detection": {"mAP": Measure(0.0, 10)}, "motion": {"minADE": Measure(math.nan, 0)}}
    found = robustness_measures(clean, {"fog": fog, "night": night})
    assert found["fog.mean_kept"] == Measure((0.25 + 0.5) / 2, 2)
    assert found["night.mean_kept"] == Measure(0.0, 1)
    assert found["mean_kept"] == Measure(0.375 / 2, 2)
    assert found["fog.score.motion.minADE"] == Measure(2.0, 12)
    assert not found["fog.kept.detection.NDS"].valid
    table = robustness_table(clean, found)
    assert "| detection.mAP | 0.400 | 0.100 (25%) | 0.000 (0%) |" in table
    assert "| detection.NDS | 0.000 | 0.000 (no share) | nothing of 0 (no share) |" in table
    assert "over 2 conditions: 19%" in table


@pytest.mark.parametrize("assignment", ["night", "=x", "a b=x", "missing_1=x", "mean_kept=x", "a.b=x"])
def test_conditions_that_are_none(assignment: str) -> None:
    with pytest.raises(UserError, match="expected NAME=DATAROOT"):
        conditions([assignment])
    with pytest.raises(UserError, match="that no other has"):
        conditions(["fog=a", "fog=b"])


# --- from end to end ---


@pytest.fixture
def clear(tmp_path: Path) -> Path:
    """A scene of 1.5 s."""
    root = write_tiny_nuscenes(tmp_path / "clear", seconds=1.5)
    (root / "v1.0-mini" / "splits.json").write_text(json.dumps({"mine": ["tiny-0001"]}))
    return root


def test_every_condition_is_run_kept_and_measured(
    clear: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    night = tmp_path / "night"
    shutil.copytree(clear, night)
    for picture in (night / "samples").rglob("*.jpg"):
        cv2.imwrite(str(picture), cv2.imread(str(picture)) // 4)
    missing: Counter[int] = Counter()
    run = Pipeline.run

    def counted(self: Pipeline, frame: Frame) -> Results:
        missing[len(frame.missing)] += 1
        return run(self, frame)

    monkeypatch.setattr(Pipeline, "run", counted)
    figures, folder = tmp_path / "figures.json", tmp_path / "p"
    arguments = ("--bundle", BUNDLE, "--dataroot", clear, "--split", "mine", "--save", folder, "--json", figures)
    arguments = (*arguments, "--robustness", "--conditions", f"night={night}")
    assert evaluate(*arguments) == 0
    samples = len(open_tables(clear, "v1.0-mini").sample) // 2  # of two scenes
    assert missing == {0: 2 * samples, 1: samples, 2: samples, 3: samples}
    data = json.loads(figures.read_text())
    kept = data["robustness"]
    for name in ("missing_1", "missing_2", "missing_3", "night"):
        assert set(kept[name]) == {"score", "kept", "mean_kept"}
        for metric in ROBUSTNESS_METRICS:
            task, key = metric.split(".", 1)
            assert _leaf(kept[name]["score"][task], key) is None or _leaf(data[task], key) is not None
    assert kept["night"]["score"]["map"]["IoU"] != data["map"]["IoU"]
    assert data["counts"]["robustness"]["mean_kept"] == 4
    shown = capsys.readouterr().out
    assert "| | clean | missing_1 | missing_2 | missing_3 | night |" in shown
    assert f"this run's times: medians on {data['run']['device']}, in float32" in shown
    assert data["run"]["device"].startswith("cpu, ")
    # What was run is not run again.
    missing.clear()
    assert evaluate(*arguments) == 0
    assert not missing
    assert json.loads(figures.read_text())["robustness"] == kept


def _leaf(tree: dict[str, dict[str, float]] | float | None, path: str) -> object:
    for name in path.split("."):
        tree = tree[name]  # type: ignore[index,assignment]
    return tree


def test_other_scenes_are_no_condition_of_these(
    clear: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other"
    shutil.copytree(clear, other)
    table = other / "v1.0-mini" / "ego_pose.json"
    poses = json.loads(table.read_text())
    for pose in poses:
        pose["translation"][0] += 1.0
    table.write_text(json.dumps(poses))
    arguments = ("--bundle", BUNDLE, "--dataroot", clear, "--split", "mine", "--save", tmp_path / "p")
    assert evaluate(*arguments, "--robustness", "--conditions", f"fog={other}") == 2
    assert "expected the clean split's scenes in the condition 'fog'" in capsys.readouterr().err
    assert not (tmp_path / "p").exists()  # said before anything is run
    assert evaluate(*arguments, "--conditions", f"fog={other}") == 2
    assert "--robustness" in capsys.readouterr().err
    truth = ("--predictions", "ground-truth", "--dataroot", clear, "--split", "mine")
    assert evaluate(*truth, "--robustness") == 2
    assert "expected --bundle with --robustness" in capsys.readouterr().err


# --- speed ---


def test_the_speed_is_the_median_and_names_where_it_was_taken(tmp_path: Path) -> None:
    paths = [tmp_path / f"{number}.json" for number in range(3)]
    write_times(paths[0], SceneTimes("cuda, X", "float32", 1, [500.0, 10.0], [400.0, 4.0]))
    write_times(paths[1], SceneTimes("cpu, Y", "float32", 2, [20.0], [8.0]))
    write_times(paths[2], SceneTimes("cpu, Y", "float32", 2, [], []))
    found = read_speed(paths)
    assert found is not None
    assert (found.frames, found.total_ms, found.network_ms) == (3, 20.0, 8.0)
    assert (found.device, found.precision, found.processes) == ("cpu, Y; cuda, X", "float32", "1; 2")
    measures = speed_measures(BUNDLE, found)
    assert measures["FPS"] == Measure(50.0, 3)
    assert measures["parameters"].value > 1e6
    assert read_speed(paths[2:]) is None
    assert set(speed_measures(BUNDLE, None)) == {"parameters", "MACs"}
    paths[0].write_text("[]")
    with pytest.raises(UserError, match="predict again"):
        read_speed(paths)


def test_the_processor_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    info = tmp_path / "cpuinfo"
    info.write_text("processor\t: 0\nmodel name\t: Some Core\n")
    monkeypatch.setattr(speed, "CPU_INFO", info)
    assert device_name("cpu").startswith("cpu, Some Core, ")
    monkeypatch.setattr(speed, "CPU_INFO", tmp_path / "absent")
    assert len(device_name("cpu").split(", ")[1]) > 0
