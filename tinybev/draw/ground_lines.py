"""Lines on the ground: the map, the trajectories and the plan, computed once and drawn in every view.

None of them knows a height. The ground is taken to be the plane z = 0 of base_link, so where the road rises or falls
their projections drift off it with distance.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from tinybev.draw.overlay import Overlay
from tinybev.draw.palette import DETECTION_COLORS, DRIVABLE_OUTLINE, MAP_COLORS, PLAN, Rgb
from tinybev.geometry import Array
from tinybev.types import Ints, MapClass, Plan

PIECE_M = 2.0
"""Lines are cut into pieces no longer than this, each drawn with the thickness of its own distance."""

_MOST_PIECES = 500  # of one edge: a wild number from an untrained network must not cost memory

OPACITIES = (0.3, 0.6, 1.0)
"""Of an agent's modes, by how likely a mode is against the likeliest one, in thirds."""

LEAST_SHARE = 0.1
"""A mode less likely than this share of the likeliest one is not drawn: those of thirty agents hide everything."""


@dataclass(frozen=True)
class LineStyle:
    """How a line looks: its colour, its thickness against others', its opacity from 0 to 1."""

    color: Rgb
    weight: float
    opacity: float = 1.0


@dataclass(frozen=True)
class GroundLine:
    """A polyline: ``points`` (P, 2) in base_link, at z = 0."""

    points: Array
    style: LineStyle


def ground_lines(overlay: Overlay) -> tuple[GroundLine, ...]:
    """All lines of the overlay in the order in which they are drawn: map, agents, plan."""
    return (*_map_lines(overlay), *_agent_lines(overlay), *_plan_lines(overlay))


@dataclass(frozen=True)
class Pieces:
    """Lines cut into short straight pieces, so that each gets the thickness of its own distance.

    Attributes:
        starts, ends: (S, 3) in base_link, z = 0.
        style_ids: (S,) index into ``styles``.
        styles: in the order in which they are drawn.
    """

    starts: Array
    ends: Array
    style_ids: Ints
    styles: tuple[LineStyle, ...]

    @classmethod
    def of_lines(cls, lines: Sequence[GroundLine]) -> Pieces:
        """The pieces of all ``lines``, each straight edge in equal parts no longer than ``PIECE_M``."""
        styles = {style: number for number, style in enumerate(dict.fromkeys(line.style for line in lines))}
        style_of_line = np.array([styles[line.style] for line in lines], dtype=int)
        corners = np.concatenate([np.empty((0, 2)), *(line.points for line in lines)])
        line_of_corner = np.repeat(np.arange(len(lines)), [len(line.points) for line in lines])
        begin = np.flatnonzero(line_of_corner[1:] == line_of_corner[:-1])  # the corners that another one follows
        edge = corners[begin + 1] - corners[begin]
        parts = np.clip(np.ceil(np.linalg.norm(edge, axis=1) / PIECE_M), 1, _MOST_PIECES).astype(int)
        edge_of_piece = np.repeat(np.arange(len(begin)), parts)
        part = np.arange(len(edge_of_piece)) - np.repeat(np.cumsum(parts) - parts, parts)
        step = (edge / parts[:, None])[edge_of_piece]
        starts = corners[begin][edge_of_piece] + part[:, None] * step
        style_ids = style_of_line[line_of_corner[begin][edge_of_piece]]
        return cls(_raised(starts), _raised(starts + step), style_ids, tuple(styles))


def plan_path(plan: Plan) -> Array:
    """The planned path (T + 1, 2), from the ego's origin on."""
    return np.vstack([np.zeros(2), plan.positions])


def _map_lines(overlay: Overlay) -> Iterator[GroundLine]:
    for segment in overlay.segments:
        points = np.vstack([segment.points, segment.points[:1]]) if segment.closed else segment.points
        color = DRIVABLE_OUTLINE if segment.map_class == MapClass.DRIVABLE else MAP_COLORS[segment.map_class]
        yield GroundLine(points, LineStyle(color, 1.0 if segment.map_class == MapClass.DRIVABLE else 2.0))


def _agent_lines(overlay: Overlay) -> Iterator[GroundLine]:
    """The modes of each agent, each from the agent's box on where the overlay has one for it."""
    trajectories, detections = overlay.trajectories, overlay.detections
    if trajectories is None:
        return
    rows_match = detections is not None and np.array_equal(detections.track_ids, trajectories.track_ids)
    for agent in range(len(trajectories)):
        color = DETECTION_COLORS[int(trajectories.class_ids[agent])]
        probabilities = trajectories.probabilities[agent]
        shares = probabilities / max(float(probabilities.max()), 1e-9)
        thirds = np.minimum(3 * shares, 2).astype(int)
        for mode, share, third in zip(trajectories.positions[agent], shares, thirds, strict=True):
            if share < LEAST_SHARE:
                continue
            start = detections.centers[agent : agent + 1, :2] if detections is not None and rows_match else mode[:0]
            yield GroundLine(np.vstack([start, mode]), LineStyle(color, 1.0, OPACITIES[third]))


def _plan_lines(overlay: Overlay) -> Iterator[GroundLine]:
    if overlay.plan is None:
        return
    plan = overlay.plan
    if not np.array_equal(plan.raw_positions, plan.positions):
        yield GroundLine(np.vstack([np.zeros(2), plan.raw_positions]), LineStyle(PLAN, 1.0, 0.6))
    yield GroundLine(plan_path(plan), LineStyle(PLAN, 2.0))


def _raised(xy: Array) -> Array:
    return np.column_stack([xy, np.zeros(len(xy))])
