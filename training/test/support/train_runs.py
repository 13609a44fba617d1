"""Training runs of seconds: a network of a few thousand weights on a generated dataset.

As a command it is ``tinybev`` with that network known, for tests that start, stop and kill processes.
"""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from tiny_students import THIN
from tinybev_training.train.checkpoint_file import read_checkpoint
from tinybev_training.train.module import TrainingModule
from tinybev_training.train.place import Place
from tinybev_training.train.recipe import Averaging, Optimization, Recipe, Rhythm, Samples

from tinybev import cli
from tinybev.model.config import VARIANTS

ROOT = Path(__file__).resolve().parents[3]

MICRO = dataclasses.replace(THIN, name="tinybev-micro", d_bound=(1.0, 25.0, 2.0), neck_channels=16, max_agents=20)

RECIPE = Recipe(
    name="micro",
    network="micro",
    split="half",
    validation_split="other_half",
    steps=6,
    samples=Samples(labelled=4),
    optimization=Optimization(learning_rate=1e-3, warmup_steps=2),
    averaging=Averaging(decay=0.9),
    rhythm=Rhythm(log=1, checkpoint=2, validate=3, validation_samples=4),
)


def register_micro() -> None:
    """Makes ``MICRO`` a variant."""
    VARIANTS[MICRO.name] = MICRO


def add_splits(dataroot: Path) -> Path:
    """Divides the scenes of a generated dataset into two splits."""
    (dataroot / "v1.0-mini" / "splits.json").write_text(
        json.dumps({"half": ["tiny-0001"], "other_half": ["tiny-0002"]})
    )
    return dataroot


def place(dataroot: Path, out: Path, pictures: int = 0) -> Place:
    """On this machine's CPU."""
    return Place(dataroot, "v1.0-mini", out, device="cpu", pictures=pictures)


def command(place: Place, *arguments: str, processes: int = 1) -> subprocess.Popen[str]:
    """Starts ``tinybev train`` with the micro network in a process group of its own."""
    start = [sys.executable]
    if processes > 1:
        start += ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    options = ["--dataroot", place.dataroot, "--version", place.version, "--out", place.out, "--device", "cpu"]
    return subprocess.Popen(
        [*start, __file__, "train", *map(str, options), "--workers", "0", *arguments],
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT / "test" / "support")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def wait_until(process: subprocess.Popen[str], condition: Callable[[], bool]) -> None:
    """Returns when ``condition`` holds or the process has ended."""
    while process.poll() is None and not condition():
        with suppress(subprocess.TimeoutExpired):
            process.wait(0.02)


def signal_in_step(step: int, number: int, patch: pytest.MonkeyPatch) -> None:
    """The process gets a signal while it computes the first part of a step, counted from 1."""
    compute = TrainingModule.training_step
    sent: list[int] = []

    def training_step(module: TrainingModule, batch: object, batch_idx: int) -> object:
        if module.global_step == step - 1 and not sent:
            sent.append(step)
            os.kill(os.getpid(), number)
        return compute(module, batch, batch_idx)  # type: ignore[arg-type]

    patch.setattr(TrainingModule, "training_step", training_step)


def difference(one: object, other: object, name: str = "") -> str:
    """The name of the first place where two states are not equal to the last bit; empty where there is none."""
    if isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        same = one.dtype == other.dtype and torch.equal(one, other)
        return "" if same else name
    if type(one) is not type(other):
        return name
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        keys = [*one, *(key for key in other if key not in one)]
        pairs = [(f"{name}.{key}", one.get(key), other.get(key)) for key in keys]
    elif isinstance(one, Sequence) and not isinstance(one, str) and isinstance(other, Sequence):
        if len(one) != len(other):
            return name
        pairs = [(f"{name}.{number}", *pair) for number, pair in enumerate(zip(one, other, strict=True))]
    else:
        return "" if one == other else name
    return next((found for path, a, b in pairs if (found := difference(a, b, path))), "")


def last_step(folder: Path) -> int:
    """The step of a run's last checkpoint, 0 where there is none."""
    path = folder / "last.safetensors"
    if not path.is_file():
        return 0
    step = read_checkpoint(path)["global_step"]
    assert isinstance(step, int)
    return step


def same_checkpoints(one: Path, other: Path) -> bool:
    """Whether two runs' last checkpoints hold the same, to the last bit."""
    states = (read_checkpoint(folder / "last.safetensors") for folder in (one, other))
    return not difference(*states)


if __name__ == "__main__":
    torch.set_num_threads(1)
    register_micro()
    sys.exit(cli.main(sys.argv[1:]))
