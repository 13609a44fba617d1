"""Antialiased strokes, fills, text and blending on BGR images; coordinates are float pixels (x, y)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from tinybev.draw.palette import BACKGROUND, Rgb, bgr
from tinybev.geometry import Array

Image = NDArray[np.uint8]
"""(H, W, 3) in OpenCV's channel order: blue, green, red."""

FONT = cv2.FONT_HERSHEY_SIMPLEX
_SHIFT = 4  # OpenCV's fixed-point bits below the pixel
_LARGEST = 1 << 20  # pixels; keeps the fixed-point numbers inside int32


def _fixed_point(points: ArrayLike) -> NDArray[np.int32]:
    bounded = np.clip(np.asarray(points, dtype=np.float64), -_LARGEST, _LARGEST)
    return np.round(bounded * (1 << _SHIFT)).astype(np.int32)


def blank(height: int, width: int, color: Rgb) -> Image:
    """An image (height, width, 3) of one colour."""
    image = np.empty((height, width, 3), dtype=np.uint8)
    paint(image, 0, 0, width, height, color)
    return image


def paint(image: Image, x: int, y: int, width: int, height: int, color: Rgb) -> None:
    """Fills a rectangle of whole pixels."""
    # NumPy's broadcast of three bytes takes ten times as long.
    cv2.rectangle(image, (x, y), (x + width - 1, y + height - 1), bgr(color), cv2.FILLED)


def stroke(image: Image, lines: Array | Sequence[Array], color: Rgb, thickness: int = 1, closed: bool = False) -> None:
    """Draws polylines: an array (S, P, 2), or a sequence of (P, 2) each with its own P."""
    polylines = list(_fixed_point(lines)) if isinstance(lines, np.ndarray) else [_fixed_point(line) for line in lines]
    cv2.polylines(image, polylines, closed, bgr(color), thickness, cv2.LINE_AA, shift=_SHIFT)


def fill(image: Image, polygons: Sequence[ArrayLike], color: Rgb) -> None:
    """Fills polygons (P, 2), all together by the even-odd rule."""
    if polygons:
        cv2.fillPoly(image, [_fixed_point(polygon) for polygon in polygons], bgr(color), cv2.LINE_AA, shift=_SHIFT)


def disc(image: Image, center: ArrayLike, radius: float, color: Rgb, thickness: int = cv2.FILLED) -> None:
    """Draws a circle of ``radius`` pixels, filled unless a thickness is given."""
    x, y = _fixed_point(center)
    cv2.circle(image, (int(x), int(y)), round(radius * (1 << _SHIFT)), bgr(color), thickness, cv2.LINE_AA, shift=_SHIFT)


def text_width(text: str, size: float, thickness: int = 1) -> int:
    """The width of ``text`` in pixels, as :func:`write` draws it."""
    return int(cv2.getTextSize(text, FONT, size, thickness)[0][0])


def write(
    image: Image,
    text: str,
    origin: tuple[float, float],
    color: Rgb,
    size: float,
    thickness: int = 1,
    halo: bool = False,
) -> None:
    """Writes ``text`` with the left end of its baseline at ``origin``; ``halo`` puts a dark rim around it.

    The stroke font holds ASCII only; anything else shows as question marks.
    """
    position = (round(origin[0]), round(origin[1]))
    if halo:
        cv2.putText(image, text, position, FONT, size, bgr(BACKGROUND), thickness + 2, cv2.LINE_AA)
    cv2.putText(image, text, position, FONT, size, bgr(color), thickness, cv2.LINE_AA)


@dataclass(frozen=True)
class Label:
    """A short text, centred above the pixel ``anchor`` (x, y)."""

    text: str
    anchor: tuple[float, float]
    color: Rgb


def write_labels(image: Image, labels: Iterable[Label], size: float) -> None:
    """Writes the labels in their order, moved into the image; one that would lie over an earlier one is left out."""
    taken: list[tuple[float, float, float, float]] = []
    for label in labels:
        width, height = text_width(label.text, size), 24 * size
        x = min(max(label.anchor[0] - width / 2, 2.0), image.shape[1] - width - 2.0)
        y = min(max(label.anchor[1], height + 2.0), image.shape[0] - 3.0)
        if any(x < right and left < x + width and y - height < low and high < y for left, high, right, low in taken):
            continue
        taken.append((x, y - height, x + width, y))
        write(image, label.text, (x, y), label.color, size, halo=True)


@contextmanager
def blended(image: Image, opacity: float) -> Iterator[Image]:
    """Gives a copy to draw on; what was drawn is laid over ``image`` with ``opacity``, 0 to 1 (at 1 it is no copy)."""
    if opacity >= 1.0:
        yield image
        return
    layer = image.copy()
    yield layer
    cv2.addWeighted(layer, opacity, image, 1.0 - opacity, 0.0, dst=image)
