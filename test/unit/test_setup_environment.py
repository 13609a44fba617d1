"""The setup script: what it says when something is missing or fails, and what it does a second time."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "setup_environment.py"


@pytest.fixture
def setup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script as a module, with its environment and logs in a folder of the test's."""
    spec = importlib.util.spec_from_file_location("setup_environment_under_test", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "ROOT", tmp_path)
    monkeypatch.setattr(module, "PYTHON", Path(sys.executable))
    monkeypatch.setattr(module, "STAMPS", tmp_path / "stamps")
    monkeypatch.setattr(module, "LOGS", tmp_path / "out" / "setup")
    return module


def test_without_cmake_it_says_what_to_install(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(SCRIPT)], env={**os.environ, "PATH": str(tmp_path)}, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert done.stderr == (
        "setup: expected `cmake` on the path and found none; install it (on Debian and Ubuntu: cmake).\n"
    )


def test_a_step_that_fails_says_which_why_and_what_to_do(
    setup: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(log: Path) -> None:
        setup.call([sys.executable, "-c", "print('no space left on device'); raise SystemExit(3)"], log)

    done: list[str] = []
    first = setup.Step("first", "doing the first", (), lambda log: done.append("first"), "")
    second = setup.Step("second", "doing the second", (), fail, "Free some space.")
    monkeypatch.setattr(setup, "all_steps", lambda: [first, second])
    assert setup.main() == 1
    said = capsys.readouterr().err
    assert said.startswith("setup: step 2 (second) failed: ")
    assert "ended with status 3, its last line was: 'no space left on device'. Free some space." in said
    assert "out/setup/second.log" in said
    assert setup.outdated([first, second]) == ["second"]  # what went well is not done again


def test_a_second_run_does_nothing_until_an_input_changes(
    setup: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "Message.msg"
    source.write_text("uint8 a")
    done: list[str] = []
    steps = [
        setup.Step("packages", "installing", (), lambda log: done.append("packages"), ""),
        setup.Step("messages", "building", (source,), lambda log: done.append("messages"), ""),
        setup.Step("rest", "finishing", (), lambda log: done.append("rest"), ""),
    ]
    monkeypatch.setattr(setup, "all_steps", lambda: steps)
    assert setup.main() == 0
    assert setup.main() == 0
    assert done == ["packages", "messages", "rest"]
    source.write_text("uint8 b")
    assert setup.main() == 0
    assert done[3:] == ["messages", "rest"]  # what builds on a changed step is done again too
    assert "ready in" in capsys.readouterr().out
