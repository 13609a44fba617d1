"""The demo as a user starts it, on a generated dataset: pictures, recording and summary."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import cv2
import pytest
from tiny_nuscenes import SCENES, write_tiny_nuscenes

from tinybev_ros.bag import open_bag

STAGES = ("decode", "preprocess", "network", "postprocess", "total")


def tinybev(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs the command in a process of its own, in the domain of the test."""
    return subprocess.run(
        [sys.executable, "-m", "tinybev.cli", *arguments], capture_output=True, text=True, timeout=840, check=False
    )


def test_demo_leaves_pictures_a_recording_and_a_summary(tmp_path: Path, ros_domain: int) -> None:
    dataroot = write_tiny_nuscenes(tmp_path / "dataset", seconds=3.0)
    out = tmp_path / "demo"
    done = tinybev(
        *("demo", "--dataroot", str(dataroot), "--scene", SCENES[0], "--out", str(out)),
        *("--foxglove", "off", "--bundle", "untrained:tinybev-nano"),
    )
    assert done.returncode == 0, done.stderr
    assert "weights      tinybev-nano, trained on nothing (untrained, seed 0)" in done.stdout

    summary = json.loads((out / "summary.json").read_text())
    assert summary["input"] == {
        "source": f"{SCENES[0]} of v1.0-mini",
        "duration_s": summary["input"]["duration_s"],
        "cameras": 6,
    }
    assert 2.0 < summary["input"]["duration_s"] < 4.0
    frames = summary["frames"]
    assert frames["inferred"] >= 3
    assert frames["inferred"] + frames["dropped"] <= frames["assembled"] + frames["partial"]
    assert summary["topics"]["/tinybev/detections"] == frames["inferred"]
    assert summary["topics"]["/tinybev/plan"] == frames["inferred"]
    assert summary["topics"]["/diagnostics"] > 0
    assert tuple(summary["latency_ms"]) == STAGES
    for times in summary["latency_ms"].values():
        assert 0 <= times["p50"] <= times["p95"]
    assert summary["weights"]["trained_on"].startswith("nothing")
    assert len(summary["weights"]["sha256"]) == 64
    assert set(summary["machine"]) == {"cpu", "cores", "gpu", "torch"}

    with open_bag(out / "outputs") as bag:
        assert bag.topics["/tinybev/occupancy"].message_count == frames["inferred"]
    for name in ("first", "middle", "last"):
        assert cv2.imread(str(out / f"frame_{name}.png")).shape[1] == 1920
    video = cv2.VideoCapture(str(out / "replay.mp4"))
    assert int(video.get(cv2.CAP_PROP_FRAME_COUNT)) == frames["inferred"]


def test_demo_takes_one_recording() -> None:
    done = tinybev("demo", "--dataroot", "somewhere", "--bag", "some_bag")
    assert done.returncode == 2
    assert "expected one recording to play, got a dataset and a bag" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.timeout(900)  # it renders 600 pictures first
def test_demo_without_a_recording_plays_the_synthetic_world(tmp_path: Path, ros_domain: int) -> None:
    pytest.importorskip("tinybev_training", reason="the synthetic world is the training package's")
    out = tmp_path / "demo"
    done = tinybev("demo", "--out", str(out), "--foxglove", "off", "--bundle", "untrained:tinybev-nano")
    assert done.returncode == 0, done.stderr
    summary = json.loads((out / "summary.json").read_text())
    assert summary["input"]["source"].endswith("of v1.0-world")
    assert summary["input"]["cameras"] == 6
    assert summary["frames"]["inferred"] >= 3
    assert cv2.imread(str(out / "frame_middle.png")).shape[1] == 1920


def test_up_ends_with_the_node_and_says_so(ros_domain: int) -> None:
    done = tinybev("up", "--bundle", "/no/such/bundle", "--foxglove", "off")
    assert done.returncode == 1
    assert "cannot configure: bundle '/no/such/bundle': expected a folder with manifest.json" in done.stdout
    assert "tinybev ended with status 1; stopping." in done.stderr


def test_doctor_finds_this_environment_able_to_run(ros_domain: int) -> None:
    done = tinybev("doctor")
    lines = {line[4:].split(":", 1)[0]: line for line in done.stdout.splitlines() if len(line) > 4}
    for check in ("Python", "ROS 2", "messages of tinybev_ros", "network", "bags", "middleware"):
        assert lines[check].startswith("ok"), lines[check]


def test_up_leaves_no_process_behind_when_it_is_terminated(ros_domain: int, tmp_path: Path) -> None:
    child = subprocess.Popen(
        [
            *(sys.executable, "-m", "tinybev.cli", "up", "--bundle", "untrained:nano"),
            *("--foxglove", "off", "--name", "tinybev_to_be_stopped"),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert child.stdout is not None
    assert any("weights tinybev-nano" in line for line in child.stdout)  # the node is up
    child.send_signal(signal.SIGTERM)
    child.communicate(timeout=60)
    assert child.returncode == 130
    commands = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists()]
    assert not [command for command in commands if b"__node:=tinybev_to_be_stopped" in command]
