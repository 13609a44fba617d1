"""One colour for each thing that is shown, as (red, green, blue), 0 to 255."""

from __future__ import annotations

from tinybev.types import MapClass

Rgb = tuple[int, int, int]

DETECTION_COLORS: tuple[Rgb, ...] = (
    (255, 159, 28),  # car: orange
    (235, 87, 70),  # truck: red
    (205, 165, 75),  # construction_vehicle: ochre
    (240, 95, 200),  # bus: magenta
    (190, 140, 255),  # trailer: lavender
    (175, 185, 195),  # barrier: grey
    (255, 150, 170),  # motorcycle: pink
    (190, 230, 60),  # bicycle: chartreuse
    (70, 160, 255),  # pedestrian: blue
    (255, 235, 70),  # traffic_cone: yellow
)
"""In the order of ``tinybev.types.DETECTION_CLASSES``."""

MAP_COLORS: dict[MapClass, Rgb] = {
    MapClass.DIVIDER: (240, 225, 160),
    MapClass.CROSSING: (125, 130, 255),
    MapClass.BOUNDARY: (230, 60, 100),
    MapClass.DRIVABLE: (58, 72, 88),
}
DRIVABLE_OUTLINE: Rgb = (120, 150, 180)

OCCUPIED_NOW: Rgb = (255, 70, 60)
OCCUPIED_LAST: Rgb = (110, 80, 230)
"""Cells that are taken at the last step of the forecast only; the steps between shade from one to the other."""

PLAN: Rgb = (0, 229, 255)
TRUTH: Rgb = (70, 255, 140)
EGO: Rgb = (255, 255, 255)
BACKGROUND: Rgb = (17, 20, 25)
PANEL: Rgb = (30, 34, 41)
MISSING: Rgb = (44, 26, 28)
RING: Rgb = (62, 70, 82)
TEXT: Rgb = (225, 230, 236)
FAINT_TEXT: Rgb = (150, 160, 172)
WARNING: Rgb = (255, 110, 90)
BANNER: Rgb = (196, 24, 32)


def bgr(color: Rgb) -> tuple[int, int, int]:
    """The colour in OpenCV's order."""
    return color[2], color[1], color[0]
