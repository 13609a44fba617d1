"""``tinybev run`` under a real torchrun: two processes share the bags, and a killed run is gone on with."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from offline_runs import NETWORK, contents, run
from tiny_nuscenes import SCENES, write_tiny_nuscenes

from tinybev_ros.nuscenes2bag import convert_scene
from tinybev_ros.nuscenes_dataset import open_dataset
from tinybev_ros.offline import SUMMARY

BAGS = 4
TIMEOUT_S = 100.0
LAUNCHER = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "--module", "tinybev.cli")


@pytest.fixture(scope="module")
def bags(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Four bags of half a second, each pair of one scene."""
    folder = tmp_path_factory.mktemp("bags")
    nusc = open_dataset(write_tiny_nuscenes(folder / "data", seconds=0.5), "v1.0-mini")
    return [convert_scene(nusc, SCENES[number % len(SCENES)], folder / f"bag-{number}").bag for number in range(BAGS)]


def torchrun(bags: list[Path], out: Path) -> subprocess.Popen[bytes]:
    """Starts the launcher, which starts two processes."""
    arguments = ["run", *NETWORK, "--out", str(out), "--bags", *map(str, bags)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen([sys.executable, *LAUNCHER, *arguments], env=environment)


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.005)


def family(process: int) -> list[int]:
    """A process and all that it and they have started; those that have ended are left out."""
    children: dict[int, list[int]] = {}
    alive = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, parent = stat.read_text().rpartition(")")[2].split()[:2]
        except (OSError, ValueError):
            continue  # it ended while it was looked at
        if state != "Z":
            alive.add(int(stat.parent.name))
            children.setdefault(int(parent), []).append(int(stat.parent.name))
    found = [process]
    for one in found:
        found += children.get(one, [])
    return [one for one in found if one in alive]


def is_alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def kill(launcher: subprocess.Popen[bytes]) -> None:
    """Kills the launcher first, then what it started (each is in a session of its own), before any can clean up."""
    processes = family(launcher.pid)
    for process in processes:
        try:
            os.kill(process, signal.SIGKILL)
        except ProcessLookupError:
            continue
    launcher.wait(TIMEOUT_S)
    wait_for(lambda: not any(is_alive(process) for process in processes))


def done(out: Path) -> dict[str, int]:
    """When each bag that is done was done, in ns."""
    return {path.parent.name: path.stat().st_mtime_ns for path in out.glob(f"*/{SUMMARY}")}


def test_a_killed_run_is_gone_on_with_and_two_processes_write_what_one_writes(
    bags: list[Path], tmp_path: Path, ros_domain: int
) -> None:
    out = tmp_path / "two"
    cut_off = torchrun(bags, out)
    try:
        wait_for(lambda: bool(done(out)) or cut_off.poll() is not None)
    finally:
        kill(cut_off)
    before = done(out)
    assert 0 < len(before) < BAGS, "it was not killed midway"

    again = torchrun(bags, out)
    try:
        assert again.wait(TIMEOUT_S) == 0
    finally:
        kill(again)
    after = done(out)
    assert sorted(after) == [bag.name for bag in bags]
    assert {name: after[name] for name in before} == before, "a bag that was done was run again"
    assert not list(out.glob("*/.*")), "something unfinished was left"

    assert run(bags, tmp_path / "one") == 0
    assert contents(out) == contents(tmp_path / "one")
