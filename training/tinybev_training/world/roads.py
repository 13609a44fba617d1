"""Roads: from a network's lanes to asphalt, pavement, painted lines and zebra crossings."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely import LineString, Polygon

from tinybev_training.world.network import Lane, Network
from tinybev_training.world.polylines import Areas, Polylines, lines_in
from tinybev_training.world.scenario import LineKind, Roads

SEGMENT_M = 2.0
"""Straight pieces are cut this short before they are bent."""
STOP_LINE_BACK_M = 0.7


@dataclass(frozen=True)
class Bend:
    """A gentle bend of the whole plane, then a turn: netgenerate's straight streets become curves.

    Slopes stay below 0.14, so that what touches keeps touching; lengths change by up to that share where a street runs
    along a diagonal of both waves.

    Attributes:
        amplitude: (2,) metres.
        wavelength: (2,) metres.
        phase: (2,) radians.
        yaw: of the turn.
        center: (2,) the point that becomes the origin.
    """

    amplitude: NDArray[np.float64]
    wavelength: NDArray[np.float64]
    phase: NDArray[np.float64]
    yaw: float
    center: NDArray[np.float64]

    @classmethod
    def draw(cls, rng: np.random.Generator, center: NDArray[np.float64]) -> Bend:
        """A bend from ``rng`` that brings ``center`` to the origin."""
        wavelength = rng.uniform(170, 320, 2)
        amplitude = wavelength * rng.uniform(0.2, 1.0, 2) * 0.14 / (2 * math.pi)
        bend = cls(
            amplitude, wavelength, rng.uniform(0, 2 * math.pi, 2), float(rng.uniform(-math.pi, math.pi)), np.zeros(2)
        )
        return cls(bend.amplitude, bend.wavelength, bend.phase, bend.yaw, bend.points(center[None])[0])

    def points(self, points: NDArray[np.floating]) -> NDArray[np.float64]:
        """Points (..., 2), bent."""
        p = np.asarray(points, dtype=np.float64)
        swing = self.amplitude * np.sin(2 * math.pi * p[..., ::-1] / self.wavelength + self.phase)
        cos, sin = math.cos(self.yaw), math.sin(self.yaw)
        return (p + swing) @ np.array([[cos, sin], [-sin, cos]]) - self.center

    def poses(self, poses: NDArray[np.floating]) -> NDArray[np.float64]:
        """Poses (..., 3) of x, y, yaw, bent."""
        p = np.asarray(poses, dtype=np.float64)
        ahead = p[..., :2] + 0.01 * np.stack([np.cos(p[..., 2]), np.sin(p[..., 2])], axis=-1)
        here = self.points(p[..., :2])
        step = self.points(ahead) - here
        return np.concatenate([here, np.arctan2(step[..., 1], step[..., 0])[..., None]], axis=-1)

    def geometry(self, geometry: shapely.Geometry) -> shapely.Geometry:
        """A shapely geometry, cut into short pieces and bent."""
        return shapely.transform(shapely.segmentize(geometry, SEGMENT_M), self.points)


@dataclass(frozen=True)
class Surface:
    """The ground of a network in SUMO's coordinates: asphalt, pavement and crossings as shapely geometries."""

    asphalt: shapely.Geometry
    pavement: shapely.Geometry
    crossings: tuple[Polygon, ...]
    crossing_lines: tuple[NDArray[np.float64], ...]


def lay_surface(network: Network, window: shapely.Geometry) -> Surface:
    """Asphalt, pavement and crossings within ``window``."""

    def band(line: NDArray[np.float64], width: float) -> shapely.Geometry:
        return LineString(line).buffer(width / 2 + 0.02, cap_style="flat", join_style="mitre")

    paved = [band(lane.line, lane.width) for lane in network.lanes if lane.kind != "walk"]
    corners = [Polygon(outline).buffer(0) for outline in network.junctions]
    asphalt = shapely.union_all([*paved, *corners]).buffer(0.4, join_style="mitre").buffer(-0.4, join_style="mitre")
    walks = [band(lane.line, lane.width) for lane in network.lanes if lane.kind == "walk"]
    walks += [Polygon(outline).buffer(0.3) for outline in network.walkways]
    pavement = shapely.union_all(walks).buffer(0.3).buffer(-0.3).difference(asphalt)
    crossings = [
        (band(line, width).intersection(asphalt), line)
        for line, width in network.crossings
        if window.intersects(LineString(line))
    ]
    kept = [(area, line) for area, line in crossings if isinstance(area, Polygon) and not area.is_empty]
    return Surface(
        asphalt.intersection(window),
        pavement.intersection(window),
        tuple(area for area, _ in kept),
        tuple(line for _, line in kept),
    )


def painted_lines(network: Network) -> list[tuple[LineKind, NDArray[np.float64]]]:
    """The painted lines of every street, in SUMO's coordinates."""
    painted: list[tuple[LineKind, NDArray[np.float64]]] = []
    crossings = shapely.MultiLineString([line for line, _ in network.crossings])
    driving = set(network.edges)
    by_ends = {ends: edge for edge, ends in network.ends.items() if edge in driving}
    for edge in network.edges:
        lanes = sorted((lane for lane in network.lanes_of(edge) if lane.kind != "walk"), key=lambda lane: lane.index)
        for right, left in itertools.pairwise(lanes):
            kind = LineKind.LANE if right.kind == left.kind == "drive" else LineKind.EDGE
            painted.append((kind, _offset(right.line, right.width / 2)))
        inner = lanes[-1]
        opposite = by_ends.get(network.ends[edge][::-1])
        if opposite is None or edge < opposite:
            kind = LineKind.EDGE if opposite is None else LineKind.CENTER
            painted.append((kind, _offset(inner.line, inner.width / 2)))
        if edge in network.signals or crossings.distance(shapely.Point(inner.line[-1])) < 8:
            painted.append((LineKind.STOP, _stop_line([lane for lane in lanes if lane.kind == "drive"])))
    return painted


def _stop_line(lanes: list[Lane]) -> NDArray[np.float64]:
    direction = lanes[0].line[-1] - lanes[0].line[-2]
    direction = direction / np.linalg.norm(direction)
    left = np.array([-direction[1], direction[0]])
    outer, inner = lanes[0], lanes[-1]
    return np.stack(
        [
            outer.line[-1] - left * (outer.width / 2 - 0.15) - direction * STOP_LINE_BACK_M,
            inner.line[-1] + left * (inner.width / 2 - 0.25) - direction * STOP_LINE_BACK_M,
        ]
    )


def _offset(line: NDArray[np.float64], distance: float) -> NDArray[np.float64]:
    """A line moved to its left."""
    return next(lines_in(LineString(line).offset_curve(distance, join_style="mitre")))


def bend_roads(network: Network, surface: Surface, window: shapely.Geometry, bend: Bend) -> Roads:
    """The roads within ``window``, bent into the scenario's coordinates."""
    kinds: list[int] = []
    lines: list[NDArray[np.float64]] = []
    for kind, line in painted_lines(network):
        for piece in lines_in(LineString(line).intersection(window)):
            kinds.append(int(kind))
            lines.extend(lines_in(bend.geometry(LineString(piece))))
    lanes: list[NDArray[np.float64]] = []
    for line in [lane.line for lane in network.lanes if lane.kind == "drive"] + list(network.links):
        if len(line) > 1:
            for piece in lines_in(LineString(line).intersection(window)):
                lanes.extend(lines_in(bend.geometry(LineString(piece))))
    crossing_ends = [bend.points(line[[0, -1]]) for line in surface.crossing_lines]
    return Roads(
        lanes=Polylines.of(lanes),
        lines=Polylines.of(lines),
        line_kinds=np.array(kinds, dtype=np.int32),
        drivable=Areas.of(bend.geometry(surface.asphalt)),
        sidewalks=Areas.of(bend.geometry(surface.pavement)),
        # Four corners each: what measures a crossing takes its two longest edges for its sides.
        crossings=Areas.of(bend.geometry(area).minimum_rotated_rectangle for area in surface.crossings),
        crossing_yaws=np.array([math.atan2(*(b - a)[::-1]) for a, b in crossing_ends], dtype=np.float32),
    )
