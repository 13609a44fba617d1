"""Without the nuScenes devkit bags are run, and what needs it says so in one sentence."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SENTENCE = (
    ": this command needs the Python module 'nuscenes', which is not installed; run `make setup`, or see the README "
    "for how to install it."
)


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """That of processes in which ``nuscenes`` is not to be found."""
    package = tmp_path / "hidden" / "nuscenes"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise ModuleNotFoundError('No module named nuscenes', name='nuscenes')\n")
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(package.parent), str(ROOT)])}


def tinybev(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tinybev.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, env=environment)


def test_bags_are_run_without_it(tmp_path: Path, environment: dict[str, str]) -> None:
    bag = tmp_path / "absent.mcap"
    done = tinybev(environment, "run", "--bundle", "untrained:nano", "--out", str(tmp_path), "--bags", str(bag))
    assert done.returncode == 1
    assert f"expected a rosbag2, but {bag} does not exist." in done.stderr


@pytest.mark.parametrize("command", ["run", "demo"])
def test_a_dataset_needs_it(tmp_path: Path, environment: dict[str, str], command: str) -> None:
    bundle = ("--bundle", "untrained:nano")
    done = tinybev(environment, command, *bundle, "--out", str(tmp_path), "--dataroot", str(tmp_path))
    assert done.returncode == 2
    assert done.stderr == f"tinybev {command}{SENTENCE}\n"


def test_the_installed_executable_needs_it(tmp_path: Path, environment: dict[str, str]) -> None:
    values = {
        "Python3_EXECUTABLE": sys.executable,
        "EXECUTABLE_NAME": "nuscenes2bag",
        "EXECUTABLE_MODULE": "nuscenes2bag",
    }
    text = (ROOT / "cmake" / "executable.py.in").read_text()
    for name, value in values.items():
        text = text.replace(f"@{name}@", value)
    assert "@" not in text
    (tmp_path / "nuscenes2bag").write_text(text)
    command = [sys.executable, str(tmp_path / "nuscenes2bag"), "--help"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=environment)
    assert (done.returncode, done.stderr) == (2, f"nuscenes2bag{SENTENCE}\n")
    del environment["PYTHONPATH"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=environment)
    assert (done.returncode, done.stderr) == (0, "")
