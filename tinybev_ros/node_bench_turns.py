"""What is played through the node, and in which turns: every backend in each of them, a node process for each play."""

from __future__ import annotations

import argparse
import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from tinybev.bench.foreign_load import is_disturbed
from tinybev.bench.interleaved import MIN_CLEAN
from tinybev.bench.network import DEFAULT_BUNDLE
from tinybev.errors import UserError
from tinybev.runtime.options import AUTO, BACKENDS
from tinybev_ros.node_bench_play import NodeOptions, Play, play
from tinybev_ros.node_bench_recording import Recording, recording_for
from tinybev_ros.this_machine import keep_to_this_machine

WARM_UP_S = 3.0
"""Of a recording, left out of ages and rates: the rig is learnt, and the network runs for the first time."""


@dataclass(frozen=True)
class Settings:
    """What is measured.

    Attributes:
        bag: the recording; None: a made one.
        bundle: the network.
        backends: that run it, in turns.
        threads: of the network; 0: the backend's choice.
        plays: turns.
        warm_up_s: see ``WARM_UP_S``.
    """

    bag: Path | None = None
    bundle: str = DEFAULT_BUNDLE
    backends: tuple[str, ...] = (AUTO,)
    threads: int = 0
    plays: int = 3
    warm_up_s: float = WARM_UP_S


@dataclass(frozen=True)
class Plays:
    """The plays of one backend.

    Attributes:
        all: in order.
    """

    all: tuple[Play, ...]

    @property
    def clean(self) -> bool:
        """Whether enough plays were undisturbed by other work, so that they alone count."""
        return sum(not is_disturbed(one.foreign_share) for one in self.all) >= min(MIN_CLEAN, len(self.all))

    @property
    def counted(self) -> tuple[Play, ...]:
        """The plays that count."""
        return tuple(one for one in self.all if not (self.clean and is_disturbed(one.foreign_share)))

    def median(self, figure: Callable[[Play], float]) -> float:
        """Of a figure of the plays that count."""
        return float(np.median([figure(one) for one in self.counted]))

    @property
    def foreign_share(self) -> float | None:
        """The largest share of other work in a play that counts; None: not told."""
        return max((one.foreign_share for one in self.counted if one.foreign_share is not None), default=None)

    @property
    def peak_memory_mb(self) -> float | None:
        """The highest of any play; None: not told."""
        return max((one.peak_memory_mb for one in self.all if one.peak_memory_mb is not None), default=None)


@dataclass(frozen=True)
class Measured:
    """The plays by backend.

    Attributes:
        recording: that was played.
        plays: by name of the backend as it was asked for.
        absent: why a backend could not run, by name.
    """

    recording: Recording
    plays: Mapping[str, Plays]
    absent: Mapping[str, str]


def settings_from(args: argparse.Namespace) -> Settings:
    """Of the command line.

    Raises:
        UserError: a backend is unknown, or there is not one play at least.
    """
    backends = tuple(dict.fromkeys(args.backends or (AUTO,)))
    if unknown := [name for name in backends if name not in BACKENDS]:
        raise UserError(f"--backends: expected some of {', '.join(BACKENDS)}, got {', '.join(unknown)}; correct them.")
    if args.plays < 1:
        raise UserError(f"--plays: expected 1 or more, got {args.plays}.")
    return Settings(args.bag, args.bundle or DEFAULT_BUNDLE, backends, args.threads, args.plays)


@functools.cache
def measure(settings: Settings) -> Measured:
    """Plays; once for all who ask for the same.

    Raises:
        UserError: the recording cannot be read, or no backend can run.
    """
    keep_to_this_machine()
    recording = recording_for(settings.bag)
    plays: dict[str, list[Play]] = {name: [] for name in settings.backends}
    absent: dict[str, str] = {}
    turns = [name for _ in range(settings.plays) for name in plays]
    for name in tqdm(turns, desc="playing", unit="play", disable=None):
        if name in absent:
            continue
        try:
            plays[name].append(play(recording, NodeOptions(settings.bundle, name, settings.threads)))
        except UserError as error:
            absent[name] = str(error)
    done = {name: Plays(tuple(all_plays)) for name, all_plays in plays.items() if name not in absent}
    if not done:
        raise UserError("; ".join(f"{name}: {reason}" for name, reason in absent.items()))
    return Measured(recording, done, absent)


def table(rows: Sequence[Mapping[str, object]], absent: Mapping[str, str]) -> str:
    """The rows as a Markdown table, and a line for each backend that could not run."""
    head = list(rows[0])
    lines = [f"| {' | '.join(head)} |", "|" + " --- |" * len(head)]
    lines += [f"| {' | '.join('' if row[key] is None else str(row[key]) for key in head)} |" for row in rows]
    lines += [f"not run: {name}: {reason}" for name, reason in absent.items()]
    return "\n".join(lines)
