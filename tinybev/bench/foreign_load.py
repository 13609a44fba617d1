"""How much of the processors other work took while a measurement ran that keeps several processes busy itself.

``/proc/pressure/cpu`` tells whether anything waited for a processor. Of one process that has the machine for itself
that is a sign of other work (``disturbance``); a node, a player and their middleware also wait for each other. So here
the processor time of the whole machine is held against that of the measured processes.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tinybev.bench.disturbance import LIMIT

PROC = Path("/proc")
_USER, _NICE, _SYSTEM, _IRQ, _SOFTIRQ, _STEAL = 0, 1, 2, 5, 6, 7
_UTIME, _STIME = 11, 12
"""Fields after a process's name in ``/proc/PID/stat``."""


def machine_busy_s(proc: Path = PROC) -> float | None:
    """Processor seconds that all processors together spent on anything, or that were taken from them, since the start
    of the machine; None: not told."""
    try:
        fields = (proc / "stat").read_text(encoding="ascii").splitlines()[0].split()[1:]
        return sum(int(fields[at]) for at in (_USER, _NICE, _SYSTEM, _IRQ, _SOFTIRQ, _STEAL)) / _ticks_per_s()
    except (OSError, IndexError, ValueError):
        return None


def process_busy_s(pid: int, proc: Path = PROC) -> float:
    """Processor seconds of a process and all of its threads since its start; 0 where it is gone."""
    try:
        fields = (proc / str(pid) / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        return (int(fields[_UTIME]) + int(fields[_STIME])) / _ticks_per_s()
    except (OSError, IndexError, ValueError):
        return 0.0


def peak_memory_mb(pid: int, proc: Path = PROC) -> float | None:
    """Resident memory of a process at its highest until now; None where it is not told."""
    try:
        lines = (proc / str(pid) / "status").read_text(encoding="utf-8").splitlines()
        return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:"))
    except (OSError, StopIteration, ValueError):
        return None


@dataclass(frozen=True)
class Meter:
    """Readings at one moment: wall clock, whole machine, and each measured process, seconds."""

    wall_s: float
    machine_s: float | None
    processes_s: Mapping[int, float]

    @staticmethod
    def read(pids: Sequence[int]) -> Meter:
        """The readings now, of these processes."""
        return Meter(time.monotonic(), machine_busy_s(), {pid: process_busy_s(pid) for pid in pids})


def foreign_share(before: Meter, after: Meter, processors: int) -> float | None:
    """The share of all processors' time between two readings that went to processes other than the measured ones.

    Args:
        before, after: of the same processes.
        processors: of the machine.

    Returns:
        0 to 1; None where the machine does not tell, or no time has passed.
    """
    if before.machine_s is None or after.machine_s is None or after.wall_s <= before.wall_s:
        return None
    own_s = sum(after.processes_s[pid] - before.processes_s[pid] for pid in after.processes_s)
    foreign_s = after.machine_s - before.machine_s - own_s
    return min(1.0, max(0.0, foreign_s / (processors * (after.wall_s - before.wall_s))))


def is_disturbed(share: float | None) -> bool:
    """Whether other work took so much that the measurement does not count; False where the share is not told."""
    return share is not None and share > LIMIT


def _ticks_per_s() -> int:
    return os.sysconf("SC_CLK_TCK")
