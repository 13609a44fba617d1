"""Where the parts of the mosaic lie."""

from __future__ import annotations

from dataclasses import dataclass

TILES: tuple[tuple[str, ...], ...] = (
    ("CAM_FRONT_LEFT", "CAM_FRONT", "CAM_FRONT_RIGHT"),
    ("CAM_BACK_LEFT", "CAM_BACK", "CAM_BACK_RIGHT"),
)
"""Rows of camera tiles, as one sits in the car; the rear cameras look the other way."""

MIN_WIDTH = 1280
_DESIGN_WIDTH = 1920


@dataclass(frozen=True)
class Rect:
    """A rectangle of pixels."""

    x: int
    y: int
    width: int
    height: int

    @property
    def slices(self) -> tuple[slice, slice]:
        """The rows and columns of an image that it covers."""
        return slice(self.y, self.y + self.height), slice(self.x, self.x + self.width)


@dataclass(frozen=True)
class Layout:
    """The mosaic: caption on top, the banner below it if there is one, cameras over the legend, the BEV on the right.

    Attributes:
        width, height: of the whole, pixels; both even, which video codecs ask for.
        scale: what text and strokes are multiplied with; 1 at 1920 pixels.
        caption, legend, bev: their places.
        banner: its place, or None.
        cameras: the place of each camera's tile.
    """

    width: int
    height: int
    scale: float
    caption: Rect
    banner: Rect | None
    cameras: dict[str, Rect]
    legend: Rect
    bev: Rect

    @classmethod
    def of_width(cls, width: int, with_banner: bool) -> Layout:
        """The layout ``width`` pixels wide.

        Raises:
            ValueError: the width is odd or under ``MIN_WIDTH``, where no text could be read.
        """
        if width < MIN_WIDTH or width % 2:
            raise ValueError(f"width: expected an even number of pixels, at least {MIN_WIDTH}, got {width}")
        scale = width / _DESIGN_WIDTH
        gap = max(2, round(3 * scale))
        caption = Rect(0, 0, width, _even(42 * scale))
        banner = Rect(0, caption.height, width, _even(44 * scale)) if with_banner else None
        top = caption.height + (banner.height if banner else 0)
        side = _even(600 * scale)
        tile_width = (width - side) // 3 - gap
        tile_height = round(tile_width * 9 / 16)
        cameras = {
            camera: Rect(column * (tile_width + gap), top + row * (tile_height + gap), tile_width, tile_height)
            for row, names in enumerate(TILES)
            for column, camera in enumerate(names)
        }
        below = top + 2 * (tile_height + gap)
        legend = Rect(0, below, width - side, top + side - below)
        bev = Rect(width - side, top, side, side)
        return cls(width, top + side, scale, caption, banner, cameras, legend, bev)


def _even(pixels: float) -> int:
    return 2 * round(pixels / 2)
