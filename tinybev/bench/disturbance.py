"""Whether other work took the processor from a measurement, as Linux tells it in ``/proc/pressure/cpu``."""

from __future__ import annotations

import time
from pathlib import Path

PRESSURE_FILE = Path("/proc/pressure/cpu")
LIMIT = 0.03
"""A sample is disturbed where something waited for a processor for a larger share of its wall time (ours)."""


def waited_us() -> int | None:
    """Microseconds since the start of the machine during which some task waited for a processor; None: not told."""
    try:
        first = PRESSURE_FILE.read_text(encoding="ascii").splitlines()[0]
        return int(first.rpartition("total=")[2])
    except (OSError, IndexError, ValueError):
        return None


class Stopwatch:
    """Times a ``with`` block.

    Attributes:
        wall_s: of the block.
        disturbed: whether more than ``LIMIT`` of it something waited for a processor; False where that is not told.
    """

    wall_s: float
    disturbed: bool

    def __enter__(self) -> Stopwatch:
        self._waited = waited_us()
        self._started = time.perf_counter()
        return self

    def __exit__(self, *_exception: object) -> None:
        self.wall_s = time.perf_counter() - self._started
        waited = waited_us()
        self.disturbed = (
            waited is not None and self._waited is not None and 1e-6 * (waited - self._waited) > LIMIT * self.wall_s
        )
