"""Fixtures every test may use: real and generated nuScenes data, and a ROS domain of the test's own."""

from __future__ import annotations

import itertools
import os
import shutil
import sys
from pathlib import Path

import pytest
from hypothesis import settings

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(Path(__file__).resolve().parent / "support"))

from tiny_nuscenes import write_tiny_nuscenes  # noqa: E402

# Domains 1 to 101 are the ones whose ports stay clear of Linux's ephemeral range. Starting at a place that depends on
# the process keeps two test runs on one machine apart.
_DOMAINS = itertools.cycle(range(1, 102))
for _ in range(os.getpid() % 101):
    next(_DOMAINS)


# Tests hold what comes out and not how fast: a machine may be busy.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


@pytest.fixture(scope="session")
def nuscenes_dataroot() -> Path:
    """A nuScenes dataroot with v1.0-mini: $TINYBEV_NUSCENES, or the one beside the checkout; skips without it."""
    named = os.environ.get("TINYBEV_NUSCENES")
    dataroot = Path(named) if named else ROOT.parent / "shared" / "data" / "nuscenes-real"
    if not (dataroot / "v1.0-mini" / "sample.json").is_file():
        pytest.skip(f"needs nuScenes v1.0-mini, not found at {dataroot}; set TINYBEV_NUSCENES to its folder")
    return dataroot


@pytest.fixture(scope="session")
def tiny_dataroot(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A generated dataset of two scenes of 2 s, see ``tiny_nuscenes``; to be left as it is."""
    return write_tiny_nuscenes(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def dataset_copy(tmp_path: Path, tiny_dataroot: Path) -> Path:
    """A copy of the generated dataset that a test may damage."""
    return Path(shutil.copytree(tiny_dataroot, tmp_path / "nuscenes"))


@pytest.fixture
def ros_domain(monkeypatch: pytest.MonkeyPatch) -> int:
    """A ROS domain that no other test uses, on this machine only; processes the test starts inherit it."""
    domain = next(_DOMAINS)
    monkeypatch.setenv("ROS_DOMAIN_ID", str(domain))
    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    return domain
