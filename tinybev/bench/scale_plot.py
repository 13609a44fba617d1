"""The picture of the scale bench: for each axis the latency above and the memory below."""

from __future__ import annotations

import importlib
import math
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tinybev.bench.speed_row import SpeedRow
from tinybev.errors import UserError

FILE = "scale.png"
LABELS = {
    "cameras": "cameras",
    "image": "image, 1000 pixels each",
    "grid": "grid, 1000 cells",
    "agents": "objects found",
    "messages": "objects in the messages",
    "listeners": "listeners",
}
"""Of the horizontal axes, by the axis of the rows."""
_THOUSANDS = ("image", "grid")
PANEL_INCHES = (3.0, 2.4)


def axis_and_size(variant: str) -> tuple[str, float]:
    """The axis of a row and where on it the row is: the number, or of ``AxB`` the product.

    Raises:
        UserError: the variant is not named so.
    """
    axis, _, size = variant.partition("=")
    parts = size.split("x")
    if axis not in LABELS or not all(part.isascii() and part.isdecimal() for part in parts):
        raise UserError(f"scale: expected a variant like cameras=6 or image=256x704, got {variant!r}; name it so.")
    return axis, float(math.prod(int(part) for part in parts))


def plot(rows: Iterable[SpeedRow], folder: Path, title: str) -> Path:
    """Draws p50 with p95 as the upper end of its bar, and the peak memory, of every axis that has rows.

    Args:
        rows: of the scale bench.
        folder: made where it is missing.
        title: what was measured.

    Returns:
        The file, a PNG.

    Raises:
        UserError: matplotlib is not installed, there are no rows, or the file cannot be written.
    """
    try:
        figure = importlib.import_module("matplotlib.figure")
    except ModuleNotFoundError as error:
        raise UserError("--plot: expected the package matplotlib; `pip install matplotlib`.") from error
    panels: dict[str, dict[str, list[tuple[float, SpeedRow]]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        axis, size = axis_and_size(row.variant)
        panels[axis][row.backend].append((size / 1000 if axis in _THOUSANDS else size, row))
    if not panels:
        raise UserError("--plot: expected rows to draw, none of the variants ran; the reasons are above.")
    width, height = PANEL_INCHES
    canvas = figure.Figure(figsize=(width * len(panels), 2 * height + 0.4), layout="constrained", dpi=100)
    canvas.suptitle(title, fontsize=10)
    places = canvas.subplots(2, len(panels), squeeze=False)
    for column, (axis, series) in enumerate(panels.items()):
        _draw(places[0][column], places[1][column], series)
        places[1][column].set_xlabel(LABELS[axis])
    places[0][0].set_ylabel("p50, bar to p95, ms")
    places[1][0].set_ylabel("peak memory, MiB")
    path = folder / FILE
    try:
        folder.mkdir(parents=True, exist_ok=True)
        canvas.savefig(path)
    except OSError as error:
        raise UserError(f"--plot: expected a folder to write to, {folder} is none ({error}); name another.") from error
    return path


def _draw(latency: Any, memory: Any, series: dict[str, list[tuple[float, SpeedRow]]]) -> None:
    for backend, points in series.items():
        points = sorted(points, key=lambda point: point[0])
        sizes = [size for size, _ in points]
        p50_ms = [row.p50_ms for _, row in points]
        above_ms = [row.p95_ms - row.p50_ms for _, row in points]
        latency.errorbar(sizes, p50_ms, [[0.0] * len(points), above_ms], marker=".", capsize=2, label=backend)
        memory.plot(sizes, [row.peak_memory_mb for _, row in points], marker=".", label=backend)
    latency.legend(fontsize=7)
    for panel in (latency, memory):
        panel.set_ylim(bottom=0)
        panel.set_xlim(left=0)
        panel.grid(alpha=0.3)
        panel.tick_params(labelsize=8)
