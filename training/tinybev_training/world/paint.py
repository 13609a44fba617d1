"""Painted lines and zebra crossings as boxes on the ground."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
import shapely
import shapely.ops
from numpy.typing import NDArray

from tinybev_training.world.distance_field import STEPS_PER_M, distance_to_boxes
from tinybev_training.world.scenario import LineKind, Scenario

LINE_HALF_WIDTH = {LineKind.LANE: 0.075, LineKind.CENTER: 0.07, LineKind.EDGE: 0.075, LineKind.STOP: 0.2}

DASH_M, GAP_M = 3.0, 5.0

STRIPE_M, STRIPE_PERIOD_M = 0.5, 1.0


def paint(
    scenario: Scenario, low: NDArray[np.float64], shape: tuple[int, int]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Distance bytes of everything painted, and 255 where the paint is yellow."""
    roads = scenario.roads
    white: list[NDArray[np.float64]] = []
    yellow: list[NDArray[np.float64]] = []
    for kind, line in zip(roads.line_kinds, roads.lines, strict=True):
        points = line.astype(np.float64)
        half = LINE_HALF_WIDTH[LineKind(kind)]
        if kind == LineKind.LANE:
            white += _stretches(points, half, DASH_M, GAP_M)
        elif kind == LineKind.CENTER:
            for side in (-0.14, 0.14):
                parallel = shapely.LineString(points).offset_curve(side)
                if not parallel.is_empty and isinstance(parallel, shapely.LineString):
                    yellow += _stretches(np.asarray(parallel.coords), half)
        else:
            white += _stretches(points, half)
    for polygon, yaw in zip(roads.crossings.polygons(), roads.crossing_yaws, strict=False):
        white += _zebra(polygon, float(yaw))
    whites = distance_to_boxes(np.array(white).reshape(-1, 5), low, shape)
    yellows = distance_to_boxes(np.array(yellow).reshape(-1, 5), low, shape)
    painted = np.clip(np.round(128 - np.minimum(whites, yellows) * STEPS_PER_M), 0, 255).astype(np.uint8)
    return painted, np.where(yellows < whites, 255, 0).astype(np.uint8)


def _stretches(
    points: NDArray[np.float64], half: float, dash: float = 0.0, gap: float = 0.0
) -> list[NDArray[np.float64]]:
    """A polyline as boxes, solid or dashed."""
    line = shapely.LineString(points)
    if dash:
        cuts = np.arange(0.0, line.length - dash / 2, dash + gap)
        lines = [shapely.ops.substring(line, cut, min(cut + dash, line.length)) for cut in cuts]
    else:
        lines = [line]
    return [box for part in lines for box in _pieces(np.asarray(part.coords), half)]


def _pieces(points: NDArray[np.float64], half: float) -> Iterator[NDArray[np.float64]]:
    """The pieces of a polyline; where two meet both reach beyond, or a seam would be left."""
    points = points[np.append(True, np.linalg.norm(np.diff(points, axis=0), axis=1) > 1e-6)]
    for index, (a, b) in enumerate(itertools.pairwise(points)):
        length = np.linalg.norm(b - a)
        ahead = (b - a) / length
        start = a - ahead * half * (index > 0)
        end = b + ahead * half * (index < len(points) - 2)
        yield np.array([*(start + end) / 2, np.arctan2(ahead[1], ahead[0]), np.linalg.norm(end - start) / 2, half])


def _zebra(polygon: shapely.Polygon, yaw: float) -> list[NDArray[np.float64]]:
    """Stripes along the traffic, over a crossing that is walked in direction ``yaw``."""
    forward, left = np.array([np.cos(yaw), np.sin(yaw)]), np.array([-np.sin(yaw), np.cos(yaw)])
    points = np.asarray(polygon.exterior.coords)
    along, across = points @ forward, points @ left
    half = (across.max() - across.min()) / 2 - 0.1
    middle = (across.max() + across.min()) / 2
    stripes = []
    for at in np.arange(along.min() + 0.45, along.max() - 0.3, STRIPE_PERIOD_M):
        center = forward * at + left * middle
        if polygon.contains(shapely.Point(*center)):
            stripes.append(np.array([*center, yaw + np.pi / 2, half, STRIPE_M / 2]))
    return stripes
