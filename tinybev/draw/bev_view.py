"""The bird's-eye view: x forward is up, y left is left, the ego in the middle."""

from __future__ import annotations

import math

import cv2
import numpy as np

from tinybev.draw.boxes import Boxes
from tinybev.draw.ground_lines import GroundLine, LineStyle
from tinybev.draw.overlay import Overlay
from tinybev.draw.palette import (
    BACKGROUND,
    EGO,
    FAINT_TEXT,
    MAP_COLORS,
    OCCUPIED_LAST,
    OCCUPIED_NOW,
    PLAN,
    RING,
    TEXT,
    bgr,
)
from tinybev.draw.shapes import Shapes
from tinybev.draw.strokes import Image, Label, blank, blended, disc, fill, stroke, text_width, write, write_labels
from tinybev.geometry import Array, box_corners
from tinybev.types import Floats, MapClass, Occupancy, Plan

RANGE_M = 52.0
"""From the ego to each edge of the view."""

RING_STEP_M = 10

EGO_SIZE = (4.08, 1.73, 1.56)
EGO_CENTER = (1.38, 0.0, 0.78)
"""Of the sketched ego: a small car, its rear axle where base_link is, as in nuScenes."""

_WINDSCREEN = np.array([[2.9, -0.55], [2.9, 0.55], [1.9, 0.65], [1.9, -0.65]])


def bev_pixels(points: Floats, side: int) -> Array:
    """Pixels (..., 2) of points (..., 2 or more) of base_link in a view of ``side`` x ``side`` pixels."""
    xy = np.asarray(points, dtype=np.float64)[..., :2]
    return (side - 1) / 2 - xy[..., ::-1] * _pixels_per_metre(side)


def draw_bev(overlay: Overlay, shapes: Shapes, side: int, scale: float = 1.0) -> Image:
    """The bird's-eye view.

    Args:
        overlay: what to draw.
        shapes: of the same overlay.
        side: height and width of the view, pixels.
        scale: multiplies strokes and text.

    Returns:
        (side, side, 3) BGR.
    """
    image = blank(side, side, BACKGROUND)
    outlines = [segment.points for segment in overlay.segments if segment.map_class == MapClass.DRIVABLE]
    fill(image, [bev_pixels(outline, side) for outline in outlines], MAP_COLORS[MapClass.DRIVABLE])
    if overlay.occupancy is not None:
        image = _tinted(image, overlay.occupancy, overlay.occupied_from)
    _rings(image, scale)
    _lines(image, shapes.lines, scale)
    _ego(image)
    _boxes(image, shapes.detections, scale)
    _boxes(image, shapes.truth, scale)
    if overlay.plan is not None:
        _plan_marks(image, overlay.plan, scale)
    _scale_bar(image, scale)
    _axes(image, scale)
    return image


def _pixels_per_metre(side: int) -> float:
    return side / (2 * RANGE_M)


def _rings(image: Image, scale: float) -> None:
    side = len(image)
    cross = np.array([[[-RANGE_M, 0], [RANGE_M, 0]], [[0, -RANGE_M], [0, RANGE_M]]])
    stroke(image, bev_pixels(cross, side), RING)
    for radius in range(RING_STEP_M, int(RANGE_M) + 1, RING_STEP_M):
        disc(image, bev_pixels(np.zeros(2), side), radius * _pixels_per_metre(side), RING, thickness=1)
        # On the diagonal to the rear right, away from the road ahead.
        x, y = bev_pixels(np.full(2, -radius * math.sqrt(0.5)), side)
        write(image, f"{radius}", (x - 8 * scale, y + 4 * scale), FAINT_TEXT, 0.4 * scale, halo=True)


def occupancy_tint(occupancy: Occupancy, occupied_from: float) -> tuple[Image, Floats]:
    """Colour (X, Y, 3) BGR and opacity (X, Y) of each cell, by the first step at which it is taken; 0 if at none.

    A cell is taken from the probability ``occupied_from`` on.
    """
    taken = occupancy.probability >= occupied_from
    first, steps = taken.argmax(axis=0), len(taken)
    lateness = np.arange(steps)[:, None] / max(steps - 1, 1)
    shades = (1 - lateness) * np.array(bgr(OCCUPIED_NOW)) + lateness * np.array(bgr(OCCUPIED_LAST))
    opacity = np.where(taken.any(axis=0), np.where(first == 0, 0.75, 0.5), 0.0)
    return shades.round().astype(np.uint8)[first], opacity.astype(np.float32)


def _tinted(image: Image, occupancy: Occupancy, occupied_from: float) -> Image:
    side, grid = len(image), occupancy.grid
    # Three corners of the view as (column, row) of the grid, a cell's centre at its integer as warpAffine has it.
    corners = np.array([[0.0, 0.0], [side - 1.0, 0.0], [0.0, side - 1.0]], dtype=np.float32)
    metric = ((side - 1) / 2 - corners[:, ::-1]) / _pixels_per_metre(side)
    cells = (grid.metric_to_cell(metric) - 0.5)[:, ::-1].astype(np.float32)
    grid_from_view = cv2.getAffineTransform(corners, cells)
    color, opacity = (
        cv2.warpAffine(layer, grid_from_view, (side, side), flags=cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP)
        for layer in occupancy_tint(occupancy, occupied_from)
    )
    return np.asarray(cv2.blendLinear(color, image, opacity, 1.0 - opacity), dtype=np.uint8)


def _lines(image: Image, lines: tuple[GroundLine, ...], scale: float) -> None:
    by_style: dict[LineStyle, list[Array]] = {}
    for line in lines:
        by_style.setdefault(line.style, []).append(line.points)
    for opacity in sorted({style.opacity for style in by_style}):
        with blended(image, opacity) as layer:
            for style, paths in by_style.items():
                if style.opacity == opacity:
                    pixels = [bev_pixels(path, len(image)) for path in paths]
                    stroke(layer, pixels, style.color, max(1, round(style.weight * scale)))


def _boxes(image: Image, boxes: Boxes, scale: float) -> None:
    side, thickness = len(image), max(1, round(boxes.weight * scale))
    floors = bev_pixels(boxes.corners[:, :4], side)
    headings = bev_pixels(np.stack(boxes.headings, axis=1), side)
    for color in dict.fromkeys(boxes.colors):
        of_color = [box for box, other in enumerate(boxes.colors) if other == color]
        stroke(image, floors[of_color], color, thickness, closed=True)
        stroke(image, headings[of_color], color, thickness)
    nearest_first = np.argsort(np.abs(boxes.corners[:, :4, :2]).max(axis=(1, 2)), kind="stable")
    labels = [
        Label(boxes.labels[box], (floors[box, :, 0].max() + 9 * scale, floors[box, :, 1].min() + 4 * scale), color)
        for box, color in ((int(index), boxes.colors[index]) for index in nearest_first)
        if boxes.labels[box] and (np.abs(boxes.corners[box, :4, :2].mean(axis=0)) < RANGE_M).all()
    ]
    write_labels(image, labels, 0.38 * scale)


def _plan_marks(image: Image, plan: Plan, scale: float) -> None:
    """A dot at each step of the plan, and its goal."""
    for position in plan.positions:
        disc(image, bev_pixels(position, len(image)), 3 * scale, PLAN)
    if plan.goal.point is not None:
        _goal(image, np.array(plan.goal.point), scale)


def _goal(image: Image, goal: Array, scale: float) -> None:
    """A ring around the goal; where it lies beyond the view, at the edge in its direction, with its distance."""
    edge = RANGE_M - 2.5
    distance = float(np.abs(goal).max())
    x, y = bev_pixels(goal * min(1.0, edge / max(distance, 1e-6)), len(image))
    disc(image, (x, y), 7 * scale, PLAN, thickness=max(1, round(2 * scale)))
    disc(image, (x, y), 2 * scale, PLAN)
    label = "goal" if distance <= edge else f"goal {np.linalg.norm(goal):.0f} m"
    beside = 14 * scale + text_width(label, 0.45 * scale) / 2
    write_labels(
        image, [Label(label, (x + beside if x < len(image) / 2 else x - beside, y + 5 * scale), PLAN)], 0.45 * scale
    )


def _ego(image: Image) -> None:
    fill(image, [bev_pixels(box_corners(EGO_CENTER, EGO_SIZE, 0.0)[:4], len(image))], EGO)
    fill(image, [bev_pixels(_WINDSCREEN, len(image))], BACKGROUND)  # shows which way it looks


def _scale_bar(image: Image, scale: float) -> None:
    left, bottom, tick = 12 * scale, len(image) - 14 * scale, 4 * scale
    right = left + RING_STEP_M * _pixels_per_metre(len(image))
    ends = [(left, bottom, right, bottom), *((x, bottom - tick, x, bottom + tick) for x in (left, right))]
    bar = np.array(ends).reshape(-1, 2, 2)
    stroke(image, bar, TEXT, max(1, round(1.5 * scale)))
    write(image, f"{RING_STEP_M} m", (right + 8 * scale, bottom + 4 * scale), TEXT, 0.42 * scale, halo=True)


def _axes(image: Image, scale: float) -> None:
    x, y = len(image) - 18 * scale, len(image) - 16 * scale
    length = 26 * scale
    for name, tip in (("x", (x, y - length)), ("y", (x - length, y))):
        start, end = (round(x), round(y)), (round(tip[0]), round(tip[1]))
        cv2.arrowedLine(image, start, end, bgr(TEXT), max(1, round(scale)), cv2.LINE_AA, tipLength=0.3)
        write(image, name, (tip[0] - 12 * scale, tip[1] + 5 * scale), TEXT, 0.42 * scale, halo=True)
