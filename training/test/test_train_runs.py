"""Whole runs: what they leave, and that one which is stopped or killed ends as one that was not."""

from __future__ import annotations

import dataclasses
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from tensorboard.summary.writer.record_writer import RecordWriter
from tinybev_training.data.dataset import open_dataset
from tinybev_training.long_work.folder_lock import alone_in
from tinybev_training.train import checkpoint_file
from tinybev_training.train.checkpoint_file import read_checkpoint
from tinybev_training.train.curves import read_curves
from tinybev_training.train.module import TrainingModule
from tinybev_training.train.pictures import REGIONS_HEIGHT, WIDTH
from tinybev_training.train.recipe import SELF, Recipe
from tinybev_training.train.recipes import find_recipe
from tinybev_training.train.run import Outcome, train
from tinybev_training.train.typed_json import changed
from torch import Tensor
from train_runs import (
    RECIPE,
    command,
    last_step,
    place,
    same_checkpoints,
    signal_in_step,
    wait_until,
)

from tinybev.errors import UserError
from tinybev.runtime.backends.torch_device import computes_bfloat16
from tinybev.runtime.bundle import read_bundle

pytestmark = pytest.mark.usefixtures("micro")

DISTILLED = dataclasses.replace(RECIPE, teacher=SELF, distill=find_recipe("self", "").distill)


@pytest.fixture(scope="module")
def straight(micro: None, split_dataroot: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of ``DISTILLED`` that nothing stopped, with pictures, which make no difference."""
    out = tmp_path_factory.mktemp("straight") / "run"
    assert train(DISTILLED, place(split_dataroot, out, pictures=2), resume=False) == Outcome(6, None)
    return out


def test_a_run_leaves_curves_recipe_checkpoints_and_a_bundle_of_the_average(straight: Path) -> None:
    curves = read_curves(straight / "metrics.csv")
    assert list(curves["train/loss"]) == [1, 2, 3, 4, 5, 6]
    assert list(curves["validation/loss"]) == [3, 6]
    assert {"train/supervised/map", "train/distilled/feature", "train/importance/agents"} <= curves.keys()
    assert Recipe.from_json((straight / "recipe.json").read_text(), "recipe.json") == DISTILLED
    assert list((straight / "tensorboard").glob("events.out.tfevents.*"))
    bundle = read_bundle(straight / "bundle")
    assert bundle.manifest.trained_on == "v1.0-mini half"
    assert bundle.manifest.metrics["validation_loss"] == curves["validation/loss"][6]
    state = read_checkpoint(straight / "last.safetensors")["state_dict"]
    assert isinstance(state, dict)
    for name, tensor in bundle.weights.items():
        assert torch.equal(tensor, state[f"average.module.student.{name}"])
    assert not torch.equal(bundle.weights["bev_stem.conv.0.weight"], state["network.student.bev_stem.conv.0.weight"])
    best = read_checkpoint(straight / "best.safetensors")
    assert best["global_step"] == min(curves["validation/loss"], key=curves["validation/loss"].__getitem__)
    assert sorted(path.name for path in straight.iterdir()) == [
        "best.safetensors",
        "bundle",
        "last.safetensors",
        "metrics.csv",
        "pictures",
        "recipe.json",
        "tensorboard",
    ]


def test_a_run_draws_what_it_sees_and_where_its_teacher_counts(straight: Path) -> None:
    drawn = sorted(path.name for path in (straight / "pictures").iterdir())
    kinds = ("1.jpg", "2.jpg", "regions.jpg")
    assert drawn == [f"step-{step:07d}-{kind}" for step in (3, 6) for kind in kinds]
    pictures = [cv2.imread(str(straight / "pictures" / name)) for name in drawn]
    assert all(picture is not None and picture.std() > 10 for picture in pictures)
    assert pictures[0].shape == pictures[1].shape
    assert pictures[0].shape[1] == WIDTH
    assert np.abs(pictures[0].astype(int) - pictures[1]).mean() > 1  # two samples
    assert pictures[2].shape[0] == 2 * REGIONS_HEIGHT  # the first sample of the step and the last
    disagreement = pictures[2][:REGIONS_HEIGHT, -REGIONS_HEIGHT:]
    assert disagreement[40:].std() > 10  # of a network in training and its average


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("step", [1, 3, 4])
def test_a_run_stopped_by_a_signal_and_gone_on_with_ends_as_a_straight_one(
    step: int,
    number: signal.Signals,
    straight: Path,
    split_dataroot: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Weights, average, optimizer, schedule, region weights, best loss and curves, to the last bit."""
    handler = signal.getsignal(number)
    with monkeypatch.context() as patch:
        signal_in_step(step, number, patch)
        assert train(DISTILLED, place(split_dataroot, tmp_path / "run"), resume=False) == Outcome(step, number)
    assert signal.getsignal(number) is handler
    assert not (tmp_path / "run" / "bundle").exists()
    torch.rand(7)  # what is drawn in between has no influence
    assert train(DISTILLED, place(split_dataroot, tmp_path / "run"), resume=True) == Outcome(6, None)
    assert same_checkpoints(straight, tmp_path / "run")
    assert (tmp_path / "run" / "metrics.csv").read_text() == (straight / "metrics.csv").read_text()


@pytest.mark.parametrize(
    "settings",
    [
        {"samples.accumulate": "2"},
        {"precision": "bf16-mixed"},
        {"memory_frames": "1", "samples.labelled": "2"},
        {"unlabelled_split": "other_half", "samples.unlabelled": "2"},
    ],
    ids=["accumulated", "bf16", "memory", "unlabelled"],
)
def test_every_kind_of_run_goes_on_exactly(
    settings: dict[str, str], split_dataroot: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Loaded by a process of its own the second time, which makes no difference either."""
    if "precision" in settings and not computes_bfloat16(torch.device("cpu")):
        pytest.skip("needs a processor with bfloat16 instructions")
    recipe = changed(DISTILLED, {**settings, "steps": "4", "telling.ego_status": "true"})
    train(recipe, place(split_dataroot, tmp_path / "straight", pictures=1), resume=False)
    with monkeypatch.context() as patch:
        signal_in_step(2, signal.SIGTERM, patch)
        assert train(recipe, place(split_dataroot, tmp_path / "run"), resume=False).step == 2
    train(recipe, dataclasses.replace(place(split_dataroot, tmp_path / "run"), workers=1), resume=True)
    assert same_checkpoints(tmp_path / "straight", tmp_path / "run")
    drawn = {path.name for path in (tmp_path / "straight" / "pictures").iterdir()}
    assert {"step-0000004-regions.jpg", "step-0000004-1.jpg"} <= drawn  # step 4 is the last and no third one


def test_a_run_draws_nothing_if_so_asked_and_no_more_than_there_is(split_dataroot: Path, tmp_path: Path) -> None:
    recipe = changed(RECIPE, {"steps": "1"})
    train(recipe, place(split_dataroot, tmp_path / "none"), resume=False)
    assert not (tmp_path / "none" / "pictures").exists()
    train(recipe, place(split_dataroot, tmp_path / "all", pictures=999), resume=False)
    there = len(open_dataset(split_dataroot, "v1.0-mini", recipe.validation_split))
    assert len(list((tmp_path / "all" / "pictures").iterdir())) == there > 1


def test_a_run_killed_at_any_moment_goes_on_from_its_last_checkpoint(
    straight: Path, split_dataroot: Path, tmp_path: Path
) -> None:
    """The process is killed as soon as there is a checkpoint, wherever it is then, a few times over."""
    where = place(split_dataroot, tmp_path / "run")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "recipe.json").write_text(DISTILLED.to_json())
    for _ in range(2):
        before = last_step(where.out)
        process = command(where, "--resume")
        wait_until(process, lambda seen=before: last_step(where.out) > seen)  # type: ignore[misc]
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    assert last_step(where.out) > 0
    assert train(DISTILLED, where, resume=True) == Outcome(6, None)
    assert same_checkpoints(straight, where.out)
    assert (where.out / "metrics.csv").read_text() == (straight / "metrics.csv").read_text()


def test_a_signal_to_the_whole_process_group_ends_in_a_checkpoint_and_a_sentence(
    split_dataroot: Path, tmp_path: Path
) -> None:
    """As from a terminal: the processes that load samples get it too."""
    number = signal.SIGINT
    where = place(split_dataroot, tmp_path / "run")
    where.out.mkdir()
    recipe = changed(RECIPE, {"steps": "5000", "rhythm.checkpoint": "1", "rhythm.validate": "5000"})
    (where.out / "recipe.json").write_text(recipe.to_json())
    process = command(where, "--resume", "--workers", "2")
    wait_until(process, lambda: last_step(where.out) > 0)
    os.killpg(process.pid, number)
    _, errors = process.communicate()
    assert process.returncode == 128 + number, errors[-3000:]
    step = last_step(where.out)
    sentence = f"stopped by {number.name} after step {step} of 5000; go on with --resume --out {where.out}."
    assert errors.splitlines()[-1] == sentence


def test_a_finished_run_is_left_as_it_is(straight: Path, split_dataroot: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in straight.rglob("*")}
    assert train(DISTILLED, place(split_dataroot, straight), resume=True) == Outcome(6, None)
    assert {path: path.stat().st_mtime_ns for path in straight.rglob("*")} == before


def test_a_run_killed_before_its_bundle_was_written_writes_it(
    straight: Path, split_dataroot: Path, tmp_path: Path
) -> None:
    shutil.copytree(straight, tmp_path / "run", ignore=shutil.ignore_patterns("bundle"))
    assert train(DISTILLED, place(split_dataroot, tmp_path / "run"), resume=True) == Outcome(6, None)
    assert read_bundle(tmp_path / "run" / "bundle").manifest == read_bundle(straight / "bundle").manifest
    assert same_checkpoints(straight, tmp_path / "run")


def test_a_bundle_in_the_way_is_named_before_training(split_dataroot: Path, tmp_path: Path) -> None:
    (tmp_path / "run" / "bundle").mkdir(parents=True)
    with pytest.raises(UserError, match="bundle: expected no bundle yet; remove it, or name another folder"):
        train(RECIPE, place(split_dataroot, tmp_path / "run"), resume=False)


def test_a_checkpoint_is_neither_overwritten_nor_taken_for_another_run(straight: Path, split_dataroot: Path) -> None:
    before = (straight / "last.safetensors").read_bytes()
    with pytest.raises(UserError, match=r"last\.safetensors: there is a checkpoint already; go on with --resume"):
        train(DISTILLED, place(split_dataroot, straight), resume=False)
    with pytest.raises(UserError, match=r"its recipe\.optimization\.learning_rate is 0\.001 and not 0\.5; go on with"):
        train(changed(DISTILLED, {"optimization.learning_rate": "0.5"}), place(split_dataroot, straight), resume=True)
    assert (straight / "last.safetensors").read_bytes() == before


@pytest.mark.parametrize("where", ["loss", "gradient"])
def test_what_is_not_finite_stops_the_run_and_names_the_samples(
    where: str, split_dataroot: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compute = TrainingModule.terms

    def terms(module: TrainingModule, *arguments: object) -> object:
        found = compute(module, *arguments)  # type: ignore[arg-type]
        if module.global_step < 4:
            return found
        if where == "loss":
            return found._replace(
                supervised=found.supervised._replace(map=torch.tensor(torch.nan)), loss=torch.nan * found.loss
            )
        return found._replace(loss=_BrokenGradient.apply(found.loss))

    monkeypatch.setattr(TrainingModule, "terms", terms)
    sentence = r"the loss is not finite \(loss, supervised/map\)" if where == "loss" else "the gradient is not finite"
    named = r"in step 4, samples (tiny-0001/\w+(, )?){4}; the last checkpoint is from before: look at"
    with pytest.raises(UserError, match=f"{sentence} {named}"):
        train(RECIPE, place(split_dataroot, tmp_path / "run"), resume=False)
    kept = read_checkpoint(tmp_path / "run" / "last.safetensors")
    assert kept["global_step"] == 4
    weights = kept["state_dict"]
    assert isinstance(weights, dict)
    assert all(bool(torch.isfinite(tensor).all()) for tensor in weights.values())


class _BrokenGradient(torch.autograd.Function):
    """A number whose gradient is infinite."""

    @staticmethod
    def forward(_: object, value: Tensor) -> Tensor:
        return value.clone()

    @staticmethod
    def backward(_: object, gradient: Tensor) -> Tensor:
        return gradient * torch.inf


def test_a_disk_that_fails_at_a_checkpoint_is_one_sentence_and_the_run_goes_on_later(
    straight: Path, split_dataroot: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace, calls = os.replace, []

    def fail_at_second(source: object, target: object) -> None:
        if str(target).endswith("last.safetensors"):
            calls.append(target)
            if len(calls) == 2:
                raise OSError(28, "No space left on device")
        replace(source, target)  # type: ignore[arg-type]

    monkeypatch.setattr(checkpoint_file.os, "replace", fail_at_second)
    where = place(split_dataroot, tmp_path / "run")
    with pytest.raises(UserError, match=r"last\.safetensors: the checkpoint cannot be written .*No space left"):
        train(DISTILLED, where, resume=False)
    assert read_checkpoint(where.out / "last.safetensors")["global_step"] == 2
    assert train(DISTILLED, where, resume=True) == Outcome(6, None)
    assert same_checkpoints(straight, where.out)


def test_two_runs_do_not_write_into_one_folder(straight: Path, split_dataroot: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in straight.rglob("*")}
    with alone_in(straight), pytest.raises(UserError, match="another process is at work in it"):
        train(DISTILLED, place(split_dataroot, straight), resume=True)
    assert before == {path: path.stat().st_mtime_ns for path in straight.rglob("*")}


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")  # TensorBoard's thread, meant here
@pytest.mark.parametrize("curves", ["metrics.csv", "tensorboard"])
def test_a_disk_that_fails_at_a_curve_is_one_sentence_and_the_run_goes_on_later(
    curves: str, straight: Path, split_dataroot: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = place(split_dataroot, tmp_path / "run")
    compute = TrainingModule.terms

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    def fill_at_fourth(module: TrainingModule, *arguments: object) -> object:
        if module.global_step == 3:
            if curves == "tensorboard":
                monkeypatch.setattr(RecordWriter, "write", full)
            else:
                (where.out / curves).unlink()
                (where.out / curves).symlink_to("/dev/full")
        return compute(module, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(TrainingModule, "terms", fill_at_fourth)
    with pytest.raises(UserError, match=rf"{curves} cannot be written: No space left on device"):
        train(DISTILLED, where, resume=False)
    monkeypatch.undo()
    assert train(DISTILLED, where, resume=True) == Outcome(6, None)
    assert same_checkpoints(straight, where.out)


def test_a_loader_that_is_still_held_at_exit_does_not_keep_the_process() -> None:
    """As a traceback holds it after an error; its worker leaves the signal alone with which Python ends it."""
    script = (
        "from torch.utils.data import DataLoader\n"
        "from tinybev_training.train.step_sampler import end_workers_at_exit, leave_signals_alone\n"
        "end_workers_at_exit()\n"
        "held = iter(DataLoader(range(8), num_workers=1, worker_init_fn=leave_signals_alone))\n"
        "print(next(held).item())\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "0\n", "")
