"""Bundles on the way, and the bar of a run that goes on."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from tiny_nuscenes import write_tiny_nuscenes
from tinybev_training.train.checkpoint_file import read_checkpoint
from tinybev_training.train.module import TrainingModule
from tinybev_training.train.run import Outcome, train
from tinybev_training.train.snapshots import snapshot_folder
from tinybev_training.train.typed_json import changed
from train_runs import MICRO, RECIPE, add_splits, place, register_micro

from tinybev.model.config import VARIANTS
from tinybev.runtime.bundle import read_bundle

SNAPSHOTS = changed(RECIPE, {"rhythm.bundle": "2", "samples.accumulate": "2"})


@pytest.fixture(scope="module", autouse=True)
def _micro() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    register_micro()
    yield
    del VARIANTS[MICRO.name]
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def dataroot(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return add_splits(write_tiny_nuscenes(tmp_path_factory.mktemp("dataset"), seconds=4.0))


def test_the_average_is_exported_on_the_way_and_by_a_run_that_goes_on_as_well(
    dataroot: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    compute = TrainingModule.training_step

    def stop_in_step_4(module: TrainingModule, batch: object, batch_idx: int) -> object:
        if batch_idx == 6:  # its first part of two
            os.kill(os.getpid(), signal.SIGTERM)
        return compute(module, batch, batch_idx)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(TrainingModule, "training_step", stop_in_step_4)
        assert train(SNAPSHOTS, place(dataroot, out), resume=False) == Outcome(4, signal.SIGTERM)
    state = read_checkpoint(out / "last.safetensors")
    assert state["global_step"] == 4
    on_the_way = read_bundle(snapshot_folder(out, 4))
    for name, tensor in on_the_way.weights.items():
        assert torch.equal(tensor, state["state_dict"][f"average.module.student.{name}"])
    earlier = read_bundle(snapshot_folder(out, 2)).weights
    assert not torch.equal(earlier["bev_stem.conv.0.weight"], on_the_way.weights["bev_stem.conv.0.weight"])

    capfd.readouterr()
    assert train(SNAPSHOTS, place(dataroot, out), resume=True) == Outcome(6, None)
    shown = capfd.readouterr().out
    assert "training:  67%" in shown  # it begins at 8 of 12 parts
    assert "12/12" in shown
    assert sorted(path.name for path in (out / "bundles").iterdir()) == ["step-0000002", "step-0000004"]
