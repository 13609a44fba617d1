"""Targets on their grids as pictures seen from above: x forward is up, y left is left."""

from __future__ import annotations

import colorsys
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from tinybev.draw.palette import BACKGROUND, EGO, FAINT_TEXT, MAP_COLORS, PLAN, TEXT, TRUTH, Rgb, bgr
from tinybev.draw.strokes import Image, blank, disc, fill, stroke, write
from tinybev.geometry import Array, BevGrid
from tinybev.types import MapClass
from tinybev_training.data.sample import STEP_S, MapTargets, OccupancyTargets, Sample
from tinybev_training.data.surroundings import Footprints

_UNKNOWN: Rgb = (255, 110, 90)
_EGO_OUTLINE = np.array([[3.4, 0.87], [3.4, -0.87], [-0.66, -0.87], [-0.66, 0.87]])


def map_panel(targets: MapTargets, side: int, title: str = "map masks") -> Image:
    """The map masks, (side, side, 3) BGR; a later line class over an earlier one, all over the drivable area."""
    cells = blank(*targets.grid.shape, BACKGROUND)
    for map_class in (MapClass.DRIVABLE, MapClass.DIVIDER, MapClass.CROSSING, MapClass.BOUNDARY):
        cells[targets.masks[map_class]] = bgr(MAP_COLORS[map_class])
    panel = _seen_from_above(cells, side)
    unknown = [map_class.name.lower() for map_class in MapClass if not targets.valid[map_class]]
    _finish(panel, targets.grid, title, f"unknown: {', '.join(unknown)}" if unknown else "")
    return panel


def occupancy_panel(targets: OccupancyTargets, step: int, footprints: Footprints | None, side: int) -> Image:
    """One step of the occupancy, a colour an instance, under the outlines of the boxes it was drawn from."""
    cells = blank(*targets.grid.shape, BACKGROUND)
    for instance in np.unique(targets.instances[step]):
        if instance:
            cells[targets.instances[step] == instance] = bgr(_instance_color(int(instance)))
    panel = _seen_from_above(cells, side)
    if footprints is not None:
        stroke(panel, _pixels(footprints.corners, targets.grid, side), TEXT, closed=True)
    _finish(panel, targets.grid, f"occupancy +{step * STEP_S:g} s", "" if targets.valid[step] else "not annotated")
    return panel


def lidar_panel(sample: Sample, footprints: Footprints | None, grid: BevGrid, side: int) -> Image:
    """Lidar points above the ground, brighter the higher, under the outlines of the boxes."""
    cells = blank(side, side, BACKGROUND)
    points = sample.lidar_points
    pixels = np.round(_pixels(points[:, :2], grid, side)).astype(np.int64)
    inside = ((pixels >= 0) & (pixels < side)).all(axis=1)
    brightness = np.clip(60 + 80 * points[inside, 2], 40, 255).astype(np.uint8)
    cells[pixels[inside, 1], pixels[inside, 0]] = brightness[:, None]
    if footprints is not None:
        stroke(cells, _pixels(footprints.corners, grid, side), TRUTH, closed=True)
    _finish(cells, grid, "lidar", "" if len(points) else "absent")
    return cells


def futures_panel(sample: Sample, footprints: Footprints | None, grid: BevGrid, side: int) -> Image:
    """Where the agents go (6 s), their velocities (white, 1 s), where the ego went (3 s), and the goal point."""
    panel = blank(side, side, BACKGROUND)
    agents, boxes = sample.agents, sample.agents.boxes
    if footprints is not None:
        stroke(panel, _pixels(footprints.corners, grid, side), FAINT_TEXT, closed=True)
    for n in range(len(boxes)):
        path = np.vstack([boxes.centers[n, :2], agents.futures[n, agents.futures_valid[n]]])
        color = _instance_color(int(boxes.track_ids[n]))
        stroke(panel, [_pixels(path, grid, side)], color, 2)
        if np.isfinite(boxes.velocities[n]).all():
            arrow = np.stack([boxes.centers[n, :2], boxes.centers[n, :2] + boxes.velocities[n]])
            stroke(panel, [_pixels(arrow, grid, side)], EGO)
    plan = np.vstack([np.zeros(2), sample.plan.positions[sample.plan.valid]])
    stroke(panel, [_pixels(plan, grid, side)], PLAN, 2)
    for position in plan:
        disc(panel, _pixels(position, grid, side), 3, PLAN)
    goal = sample.frame.goal
    if goal.point is not None:
        disc(panel, _pixels(np.array(goal.point), grid, side), 7, PLAN, thickness=2)
    _finish(panel, grid, f"futures, velocities, plan, goal; command {goal.command.name.lower()}", "")
    return panel


def _pixels(points: NDArray[np.floating[Any]], grid: BevGrid, side: int) -> Array:
    """Pixels (..., 2) of points (..., 2) of base_link in a panel of ``grid``."""
    cells = grid.metric_to_cell(np.asarray(points, dtype=np.float64)) / np.array(grid.shape)
    return np.ascontiguousarray((1 - cells[..., ::-1]) * side - 0.5)  # OpenCV refuses other layouts


def _seen_from_above(cells: Image, side: int) -> Image:
    """Cells (X, Y, 3) as (side, side, 3)."""
    turned = np.ascontiguousarray(cells[::-1, ::-1])
    return np.asarray(cv2.resize(turned, (side, side), interpolation=cv2.INTER_NEAREST_EXACT), dtype=np.uint8)


def _finish(panel: NDArray[np.uint8], grid: BevGrid, title: str, remark: str) -> None:
    """The ego, the title, a remark in a colour that is seen, and a frame."""
    side = len(panel)
    fill(panel, [_pixels(_EGO_OUTLINE, grid, side)], EGO)
    write(panel, title, (8, 18), TEXT, 0.5, halo=True)
    write(panel, remark, (8, side - 10), _UNKNOWN, 0.45, halo=True)
    cv2.rectangle(panel, (0, 0), (side - 1, side - 1), bgr(FAINT_TEXT))


def _instance_color(instance: int) -> Rgb:
    """A colour far from those of the neighbouring ids."""
    red, green, blue = colorsys.hsv_to_rgb(instance * 0.618034 % 1.0, 0.65, 1.0)
    return round(255 * red), round(255 * green), round(255 * blue)
