"""ROS arguments that cannot be taken: every program says it in one sentence, and none in a traceback."""

from __future__ import annotations

import subprocess
import sys

import pytest

NODE = ("tinybev", ["tinybev_ros.node"])
PLAYER = ("bag_player", ["tinybev_ros.player", "some_bag"])
BRIDGE = ("foxglove_bridge", ["tinybev_ros.foxglove"])
ABSENT_FILE = ["--params-file", "/absent.yaml"]
WRONG_TYPE = ["-p", "use_sim_time:=maybe"]


@pytest.mark.parametrize(
    ("program", "arguments", "reason"),
    [
        (NODE, ABSENT_FILE, "Error opening YAML file"),
        (PLAYER, ABSENT_FILE, "Error opening YAML file"),
        (BRIDGE, ABSENT_FILE, "Error opening YAML file"),
        (PLAYER, WRONG_TYPE, "use_sim_time"),
        (BRIDGE, WRONG_TYPE, "use_sim_time"),
    ],
)
def test_arguments_that_ros_refuses_are_one_sentence(
    ros_domain: int, program: tuple[str, list[str]], arguments: list[str], reason: str
) -> None:
    name, module = program
    command = [sys.executable, "-m", *module, "--ros-args", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    (line,) = [line for line in done.stderr.splitlines() if line.startswith(f"{name}: ")]
    assert line.startswith(f"{name}: cannot start: ")
    assert line.endswith("; correct the arguments after --ros-args.")
    assert reason in line
