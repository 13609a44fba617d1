"""What the colours mean: one entry for each thing the overlay shows."""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum, auto

import numpy as np

from tinybev.draw.bev_view import RING_STEP_M
from tinybev.draw.overlay import Overlay
from tinybev.draw.palette import (
    DETECTION_COLORS,
    FAINT_TEXT,
    MAP_COLORS,
    OCCUPIED_LAST,
    OCCUPIED_NOW,
    PANEL,
    PLAN,
    TEXT,
    TRUTH,
    Rgb,
)
from tinybev.draw.strokes import Image, blank, disc, fill, stroke, text_width, write
from tinybev.types import DETECTION_CLASSES, MapClass


class Swatch(Enum):
    """How an entry's sample looks."""

    BOX = auto()
    LINE = auto()
    AREA = auto()
    PATH = auto()


Entry = tuple[Swatch, Rgb, str]


def entries(overlay: Overlay) -> Iterator[Entry]:
    """The legend of ``overlay``: how each thing's sample looks, its colour, its name."""
    if overlay.truth is not None:
        yield Swatch.BOX, TRUTH, f"annotation (ground truth), {len(overlay.truth)}"
    if overlay.detections is not None:
        counts = np.bincount(overlay.detections.class_ids, minlength=len(DETECTION_CLASSES))
        for name, color, count in zip(DETECTION_CLASSES, DETECTION_COLORS, counts, strict=True):
            yield Swatch.BOX, color, f"{name.replace('_', ' ')} {count}"
    if overlay.segments:
        for map_class in MapClass:
            swatch = Swatch.AREA if map_class == MapClass.DRIVABLE else Swatch.LINE
            yield swatch, MAP_COLORS[map_class], "drivable" if swatch == Swatch.AREA else map_class.name.lower()
    if overlay.occupancy is not None:
        yield Swatch.AREA, OCCUPIED_NOW, "occupied now"
        last = (len(overlay.occupancy.probability) - 1) * overlay.occupancy.time_step_s
        if last > 0:
            yield Swatch.AREA, OCCUPIED_LAST, f"occupied in {last:g} s"
    if overlay.plan is not None:
        yield Swatch.PATH, PLAN, f"plan, {len(overlay.plan.positions) * overlay.plan.time_step_s:g} s"


def draw_legend(overlay: Overlay, height: int, width: int, scale: float) -> Image:
    """The legend as (height, width, 3) BGR, its entries in rows from the left."""
    image = blank(height, width, PANEL)
    size, margin, sample = 0.48 * scale, 14 * scale, 22 * scale
    x, y = margin, 19 * scale
    for swatch, color, name in entries(overlay):
        advance = sample + 8 * scale + text_width(name, size) + 26 * scale
        if x + advance - 26 * scale > width - margin:
            x, y = margin, y + 26 * scale
        _sample(image, swatch, color, (x, y), sample, scale)
        write(image, name, (x + sample + 8 * scale, y + 5 * scale), TEXT, size)
        x += advance
    notes = "   ".join(_notes(overlay))
    write(image, notes, (margin, height - 9 * scale), FAINT_TEXT, 0.42 * scale)
    return image


def _notes(overlay: Overlay) -> Iterator[str]:
    if overlay.trajectories is not None:
        yield "Thin lines: where an agent may go, the likelier the brighter."
    if overlay.segments or overlay.trajectories is not None or overlay.plan is not None:
        yield "Lines in the cameras lie on a flat ground."
    yield f"Rings every {RING_STEP_M} m."


def _sample(
    image: Image, swatch: Swatch, color: Rgb, left_middle: tuple[float, float], length: float, scale: float
) -> None:
    x, y = left_middle
    half = 6 * scale
    outline = np.array([[x, y - half], [x + length, y - half], [x + length, y + half], [x, y + half]])
    if swatch == Swatch.BOX:
        thickness = 1 if color == TRUTH else 2
        stroke(image, [outline], color, max(1, round(thickness * scale)), closed=True)
    elif swatch == Swatch.AREA:
        fill(image, [outline], color)
    else:
        stroke(image, [np.array([[x, y], [x + length, y]])], color, max(2, round(3 * scale)))
        if swatch == Swatch.PATH:
            for share in (0.0, 0.5, 1.0):
                disc(image, (x + share * length, y), 4 * scale, color)
