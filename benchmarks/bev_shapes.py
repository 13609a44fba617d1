"""Measures where the bird's-eye-view part of `tinybev-base` may put its parameters: the table in docs/model.md.

Every row is the same network with another grid, other strides or other widths behind the lift. Times are CPU time of
one thread, as a ratio to torchvision's ResNet-18 on one 256x704 image in the same process and the same rounds, so that
they can be compared between machines and are not moved by what else runs there.

    python benchmarks/bev_shapes.py
"""

from __future__ import annotations

import dataclasses
import statistics
import time
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from tqdm import tqdm

from tinybev.model.config import StudentConfig, find_variant
from tinybev.model.heads.planning import PlanConditions
from tinybev.model.student import Student, StudentOutputs, seeded_student
from tinybev.model.summary import summarize
from tinybev.model.torchvision_import import torchvision

ROUNDS = 7
BASE = find_variant("base")
SHAPES: dict[str, StudentConfig] = {
    "as shipped": BASE,
    "heads on the 200x200 grid": dataclasses.replace(BASE, bev_stem_stride=1),
    "the same, half as wide": dataclasses.replace(
        BASE, bev_stem_stride=1, bev_widths=(40, 80, 160, 256), bev_channels=48
    ),
    "heads on a 50x50 grid": dataclasses.replace(BASE, bev_stem_stride=4),
    "the same, wider": dataclasses.replace(BASE, bev_stem_stride=4, bev_widths=(160, 320, 512), bev_blocks=(2, 2, 2)),
    "three wide stages": dataclasses.replace(BASE, bev_widths=(128, 256, 512), bev_blocks=(2, 2, 2)),
    "128x128 grid of 0.8 m, heads on it": dataclasses.replace(
        BASE, x_bound=(-51.2, 51.2, 0.8), y_bound=(-51.2, 51.2, 0.8), bev_stem_stride=1
    ),
}


def run_behind_lift(student: Student, lifted_BCXY: Tensor) -> StudentOutputs:
    """Stem, encoder and all heads, which the table counts, of a student without memory."""
    conditions = PlanConditions(torch.zeros(1, 3), torch.zeros(1, 3), torch.zeros(1, 4))
    no_depth = torch.zeros(0)  # is only handed through
    return student.conclude(student.bev_stem(lifted_BCXY), no_depth, conditions)


def cpu_seconds(call: Callable[[], object]) -> float:
    """CPU time of one call."""
    started = time.process_time()
    call()
    return time.process_time() - started


def main() -> None:
    """Prints the table."""
    torch.set_num_threads(1)
    yardstick = torchvision.models.resnet18(weights=None).eval()
    image = torch.randn(1, 3, 256, 704)
    calls: dict[str, Callable[[], object]] = {"yardstick": lambda: yardstick(image)}
    for name, config in SHAPES.items():
        lifted = torch.randn(1, config.context_channels, *config.grid.shape)
        calls[name] = partial(run_behind_lift, seeded_student(config, 0), lifted)
    times: dict[str, list[float]] = {name: [] for name in calls}
    with torch.inference_mode():
        for _ in tqdm(range(ROUNDS), desc="rounds"):
            for name, call in calls.items():
                times[name].append(cpu_seconds(call))
    print("| behind the lift | cell of the heads | parameters | GFLOP | time |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for name, config in SHAPES.items():
        parts = [
            part for part in summarize(config).parts if part.name.startswith("bev_") or part.name.endswith("_head")
        ]
        ratio = statistics.median(times[name]) / statistics.median(times["yardstick"])
        cell = config.head_grid.x_bound[2]
        parameters, macs = sum(part.parameters for part in parts), sum(part.macs for part in parts)
        print(f"| {name} | {cell:.2f} m | {parameters / 1e6:.1f}M | {2 * macs / 1e9:.1f} | {ratio:.2f} |")


if __name__ == "__main__":
    main()
