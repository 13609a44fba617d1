"""The command: help, unknown commands, and errors that are sentences."""

from __future__ import annotations

import argparse
import subprocess
import sys
from types import ModuleType

import pytest

from tinybev import cli
from tinybev.bench import BENCHES
from tinybev.errors import UserError


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["--help"])
    assert ended.value.code == 0
    shown = capsys.readouterr().out
    assert all(command.name in shown and command.summary in shown for command in cli.COMMANDS)


def test_the_help_of_bench_has_a_line_for_each(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["bench", "--help"])
    lines = capsys.readouterr().out.splitlines()
    assert all(any(line.startswith(f"  {name}: ") for line in lines) for name in BENCHES)


def test_an_unknown_command_is_refused_with_the_list(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["dance"])
    assert ended.value.code == 2
    assert "invalid choice: 'dance'" in capsys.readouterr().err


def test_an_error_for_the_user_is_one_line_and_status_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    module = ModuleType("command_under_test")

    def run(_args: argparse.Namespace) -> int:
        raise UserError("expected a bag, found a cat; feed it.")

    module.add_arguments = lambda parser: None  # type: ignore[attr-defined]
    module.run = run  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    assert cli.run_command(module.__name__, [], "tinybev test") == 2
    assert capsys.readouterr().err == "tinybev test: expected a bag, found a cat; feed it.\n"


def test_a_command_of_a_room_that_is_not_installed_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run_command("tinybev_absent.train", [], "tinybev train") == 2
    assert "needs the Python module 'tinybev_absent', which is not installed" in capsys.readouterr().err


def test_the_command_line_imports_neither_ros_nor_torch() -> None:
    code = "import sys, tinybev.cli; print(sorted({'torch', 'rclpy', 'cv2', 'tinybev_ros'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"
