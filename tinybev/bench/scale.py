"""How latency and memory grow with cameras, image size, grid, agents in the scene, and listeners.

Each axis is measured by itself: its variants take turns, each in a process of its own. Where ROS is installed,
``tinybev_ros.listeners_bench`` adds the axes that need it.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
from collections.abc import Mapping
from dataclasses import asdict, dataclass

import torch

from tinybev.bench.interleaved import Prepare, time_in_turns
from tinybev.bench.network import DEFAULT_BUNDLE, YARDSTICK, check_backends, precision_of
from tinybev.bench.scale_plot import plot
from tinybev.bench.scale_work import Conclude, Look, check_without_memory
from tinybev.bench.sizes import parse_image_size, size_text, with_cells, with_image_size
from tinybev.bench.speed_row import SpeedRow, speed_row, table
from tinybev.model.config import StudentConfig
from tinybev.runtime.bundle import load_bundle
from tinybev.types import CAMERAS

DESCRIPTION = (
    "growth with cameras, image size, grid, agents and, with ROS, listeners "
    "(--bundle, --backends, --image-sizes, --grid-cells, --plot)"
)
CAMERA_COUNTS = (1, 2, 4, 6, 8, 10, 12)
IMAGE_SIZES = ("64x176", "128x352", "256x704", "512x1408")
GRID_CELLS = (100, 128, 200, 256, 400)
AGENT_COUNTS = (0, 50, 100, 200, 300)
NUMPY = "numpy"
"""What decodes the outputs, as a row's backend."""


@dataclass(frozen=True)
class Variant:
    """One size on one axis: its row's name and backend, and the work."""

    name: str
    backend: str
    prepare: Prepare


def run(args: argparse.Namespace) -> list[dict[str, object]]:
    """Measures, prints a table for each axis, draws the picture where ``args.plot`` is given, and returns the rows.

    Raises:
        UserError: a backend or a size is none, the bundle cannot be used, or the picture cannot be drawn.
    """
    bundle = load_bundle(args.bundle or DEFAULT_BUNDLE)
    check_without_memory(bundle)
    backends = check_backends(args.backends or [YARDSTICK])
    threads = args.threads or torch.get_num_threads()
    rows: list[SpeedRow] = []
    for variants in axes(bundle.config, args, backends, threads):
        measured, absent = measure(variants, args.rounds, threads)
        print(table(measured, absent))
        rows += measured
    if importlib.util.find_spec("rclpy") is None:
        print("not run: listeners and messages: they need ROS 2 (rclpy); run `make setup`.")
    else:
        module = importlib.import_module("tinybev_ros.listeners_bench")
        rows += module.measure(bundle.config, args.rounds, threads)
    if args.plot:
        print(f"drawn: {plot(rows, args.plot, f'{bundle.config.name}, {size_text(bundle.config)}')}")
    return [asdict(row) for row in rows]


def axes(
    config: StudentConfig, args: argparse.Namespace, backends: list[str], threads: int
) -> list[dict[str, Variant]]:
    """The variants of each axis by a name of their own.

    Raises:
        UserError: a size is none of the network's.
    """

    def look(name: str, config: StudentConfig, cameras: int = len(CAMERAS)) -> dict[str, Variant]:
        return {
            f"{name}, {backend}": Variant(name, backend, Look(config, cameras, backend, args.device, threads))
            for backend in backends
        }

    cameras = [look(f"cameras={number}", config, number) for number in CAMERA_COUNTS]
    sizes = [
        look(f"image={text}", with_image_size(config, parse_image_size(text)))
        for text in args.image_sizes or IMAGE_SIZES
    ]
    grids = [look(f"grid={cells}x{cells}", with_cells(config, cells)) for cells in args.grid_cells or GRID_CELLS]
    agents = [
        {f"agents={number}": Variant(f"agents={number}", NUMPY, Conclude(config, number, threads))}
        for number in AGENT_COUNTS
    ]
    return [_joined(axis) for axis in (cameras, sizes, grids, agents)]


def measure(variants: Mapping[str, Variant], rounds: int, threads: int) -> tuple[list[SpeedRow], dict[str, str]]:
    """A row for each variant that ran, and for each other one the reason.

    Args:
        variants: of one axis.
        rounds: turns of each.
        threads: that each was allowed.
    """
    timings, absent = time_in_turns({key: variant.prepare for key, variant in variants.items()}, rounds)
    rows = []
    for key, timing in timings.items():
        name, backend = variants[key].name, variants[key].backend
        yardstick = timings.get(f"{name}, {YARDSTICK}")
        rows.append(speed_row("scale", name, backend, precision_of(backend), threads, timing, yardstick))
    return rows, absent


def _joined(parts: list[dict[str, Variant]]) -> dict[str, Variant]:
    return {key: variant for part in parts for key, variant in part.items()}
