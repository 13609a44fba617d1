"""Bundles on the way, and the bar of a run that goes on."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
import torch
from tinybev_training.train.checkpoint_file import read_checkpoint
from tinybev_training.train.run import Outcome, train
from tinybev_training.train.snapshots import snapshot_folder
from tinybev_training.train.typed_json import changed
from train_runs import RECIPE, place, signal_in_step

from tinybev.runtime.bundle import read_bundle

pytestmark = pytest.mark.usefixtures("micro")

SNAPSHOTS = changed(RECIPE, {"rhythm.bundle": "2", "samples.accumulate": "2"})


def test_the_average_is_exported_on_the_way_and_by_a_run_that_goes_on_as_well(
    split_dataroot: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    with monkeypatch.context() as patch:
        signal_in_step(4, signal.SIGTERM, patch)
        assert train(SNAPSHOTS, place(split_dataroot, out), resume=False) == Outcome(4, signal.SIGTERM)
    state = read_checkpoint(out / "last.safetensors")
    assert state["global_step"] == 4
    on_the_way = read_bundle(snapshot_folder(out, 4))
    for name, tensor in on_the_way.weights.items():
        assert torch.equal(tensor, state["state_dict"][f"average.module.student.{name}"])
    earlier = read_bundle(snapshot_folder(out, 2)).weights
    assert not torch.equal(earlier["bev_stem.conv.0.weight"], on_the_way.weights["bev_stem.conv.0.weight"])

    capfd.readouterr()
    assert train(SNAPSHOTS, place(split_dataroot, out), resume=True) == Outcome(6, None)
    shown = capfd.readouterr().out
    assert "training:  67%" in shown  # it begins at 8 of 12 parts
    assert "12/12" in shown
    assert sorted(path.name for path in (out / "bundles").iterdir()) == ["step-0000002", "step-0000004"]
