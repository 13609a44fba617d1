"""Two processes that share every step train as one that takes it whole."""

from __future__ import annotations

import dataclasses
import signal
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from tinybev_training.train.checkpoint_file import read_checkpoint
from tinybev_training.train.curves import read_curves
from tinybev_training.train.place import Place, Processes, processes
from tinybev_training.train.recipe import SELF, Recipe
from tinybev_training.train.recipes import find_recipe
from tinybev_training.train.typed_json import changed
from torch import Tensor
from train_runs import RECIPE, command, last_step, place, wait_until

from tinybev.errors import UserError

RECIPE_OF_ALL = changed(
    dataclasses.replace(RECIPE, teacher=SELF, distill=find_recipe("self", "").distill),
    {
        # Batch normalisation sees the samples of one process; with statistics that stay as they are, a sample's outputs
        # do not depend on its neighbours, so the two runs compute the same sums in another order.
        "freeze_normalisation": "true",
        "distill.ramp_steps": "0",  # all of it from the first step on
        # Adam makes whole steps of gradients that are all but zero, whose sign hangs on the order of sums: small steps.
        "optimization.learning_rate": "1e-6",
        "unlabelled_split": "other_half",
        "samples.unlabelled": "2",
        "steps": "4",
        "rhythm.validate": "4",
    },
)


def run(recipe: Recipe, where: Place, count: int) -> None:
    """Trains in ``count`` processes of their own; the very same command for any number of them."""
    where.out.mkdir(exist_ok=True)
    (where.out / "recipe.json").write_text(recipe.to_json())
    process = command(where, "--resume", processes=count)
    output, errors = process.communicate()
    assert process.returncode == 0, errors[-3000:]
    assert output.count("trained 4 steps (") == 1


def test_two_processes_have_the_losses_and_gradients_of_one(split_dataroot: Path, tmp_path: Path) -> None:
    one, two = place(split_dataroot, tmp_path / "one"), place(split_dataroot, tmp_path / "two")
    run(RECIPE_OF_ALL, one, 1)
    run(RECIPE_OF_ALL, two, 2)
    expected, found = (read_curves(where.out / "metrics.csv") for where in (one, two))
    assert found.keys() == expected.keys()
    for curve, values in expected.items():
        if 1 in values:  # with the same weights
            assert found[curve][1] == pytest.approx(values[1], rel=1e-4, abs=1e-6), curve
    for curve in ("train/loss", "train/gradient_norm", "validation/loss"):  # with those that the steps before made
        # Adam divides by a gradient's own size, so the last bits of small ones grow from step to step.
        assert found[curve] == pytest.approx(expected[curve], rel=5e-3), curve
    whole, shared = (mean_gradient(where) for where in (one, two))
    assert (shared - whole).norm() < 0.01 * whole.norm()


def mean_gradient(where: Place) -> Tensor:
    """The running mean of the gradients at the end of a run, in one row."""
    (optimizer,) = cast(list[Any], read_checkpoint(where.out / "last.safetensors")["optimizer_states"])
    return torch.cat([state["exp_avg"].flatten() for state in optimizer["state"].values()])


def test_a_signal_to_one_of_two_processes_stops_both_and_either_number_goes_on(
    split_dataroot: Path, tmp_path: Path
) -> None:
    where = place(split_dataroot, tmp_path / "run")
    where.out.mkdir()
    recipe = changed(RECIPE_OF_ALL, {"steps": "2000", "rhythm.checkpoint": "1", "rhythm.validate": "2000"})
    (where.out / "recipe.json").write_text(recipe.to_json())
    process = command(where, "--resume", processes=2)
    wait_until(process, (where.out / "last.safetensors").is_file)
    process.send_signal(signal.SIGTERM)  # torchrun hands it on to its processes, one after the other
    _, errors = process.communicate()
    step = last_step(where.out)
    assert 0 < step < 2000, errors[-3000:]
    assert f"stopped by SIGTERM after step {step} of 2000; go on with --resume" in errors
    rows = (where.out / "metrics.csv").read_text().splitlines()
    assert rows[-1].startswith(f"{step},")


@pytest.mark.parametrize(
    ("environment", "devices", "expected"),
    [
        ({}, 1, Processes(1, 1)),
        ({}, 4, Processes(4, 1)),
        ({"LOCAL_WORLD_SIZE": "8", "WORLD_SIZE": "32"}, 1, Processes(8, 4)),
        ({"LOCAL_WORLD_SIZE": "8", "WORLD_SIZE": "8"}, 8, Processes(8, 1)),
    ],
)
def test_torchrun_says_how_many_processes_there_are(
    environment: dict[str, str], devices: int, expected: Processes, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("LOCAL_WORLD_SIZE", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert processes(Place(Path(), "v", Path(), devices=devices)) == expected


def test_devices_that_contradict_torchrun_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "8")
    monkeypatch.setenv("WORLD_SIZE", "8")
    with pytest.raises(UserError, match="--devices 2: torchrun started 8 processes here; leave --devices out"):
        processes(Place(Path(), "v", Path(), devices=2))
