"""The whole path of a frame without ROS: JPEG files to the five outputs, through every backend, in turns."""

from __future__ import annotations

import argparse
import dataclasses
from dataclasses import asdict, dataclass
from itertools import count

import torch

from tinybev.bench.interleaved import Prepare, Work, time_in_turns
from tinybev.bench.made_frame import made_frame
from tinybev.bench.network import DEFAULT_BUNDLE, YARDSTICK, check_backends, default_backends, precision_of
from tinybev.bench.sizes import Subject, subjects
from tinybev.bench.speed_row import SpeedRow, speed_row, table
from tinybev.runtime.backends.torch_device import choose_device
from tinybev.runtime.options import PipelineOptions
from tinybev.runtime.pipeline import Pipeline

DESCRIPTION = (
    "JPEG files to the five outputs, without ROS (--bundle, --backends, --device, --image-sizes, --grid-cells)"
)
FRAME_NS = 83_000_000
"""Between frames; the tracker sees a car that stands, filmed at 12 Hz."""


def run(args: argparse.Namespace) -> list[dict[str, object]]:
    """Measures, prints a table for each size, and returns the rows.

    Raises:
        UserError: a backend, the device or a size is unknown, or the bundle cannot be loaded.
    """
    choose_device(args.device)
    names = check_backends(args.backends or default_backends())
    threads = args.threads or torch.get_num_threads()
    rows: list[SpeedRow] = []
    for subject in subjects(args.bundle or DEFAULT_BUNDLE, args.image_sizes or (), args.grid_cells or ()):
        variants: dict[str, Prepare] = {name: _Path(subject, name, args.device, threads) for name in names}
        timings, absent = time_in_turns(variants, args.rounds)
        measured = [
            speed_row("path", subject.name, name, precision_of(name), threads, timing, timings.get(YARDSTICK))
            for name, timing in timings.items()
        ]
        print(table(measured, absent))
        rows += measured
    return [asdict(row) for row in rows]


@dataclass(frozen=True)
class _Path:
    """One frame after the other through a pipeline, decoding not overlapped with the network."""

    subject: Subject
    backend: str
    device: str
    threads: int

    def __call__(self) -> Work:
        torch.set_num_threads(self.threads)
        options = PipelineOptions(backend=self.backend, device=self.device, threads=self.threads)
        pipeline, frame = Pipeline(self.subject.open(), options), made_frame()
        frames = (dataclasses.replace(frame, stamp_ns=number * FRAME_NS) for number in count())
        return lambda: pipeline.run(next(frames))
