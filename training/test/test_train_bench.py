"""The bench of training steps: figures follow from the times, and a run on the CPU gives rows."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from tinybev_training.train.bench import StepTime, throughput

from tinybev.cli import main
from tinybev.runtime.backends.torch_device import computes_bfloat16


def test_throughput_of_known_times() -> None:
    fed = throughput([StepTime(0.1, 0.9), StepTime(0.3, 0.7)], batch=4)
    assert fed.samples_per_s == pytest.approx(4.0)
    assert fed.waiting_share == pytest.approx(0.2)
    assert fed.computing_samples_per_s == pytest.approx(5.0)
    assert fed.starved_by == "computing"
    assert throughput([StepTime(3.0, 1.0)], batch=2).starved_by == "data"


def test_the_command_writes_rows(split_dataroot: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "rows.json"
    where = ["--dataroot", str(split_dataroot), "--version", "v1.0-mini", "--split", "half"]
    how = ["--bundle", "untrained:nano", "--batch", "1", "--workers", "0", "--rounds", "1", "--device", "cpu"]
    assert main(["bench", "--only", "train", *where, *how, "--json", str(out)]) == 0
    rows = json.loads(out.read_text())["train"]
    there = ["float32", *(["bfloat16"] if computes_bfloat16(torch.device("cpu")) else [])]
    assert [(row["what"], row["precision"], row["samples"]) for row in rows] == [("train", name, 1) for name in there]
    assert all(row["samples_per_s"] > 0 and 0 <= row["waiting_share"] <= 1 for row in rows)
    assert "samples/s if it never waited: starved by" in capsys.readouterr().out


def test_a_batch_of_nothing_is_refused(split_dataroot: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--dataroot", str(split_dataroot), "--batch", "0"]
    assert main(["bench", "--only", "train", *arguments]) == 2
    assert "--batch and --workers: expected at least 1 and 0, got 0 and 2" in capsys.readouterr().err
