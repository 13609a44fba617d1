"""Fixtures of the training room's tests: real nuScenes data where it is at hand, and tiny generated data."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import settings

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(Path(__file__).resolve().parent / "support"), str(ROOT / "test" / "support")]

from tiny_nuscenes import write_tiny_nuscenes  # noqa: E402

from tinybev.model.config import VARIANTS  # noqa: E402

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
    """A generated dataset of two scenes of 8 s: the ego drives a left-hand circle, see ``tiny_nuscenes``."""
    return write_tiny_nuscenes(tmp_path_factory.mktemp("tiny"), seconds=8.0)


@pytest.fixture(scope="session")
def split_dataroot(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A generated dataset of two scenes of 4 s, each a split of its own, see ``train_runs.add_splits``."""
    from train_runs import add_splits  # imports Lightning, which takes seconds

    return add_splits(write_tiny_nuscenes(tmp_path_factory.mktemp("split"), seconds=4.0))


@pytest.fixture(scope="module")
def micro() -> Iterator[None]:
    """The micro network is known, and sums are formed in one order: on one thread, as in processes of their own."""
    from train_runs import MICRO, register_micro

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    register_micro()
    yield
    del VARIANTS[MICRO.name]
    torch.set_num_threads(threads)
