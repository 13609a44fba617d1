"""`tinybev eval` from end to end: a bundle, the truth, saved files, and runs side by side."""

from __future__ import annotations

import json
import math
import re
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from tiny_nuscenes import write_tiny_nuscenes
from tinybev_training.data import ego
from tinybev_training.data.dataset import open_dataset
from tinybev_training.data.tables import open_tables
from tinybev_training.train.typed_json import leaves

from tinybev.cli import run_command
from tinybev.runtime.pipeline import Pipeline
from tinybev.types import Frame, Goal, Results

BUNDLE = "untrained:nano"


def evaluate(*arguments: object) -> int:
    return run_command("tinybev_training.eval.commands", [str(argument) for argument in arguments], "tinybev eval")


@pytest.fixture(scope="module")
def dataroot(tiny_dataroot: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The generated dataset with a split of its own."""
    root = tmp_path_factory.mktemp("eval") / "data"
    shutil.copytree(tiny_dataroot, root)
    (root / "v1.0-mini" / "splits.json").write_text(json.dumps({"mine": ["tiny-0001", "tiny-0002"]}))
    return root


@pytest.fixture
def short_dataroot(tmp_path: Path) -> Path:
    """Two scenes of 1.5 s: a network takes its time."""
    root = write_tiny_nuscenes(tmp_path / "data", seconds=1.5)
    (root / "v1.0-mini" / "splits.json").write_text(json.dumps({"mine": ["tiny-0001", "tiny-0002"]}))
    return root


def truth_arguments(dataroot: Path) -> tuple[object, ...]:
    return ("--predictions", "ground-truth", "--dataroot", dataroot, "--split", "mine")


def test_the_truth_saved_and_read_again_scores_the_same(
    dataroot: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, again = tmp_path / "first.json", tmp_path / "again.json"
    folder = tmp_path / "predictions"
    assert evaluate(*truth_arguments(dataroot), "--json", first, "--save", folder) == 0
    shown = capsys.readouterr().out
    assert "| mAP, % | 39.00 | 41.00 |" in shown
    assert "nothing to measure (count 0)" in shown
    assert evaluate("--predictions", folder, "--dataroot", dataroot, "--split", "mine", "--json", again) == 0
    data = json.loads(first.read_text())
    assert data["planning"]["uniad"]["L2_3s"] == 0
    assert data["planning"]["oriented"]["collision_3s"] is not None
    assert data["detection"]["bus"]["AP"] is None
    assert data["counts"]["detection"]["bus"]["AP"] == 0
    assert data["motion"]["minADE"] == 0
    assert data["detection"]["mAP_present"] == pytest.approx(1.0, abs=0.01)
    assert data["occupancy"]["IoU_near"] == data["occupancy"]["VPQ_far"] == 1
    assert set(data["scenes"]) == {"tiny-0001", "tiny-0002"}
    _assert_close(data, json.loads(again.read_text()))
    # The official files alone are measured, too.
    for name, task in (("detections.json", "detection"), ("tracks.json", "tracking")):
        alone = tmp_path / "alone.json"
        source = folder / name
        assert evaluate("--predictions", source, "--dataroot", dataroot, "--split", "mine", "--json", alone) == 0
        found = json.loads(alone.read_text())
        assert found[task] == data[task]
        assert "planning" not in found


def _assert_close(first: Any, second: Any) -> None:
    if isinstance(first, dict):
        assert first.keys() == second.keys()
        for key in first:
            if key != "run":
                _assert_close(first[key], second[key])
    else:
        assert first == pytest.approx(second, abs=1e-6)


def test_a_bundle_is_run_once_and_resumed(
    short_dataroot: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    frames: list[int] = []
    run = Pipeline.run

    def counted(self: Pipeline, frame: Frame) -> Results:
        frames.append(frame.stamp_ns)
        if len(frames) == per_scene + 2:
            raise KeyboardInterrupt
        return run(self, frame)

    monkeypatch.setattr(Pipeline, "run", counted)
    samples = len(open_tables(short_dataroot, "v1.0-mini").sample)
    per_scene = samples // 2
    folder, figures = tmp_path / "predictions", tmp_path / "figures.json"
    arguments = ("--bundle", BUNDLE, "--dataroot", short_dataroot, "--split", "mine", "--save", folder)
    assert evaluate(*arguments) == 130  # interrupted in the second scene
    assert [path.stem for path in (folder / "scenes").iterdir()] == ["tiny-0001"]
    frames.clear()
    assert evaluate(*arguments, "--json", figures) == 0
    assert len(frames) == per_scene
    data = json.loads(figures.read_text())
    assert data["planning"]["uniad"]["L2_1s"] > 0
    assert data["counts"]["speed"]["ms_per_frame"] == samples
    assert data["speed"]["parameters"] > 1e6
    assert json.loads((folder / "detections.json").read_text())["meta"]["use_lidar"] is False
    frames.clear()
    assert evaluate(*arguments, "--json", figures) == 0
    assert not frames
    assert json.loads(figures.read_text()) == data
    for other in (("--ego-status", "always"), ("--goal", "never")):
        capsys.readouterr()
        assert evaluate(*arguments, *other) == 2
        assert "name another folder with --save" in capsys.readouterr().err


def test_a_planner_that_is_told_no_goal_has_the_command_alone(
    short_dataroot: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ego, "GOAL_DISTANCE_M", 5.0)  # the scenes are short
    told: list[Goal] = []
    run_pipeline = Pipeline.run

    def seen(self: Pipeline, frame: Frame) -> Results:
        told.append(frame.goal)
        return run_pipeline(self, frame)

    monkeypatch.setattr(Pipeline, "run", seen)
    figures = tmp_path / "figures.json"
    arguments = ("--bundle", BUNDLE, "--dataroot", short_dataroot, "--split", "mine", "--save", tmp_path / "p")
    assert evaluate(*arguments, "--goal", "never", "--json", figures) == 0
    run = json.loads(figures.read_text())["run"]
    assert run["goal"] == "never"
    assert {len(run["weights"]), len(run["code"])} == {64}  # SHA-256
    known = open_dataset(short_dataroot, "v1.0-mini", "mine")
    goals = [known.surroundings(index).frame.goal for index in range(len(known))]
    assert any(goal.point is not None for goal in goals)
    assert told == [Goal(goal.command) for goal in goals]


def test_several_processes_find_what_one_finds(short_dataroot: Path, tmp_path: Path) -> None:
    found = []
    for processes in (1, 2):
        figures = tmp_path / f"{processes}.json"
        arguments = ("--bundle", BUNDLE, "--dataroot", short_dataroot, "--split", "mine", "--json", figures)
        assert evaluate(*arguments, "--processes", processes, "--save", tmp_path / str(processes)) == 0
        found.append(json.loads(figures.read_text()))
        assert found[-1].pop("speed")["ms_per_frame"] > 0
    _assert_close(*found)


def test_keyframes_without_images_have_no_output_and_are_counted(
    dataroot: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "data"
    shutil.copytree(dataroot, root)
    for camera in (root / "samples").iterdir():
        if camera.name.startswith("CAM"):
            shutil.rmtree(camera)
    figures = tmp_path / "figures.json"
    arguments = ("--bundle", BUNDLE, "--dataroot", root, "--split", "mine", "--save", tmp_path / "p")
    assert evaluate(*arguments, "--json", figures) == 0
    data = json.loads(figures.read_text())
    assert data["detection"]["mAP"] == 0.0
    assert data["planning"]["uniad"]["L2_3s"] is None
    assert data["counts"]["planning"]["uniad"]["L2_3s"] == 0
    assert (data["planning"]["outputs"], data["map"]["IoU"]) == (0.0, None)
    assert "have no output and are left out" in capsys.readouterr().out


def test_a_split_without_annotations_has_figures_of_what_is_known_alone(dataroot: Path, tmp_path: Path) -> None:
    """As nuScenes' test split: where the human drove and what the map shows, and no object."""
    root, figures = tmp_path / "data", tmp_path / "figures.json"
    shutil.copytree(dataroot, root)
    for table in ("sample_annotation", "instance"):
        (root / "v1.0-mini" / f"{table}.json").write_text("[]")
    assert evaluate(*truth_arguments(root), "--json", figures) == 0
    data = json.loads(figures.read_text())
    for figure_of in (data, data["counts"]):
        del figure_of["map"]
    counts, values = leaves(data["counts"]), leaves({task: data[task] for task in data["counts"]})
    known = r"planning\.(.*\.L2_.*|.*with_future_.*)|occupancy\.samples|.*\.outputs"
    assert {name for name, count in counts.items() if count} == {name for name in counts if re.fullmatch(known, name)}
    assert {name for name, value in values.items() if value is None} == {name for name in counts if not counts[name]}
    assert values["planning.uniad.L2_3s"] == values["occupancy.samples"] == 0


def test_the_report_shows_the_best_and_the_worst(dataroot: Path, tmp_path: Path) -> None:
    folder, page = tmp_path / "predictions", tmp_path / "report"
    assert evaluate(*truth_arguments(dataroot), "--save", folder) == 0
    # One sample's plan goes astray.
    token = open_tables(dataroot, "v1.0-mini").get("scene", _first_scene(dataroot))["first_sample_token"]
    companion = folder / "samples" / f"{token}.npz"
    with np.load(companion, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    np.savez(companion, **{**arrays, "plan_positions": arrays["plan_positions"] + 20.0})
    assert evaluate("--predictions", folder, "--dataroot", dataroot, "--split", "mine", "--report", page) == 0
    text = (page / "index.html").read_text()
    sections = {part.split("</h2>")[0]: part for part in text.split("<h2>")[1:]}
    assert {"Detection", "Tracking", "Motion", "Map", "Occupancy", "Planning"} <= set(sections)
    pictures = re.findall(r"<img src='(\S+)'[^>]*></a><figcaption>([\d.]+) m: ([^;]+);", sections["Planning"])
    assert len(pictures) == 6
    assert [float(value) for _, value, _ in pictures] == pytest.approx([0] * 5 + [20 * math.sqrt(2)], abs=1e-3)
    assert pictures[-1][0] == "sample-00000.png"
    assert pictures[-1][2] == "tiny-0001, keyframe 0"
    for name in re.findall(r"<img src='(\S+)'", text):
        assert cv2.imread(str(page / name)).shape[1] == 1280
    assert "<tr><th></th><th>TinyBEV (paper)</th>" in sections["Beside the paper"]


def _first_scene(dataroot: Path) -> str:
    return str(next(s["token"] for s in open_tables(dataroot, "v1.0-mini").scene if s["name"] == "tiny-0001"))


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--predictions", "ground-truth"), "expected --dataroot and --split"),
        (("--predictions", "ground-truth", "--split", "other"), "splits.json"),
        (("--predictions", "nowhere", "--split", "mine"), "cannot be read"),
        (("--bundle", "nowhere", "--split", "mine"), "nowhere"),
        (("--predictions", "ground-truth", "--split", "mine", "--processes", "0"), "--processes"),
        (("--compare", "nowhere.json"), "expected a file that `tinybev eval --json` wrote"),
    ],
)
def test_what_cannot_be_evaluated_is_said_in_a_sentence(
    dataroot: Path, arguments: tuple[str, ...], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate(*arguments, "--dataroot", dataroot) == 2
    assert sentence in capsys.readouterr().err
