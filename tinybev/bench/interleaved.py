"""Times variants of the same work in turns, each in a process of its own.

What a machine does changes from minute to minute, so variants to be compared take turns. Runtimes keep pools of
threads that pin or spin, so each has a process of its own; while one is timed the others sleep.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from tinybev.bench.disturbance import Stopwatch
from tinybev.bench.foreign_load import peak_memory_mb
from tinybev.errors import UserError

MIN_CLEAN = 3
"""With fewer samples that nothing disturbed, all are taken, and the figure says so."""

Work = Callable[[], object]
Prepare = Callable[[], Work]
"""Runs in the variant's process: loads what is needed and gives the work that is timed. It has to be picklable."""


class Sample(NamedTuple):
    """One turn of one variant."""

    wall_s: float
    disturbed: bool


@dataclass(frozen=True)
class Timing:
    """What was measured of one variant.

    Attributes:
        samples: all turns.
        peak_memory_mb: resident memory of its process at its highest, MiB; 0 where it is not told.
    """

    samples: tuple[Sample, ...]
    peak_memory_mb: float

    @property
    def clean(self) -> bool:
        """Whether enough samples were undisturbed, so that they alone count."""
        return sum(not sample.disturbed for sample in self.samples) >= MIN_CLEAN

    def percentile_ms(self, percent: float) -> float:
        """Of the samples that count, milliseconds."""
        counted = [one.wall_s for one in self.samples if not (self.clean and one.disturbed)]
        return float(1e3 * np.percentile(counted, percent))


def time_in_turns(variants: Mapping[str, Prepare], rounds: int) -> tuple[dict[str, Timing], dict[str, str]]:
    """The timings by variant, and for each variant that cannot run here the reason.

    Every turn runs the work twice and times the second, because the others have emptied the caches.
    """
    context = multiprocessing.get_context("spawn")
    workers: dict[str, Connection] = {}
    processes, absent = [], {}
    samples: dict[str, list[Sample]] = {}
    memory_mb: dict[str, float] = {}
    try:
        for name, prepare in tqdm(variants.items(), desc="preparing", unit="variant"):
            mine, theirs = context.Pipe()
            process = context.Process(target=_serve, args=(theirs, prepare), daemon=True)
            process.start()
            theirs.close()
            processes.append(process)
            reason = _receive(mine)
            if isinstance(reason, str):
                absent[name] = reason
            else:
                workers[name] = mine
        for _ in tqdm(range(rounds), desc="measuring", unit="round"):
            for name, worker in workers.items():
                worker.send(True)
                wall_s, disturbed, memory_mb[name] = _receive(worker)
                samples.setdefault(name, []).append(Sample(wall_s, disturbed))
        for worker in workers.values():
            worker.send(False)
    finally:
        for process in processes:
            process.join(timeout=5)
            process.terminate()
    return {name: Timing(tuple(samples[name]), memory_mb[name]) for name in workers}, absent


def _receive(worker: Connection) -> Any:
    try:
        return worker.recv()
    except EOFError:
        raise UserError("a process of the bench ended before it was done; its message is above.") from None


def _serve(parent: Connection, prepare: Prepare) -> None:
    """The variant's process: prepares, says so, and times the work whenever it is asked to."""
    try:
        work = prepare()
        work()
    except UserError as error:
        parent.send(str(error))
        return
    parent.send(None)
    try:
        while parent.recv():
            work()
            with Stopwatch() as stopwatch:
                work()
            # Not the process's ru_maxrss, which begins with what its parent had.
            peak_mb = peak_memory_mb(os.getpid()) or 0.0
            parent.send((stopwatch.wall_s, stopwatch.disturbed, peak_mb))
    except (EOFError, KeyboardInterrupt):
        return  # the bench was interrupted
