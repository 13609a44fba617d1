"""What stands still: parked vehicles, a road works, people waiting, trees, lamps, buildings."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely import LineString, MultiPoint, Point, Polygon

from tinybev_training.world.catalogue import MODEL_IDS, MODELS
from tinybev_training.world.network import Lane, Network
from tinybev_training.world.roads import Surface
from tinybev_training.world.scenario import PropKind

KEEP_CLEAR_M = 9.0
"""Nothing parks this close to a junction."""
NEAR_EGO_M = 27.0
"""What every scene shall contain stands within this distance of the ego's track."""


@dataclass(frozen=True)
class Placed:
    """Standing things in SUMO's coordinates: boxes as (model, x, y, yaw), props as (kind, x, y, yaw, l, w, h), traffic
    lights as (edge, x, y, yaw)."""

    boxes: list[tuple[int, float, float, float]] = field(default_factory=list)
    props: list[tuple[int, float, float, float, float, float, float]] = field(default_factory=list)
    signals: list[tuple[str, float, float, float]] = field(default_factory=list)


def place(
    network: Network, surface: Surface, window: shapely.Geometry, ego: NDArray[np.float64], rng: np.random.Generator
) -> Placed:
    """Fills the streets within ``window``; ``ego`` (T, 2) is the track to stand things beside."""
    placed = Placed()
    track = MultiPoint(ego[:: max(1, len(ego) // 200)])
    shapely.prepare(window)
    strips = [lane for lane in network.lanes if lane.kind == "strip" and window.intersects(LineString(lane.line))]
    strips.sort(key=lambda lane: (LineString(lane.line).distance(track) > NEAR_EGO_M, lane.edge))
    wanted = ["trailer", "bus", "box_truck", "parked_motorcycle", "parked_bicycle"]
    rng.shuffle(wanted)
    works_left = 1 + int(rng.random() < 0.4)
    for lane in strips:
        start = KEEP_CLEAR_M
        near = LineString(lane.line).distance(track) <= NEAR_EGO_M
        length = LineString(lane.line).length
        if works_left and near and length > 45:
            start = _near_start(lane, track, length)
            _road_works(placed, lane, start, rng)
            _park(placed, lane, KEEP_CLEAR_M, start - 4.0, [], rng)
            start += 24.0
            works_left -= 1
        if near and wanted:
            middle = max(start, _near_start(lane, track, length))
            _park(placed, lane, start, middle - 1.0, [], rng)
            start = middle
        _park(placed, lane, start, length - KEEP_CLEAR_M, wanted if near else [], rng)
    walks = [lane for lane in network.lanes if lane.kind == "walk" and window.intersects(LineString(lane.line))]
    _standing_people(placed, walks, rng)
    _furniture(placed, network, walks, surface, rng)
    _buildings(placed, walks, surface, window, rng)
    return placed


def _near_start(lane: Lane, track: MultiPoint, length: float) -> float:
    """Where along the lane the ego comes closest, moved so that 24 m fit."""
    line = LineString(lane.line)
    nearest = line.project(Point(shapely.shortest_line(line, track).coords[0]))
    return float(np.clip(nearest, KEEP_CLEAR_M, length - KEEP_CLEAR_M - 26.0))


def _along(lane: Lane, distance: float, left: float = 0.0) -> tuple[float, float, float]:
    """x, y, yaw at a distance along a lane's middle, and that far to its left."""
    line = LineString(lane.line)
    here, ahead = line.interpolate(distance), line.interpolate(distance + 0.5)
    if here.distance(ahead) < 1e-6:
        here = line.interpolate(distance - 0.5)
    yaw = math.atan2(ahead.y - here.y, ahead.x - here.x)
    return here.x - math.sin(yaw) * left, here.y + math.cos(yaw) * left, yaw


def _park(placed: Placed, lane: Lane, start: float, end: float, wanted: list[str], rng: np.random.Generator) -> None:
    """Fills a strip from ``start`` to ``end`` with parked vehicles; takes those of ``wanted`` that fit, first."""
    shares = np.array([model.parks for model in MODELS])
    position = start + float(rng.uniform(0, 3))
    fullness = float(rng.uniform(0.35, 0.9))
    while True:
        take_wanted = bool(wanted)
        model = MODEL_IDS[wanted[0]] if take_wanted else int(rng.choice(len(MODELS), p=shares / shares.sum()))
        length = MODELS[model].size[0]
        if position + length > end:
            return
        if take_wanted or rng.random() < fullness:
            if take_wanted:
                wanted.pop(0)
            x, y, yaw = _along(lane, position + length / 2, float(rng.normal(0, 0.06)))
            placed.boxes.append((model, x, y, yaw + float(rng.normal(0, 0.012))))
        position += length + float(rng.uniform(0.7, 1.9))


def _road_works(placed: Placed, lane: Lane, start: float, rng: np.random.Generator) -> None:
    """An excavator on the strip and the edge of the pavement, barriers along the traffic, cones at both ends."""
    cone, barrier, excavator = (MODEL_IDS[name] for name in ("traffic_cone", "barrier", "excavator"))
    x, y, yaw = _along(lane, start + 11.0, -0.6)
    placed.boxes.append((excavator, x, y, yaw + float(rng.choice([0.0, math.pi])) + float(rng.uniform(-0.02, 0.02))))
    edge = lane.width / 2
    for index in range(6):
        x, y, yaw = _along(lane, start + 5.2 + index * 2.36, edge)
        placed.boxes.append((barrier, x, y, yaw + math.pi / 2 + float(rng.normal(0, 0.04))))
    for ramp, distances in ((1, (0.0, 1.3, 2.6, 3.9)), (-1, (18.4, 19.7, 21.0, 22.3))):
        for step, distance in enumerate(distances if ramp > 0 else distances[::-1]):
            x, y, _ = _along(lane, start + distance, -lane.width / 2 + 0.35 + step * 0.5)
            placed.boxes.append((cone, x, y, float(rng.uniform(-math.pi, math.pi))))


def _standing_people(placed: Placed, walks: list[Lane], rng: np.random.Generator) -> None:
    for _ in range(int(rng.integers(6, 16))):
        lane = walks[int(rng.integers(len(walks)))]
        x, y, _yaw = _along(
            lane, float(rng.uniform(4, LineString(lane.line).length - 4)), float(rng.uniform(-0.9, -0.2))
        )
        placed.boxes.append((MODEL_IDS["adult"], x, y, float(rng.uniform(-math.pi, math.pi))))
        if rng.random() < 0.5:  # two who talk
            angle = float(rng.uniform(-math.pi, math.pi))
            placed.boxes.append((MODEL_IDS["adult"], x + math.cos(angle), y + math.sin(angle), angle + math.pi))


def _furniture(placed: Placed, network: Network, walks: list[Lane], surface: Surface, rng: np.random.Generator) -> None:
    """Trees, lamps, signs and benches behind the pavement; traffic lights where the streets have them."""
    shapely.prepare(surface.asphalt)
    shapely.prepare(surface.pavement)
    for lane in walks:
        length = LineString(lane.line).length
        behind = -lane.width / 2 - 0.8
        planted = rng.random() < 0.75
        species = float(rng.integers(3))
        position = float(rng.uniform(2, 6))
        while position < length - 2:
            x, y, yaw = _along(lane, position, behind + float(rng.normal(0, 0.15)))
            spot = Point(x, y)
            if surface.asphalt.distance(spot) > 1.5 and not surface.pavement.contains(spot):
                if planted and rng.random() < 0.8:
                    height = float(rng.uniform(4.5, 8.5))
                    placed.props.append(
                        (PropKind.TREE, x, y, float(rng.uniform(-3, 3)), species, height * 0.62, height)
                    )
                elif rng.random() < 0.35:
                    kind = (PropKind.BENCH, PropKind.BUSH, PropKind.BUSH)[int(rng.integers(3))]
                    # Who sits on a bench looks to its -y: at the road.
                    placed.props.append((kind, x, y, yaw + math.pi, 1.7, 0.8, float(rng.uniform(0.7, 1.2))))
            position += float(rng.uniform(6.5, 11))
        for position in np.arange(9.0, length - 5, 27.0):
            x, y, yaw = _along(lane, float(position), lane.width / 2 - 0.35)
            placed.props.append((PropKind.LAMP, x, y, yaw, 0.2, 2.2, 7.2))
        if rng.random() < 0.7 and length > 30:
            x, y, yaw = _along(lane, float(rng.uniform(10, length - 10)), lane.width / 2 - 0.4)
            placed.props.append((PropKind.SIGN, x, y, yaw + math.pi, float(rng.integers(4)), 0.62, 2.7))
        if rng.random() < 0.3 and length > 30:
            x, y, yaw = _along(lane, float(rng.uniform(10, length - 10)), lane.width / 2 - 0.5)
            placed.props.append((PropKind.HYDRANT, x, y, yaw, 0.3, 0.3, 0.7))
        if lane.edge in network.signals:
            x, y, yaw = _along(lane, length - 0.4, lane.width / 2 - 0.4)
            placed.signals.append((lane.edge, x, y, yaw + math.pi))


def _frontage(walks: list[Lane], rng: np.random.Generator) -> Iterator[tuple[float, float, float, float, float]]:
    """Building plots along the pavement: x, y, yaw of the middle, frontage, depth."""
    for lane in walks:
        length = LineString(lane.line).length
        position = float(rng.uniform(-4, 2))
        setback = float(rng.choice([2.6, 4.0, 6.5]))
        while position < length - 6:
            width, depth = float(rng.uniform(10, 24)), float(rng.uniform(10, 17))
            x, y, yaw = _along(
                lane, float(np.clip(position + width / 2, 0.5, length - 0.5)), -lane.width / 2 - setback - depth / 2
            )
            yield x, y, yaw, width, depth
            position += width + float(rng.choice([0.4, 3.5, 8.0]))


def _buildings(
    placed: Placed, walks: list[Lane], surface: Surface, window: shapely.Geometry, rng: np.random.Generator
) -> None:
    taken = shapely.union_all([surface.asphalt.buffer(3.4), surface.pavement.buffer(1.9)])
    shapely.prepare(taken)
    standing: list[Polygon] = []
    for x, y, yaw, width, depth in _frontage(walks, rng):
        height = float(np.clip(rng.gamma(3.0, 3.2), 5.5, 32.0))
        for shrink in (1.0, 0.7):
            outline = _rectangle(x, y, yaw, width * shrink, depth * shrink)
            clash = taken.intersects(outline) or any(outline.intersects(other) for other in standing[-400:])
            if window.contains(outline.centroid) and not clash:
                standing.append(outline)
                placed.props.append((PropKind.BUILDING, x, y, yaw, width * shrink, depth * shrink, height))
                break
    clutter = shapely.union_all(standing)
    shapely.prepare(clutter)

    def free(x: float, y: float) -> bool:
        return bool(clutter.distance(Point(x, y)) > 0.8)

    placed.props[:] = [prop for prop in placed.props if prop[0] == PropKind.BUILDING or free(prop[1], prop[2])]
    placed.signals[:] = [signal for signal in placed.signals if free(signal[1], signal[2])]


def _rectangle(x: float, y: float, yaw: float, length: float, width: float) -> Polygon:
    corners = np.array([[length, width], [-length, width], [-length, -width], [length, -width]]) / 2
    cos, sin = math.cos(yaw), math.sin(yaw)
    return Polygon(corners @ np.array([[cos, sin], [-sin, cos]]) + np.array([x, y]))
