"""How many samples a second a training step takes, and whether it waits for data or computes.

The step is that of a run: loading, targets, network, losses, gradients, optimizer and average; without what Lightning
and the curves add. Precisions are measured one after the other, because what a step waits for depends on how fast the
steps before it were.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import resource
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from tinybev.bench.foreign_load import Meter, foreign_share, is_disturbed
from tinybev.bench.network import DEFAULT_BUNDLE
from tinybev.bench.speed_row import SpeedRow, table
from tinybev.errors import UserError
from tinybev.runtime.backends.torch_device import check_bfloat16, choose_device
from tinybev.runtime.bundle import load_bundle
from tinybev_training.train.first_weights import first_network
from tinybev_training.train.inputs import Told
from tinybev_training.train.learning_rate import make_optimizer
from tinybev_training.train.module import TrainingModule
from tinybev_training.train.place import Place
from tinybev_training.train.recipe import Recipe, Samples
from tinybev_training.train.resume import Identity
from tinybev_training.train.splits import Needs, Splits, open_splits
from tinybev_training.train.step_sampler import Share, step_loader

PRECISIONS = ("float32", "bfloat16")
WARM_UP_STEPS = 2
"""Not counted: the loader's processes start, and libraries choose their kernels."""


@dataclass(frozen=True)
class StepTime:
    """Of one step, seconds: until its batch was there, and from then on until the weights had changed."""

    waiting_s: float
    computing_s: float


@dataclass(frozen=True)
class Throughput:
    """What a number of steps amount to.

    Attributes:
        samples_per_s: all samples by all time.
        waiting_share: of the time, in which the step had no batch, 0 to 1.
        computing_samples_per_s: if batches were always there.
        starved_by: "data" where steps wait for longer than they compute, else "computing".
    """

    samples_per_s: float
    waiting_share: float
    computing_samples_per_s: float
    starved_by: str


def throughput(steps: Sequence[StepTime], batch: int) -> Throughput:
    """The figures of steps of ``batch`` samples; of one step at least."""
    waiting_s = sum(step.waiting_s for step in steps)
    computing_s = sum(step.computing_s for step in steps)
    samples = batch * len(steps)
    return Throughput(
        samples_per_s=samples / (waiting_s + computing_s),
        waiting_share=waiting_s / (waiting_s + computing_s),
        computing_samples_per_s=samples / computing_s,
        starved_by="data" if waiting_s > computing_s else "computing",
    )


def run(args: argparse.Namespace) -> list[dict[str, object]]:
    """Measures the precisions that the device is made for, prints the table, and returns its rows.

    Raises:
        UserError: the device, the dataset or a number cannot be used.
    """
    if args.batch < 1 or args.workers < 0:
        raise UserError(f"--batch and --workers: expected at least 1 and 0, got {args.batch} and {args.workers}.")
    device = choose_device(args.device)
    if args.threads:
        torch.set_num_threads(args.threads)
    recipe = Recipe(
        name="bench",
        network=load_bundle(args.bundle or DEFAULT_BUNDLE).config.name,
        split=args.split,
        validation_split="",
        samples=Samples(labelled=args.batch),
    )
    place = Place(args.dataroot, args.version, out=Path(), device=args.device, workers=args.workers)
    config = first_network(recipe).config
    needs = Needs(lidar=recipe.supervised.depth > 0, past_frames=config.memory_frames)
    splits = open_splits(recipe, place, config, needs, progress=True)
    rows: list[SpeedRow] = []
    told: list[dict[str, object]] = []
    for precision in _precisions(device):
        processors = os.cpu_count() or 1
        steps, share = measure(recipe, splits, place, device, precision, args.rounds)
        row = _row(recipe, steps, precision, device, is_disturbed(share), rows[0].p50_ms if rows else None)
        rows.append(row)
        extra: dict[str, object] = {
            key: value if isinstance(value, str) else round(value, 3)
            for key, value in asdict(throughput(steps, args.batch)).items()
        }
        told.append(asdict(row) | extra | {"workers": args.workers, "foreign_share": share, "processors": processors})
    print(table(rows, {}))
    for line in told:
        print(
            f"{line['precision']}: {line['samples_per_s']} samples/s, {line['waiting_share']} of the time waiting for "
            f"data; {line['computing_samples_per_s']} samples/s if it never waited: starved by {line['starved_by']}"
        )
    return told


def _precisions(device: torch.device) -> Sequence[str]:
    """Those that the device is made for; says why one is left out."""
    try:
        check_bfloat16(device, "bfloat16", "float32")
    except UserError as error:
        print(f"bench train: {error}")
        return PRECISIONS[:1]
    return PRECISIONS


def measure(
    recipe: Recipe, splits: Splits, place: Place, device: torch.device, precision: str, rounds: int
) -> tuple[list[StepTime], float | None]:
    """The times of ``rounds`` steps after the warm-up, and the share of other work meanwhile."""
    torch.manual_seed(recipe.seed)
    share = Share(recipe.samples.labelled)
    module = TrainingModule(recipe, first_network(recipe), share, Identity(recipe, splits.digest)).to(device)
    optimizer = make_optimizer(module, recipe.optimization)
    batches = iter(step_loader(splits.training, splits.labelled, share, 0, place.workers, device.type == "cuda"))
    labelled_B = torch.ones(share.batch_size, dtype=torch.bool)
    steps: list[StepTime] = []
    before: Meter | None = None
    for number in tqdm(range(WARM_UP_STEPS + rounds), desc=precision, unit="step", leave=False, disable=None):
        if number == WARM_UP_STEPS:
            before = Meter.read(_own_processes())
        started = time.perf_counter()
        batch = next(batches)
        there = time.perf_counter()
        batch = batch.to(device)
        told = Told.draw(recipe.telling, recipe.seed, number, share.batch_size, share.rows(0))
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16"):
            loss = module.terms(batch, told, labelled_B).loss
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(module.parameters(), recipe.optimization.clip_norm)
        optimizer.step()
        module.average.update_parameters(module.network)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        steps.append(StepTime(there - started, time.perf_counter() - there))
    assert before is not None
    after = Meter.read(list(before.processes_s))
    return steps[WARM_UP_STEPS:], foreign_share(before, after, os.cpu_count() or 1)


def _own_processes() -> list[int]:
    """This one, and those that load."""
    return [os.getpid(), *(child.pid for child in multiprocessing.active_children() if child.pid is not None)]


def _row(
    recipe: Recipe,
    steps: Sequence[StepTime],
    precision: str,
    device: torch.device,
    disturbed: bool,
    float32_p50_ms: float | None,
) -> SpeedRow:
    step_ms = [1e3 * (step.waiting_s + step.computing_s) for step in steps]
    p50, p95, p99 = (float(np.percentile(step_ms, percent)) for percent in (50, 95, 99))
    return SpeedRow(
        what="train",
        variant=f"{recipe.network}, {recipe.samples.labelled} samples a step",
        backend=f"torch {device.type}",
        precision=precision,
        threads=torch.get_num_threads(),
        p50_ms=round(p50, 3),
        p95_ms=round(p95, 3),
        ratio_to_torch_fp32=round((float32_p50_ms or p50) / p50, 3),
        gflops=None,
        share_of_peak=None,
        peak_memory_mb=round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        samples=len(steps),
        disturbed=disturbed,
        p99_ms=round(p99, 3),
    )
