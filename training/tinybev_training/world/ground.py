"""The ground: asphalt, pavement, paint and grass, as a table of distances to their edges.

A table of colours would be coarse near the camera and would flicker far away. Distances to edges can be interpolated:
near, every line has a sharp edge; far away its share of the pixel's footprint on the ground is known, along and across.
Eight bytes a cell, read with one gather.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import cv2
import numpy as np
import shapely
import shapely.ops
import torch
from numpy.typing import NDArray
from torch import Tensor

from tinybev_training.world.lighting import Light
from tinybev_training.world.noise import look_up, smooth_tile
from tinybev_training.world.scenario import LineKind, PropKind, Scenario
from tinybev_training.world.shadows import ShadowMap

CELL_M = 0.1
REACH_M = 100.0
"""The table covers what is this close to the ego's track; beyond, the ground is grass."""
STEPS_PER_M = 400.0
"""Distances are kept in steps of 2.5 mm, up to 0.32 m."""
LINE_HALF_WIDTH = {LineKind.LANE: 0.075, LineKind.CENTER: 0.07, LineKind.EDGE: 0.075, LineKind.STOP: 0.2}
DASH_M, GAP_M = 3.0, 5.0
STRIPE_M, STRIPE_PERIOD_M = 0.5, 1.0

ASPHALT, PAVEMENT, PAINT, NORMAL_X, NORMAL_Y, YELLOW, LIT, TONE = range(8)


@dataclass(frozen=True)
class Ground:
    """The table: (rows, columns, 8) bytes, ``origin`` (2,) the x and y of the middle of cell (0, 0)."""

    table: Tensor
    origin: tuple[float, float]

    def cells(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Bytes (8, N) as floats at points (N,), interpolated, and whether (N,) the table reaches there."""
        rows, columns, _ = self.table.shape
        packed = self.table.view(torch.int64).view(-1)
        u = (x - self.origin[0]) * (1 / CELL_M)
        v = (y - self.origin[1]) * (1 / CELL_M)
        u0, v0 = u.floor(), v.floor()
        fu, fv = u - u0, v - v0
        inside = (u0 >= 0) & (u0 < columns - 1) & (v0 >= 0) & (v0 < rows - 1)
        index = v0.clamp_(0, rows - 2).to(torch.int64) * columns + u0.clamp_(0, columns - 2).to(torch.int64)
        corner = [
            packed.index_select(0, index + step)
            .view(torch.uint8)
            .view(-1, 8)
            .T.to(torch.float32, memory_format=torch.contiguous_format)
            for step in (0, 1, columns, columns + 1)
        ]
        return corner[0].lerp_(corner[1], fu).lerp_(corner[2].lerp_(corner[3], fu), fv), inside

    def light_at(self, x: Tensor, y: Tensor) -> Tensor:
        """The share (N,) of the lamps' light at points (N,), nearest cell."""
        rows, columns, _ = self.table.shape
        u = ((x - self.origin[0]) / CELL_M).to(torch.int64).clamp(0, columns - 1)
        v = ((y - self.origin[1]) / CELL_M).to(torch.int64).clamp(0, rows - 1)
        return self.table[v, u, LIT].to(torch.float32) / 255


def build_ground(scenario: Scenario, shadow: ShadowMap | None, device: torch.device, *, night: bool) -> Ground:
    """The table of a scenario: with the sun's shadows of what stands still, or at night with the lamps' light."""
    track = scenario.ego[:, :2].astype(np.float64)
    low, high = track.min(axis=0) - REACH_M, track.max(axis=0) + REACH_M
    columns, rows = (np.ceil((high - low) / CELL_M)).astype(int) + 1
    table = np.zeros((rows, columns, 8), dtype=np.uint8)
    roads = scenario.roads
    drivable = roads.drivable.polygons()
    paved = roads.sidewalks.polygons() + [
        _outline(pose, size).buffer(2.0, join_style="mitre")
        for kind, pose, size in zip(scenario.props.kinds, scenario.props.poses, scenario.props.sizes, strict=True)
        if kind == PropKind.BUILDING
    ]
    table[..., ASPHALT] = _signed_distance(drivable, low, (rows, columns))
    table[..., PAVEMENT] = _signed_distance(paved, low, (rows, columns))
    paint, yellow = _paint(scenario, low, (rows, columns))
    table[..., PAINT] = paint
    table[..., YELLOW] = yellow
    distance = paint.astype(np.float32)
    for channel, axis in ((NORMAL_X, 1), (NORMAL_Y, 0)):
        gradient = np.gradient(distance, axis=axis) / (STEPS_PER_M * CELL_M)
        table[..., channel] = np.clip(gradient * 127, -127, 127).astype(np.int16) + 128
    table[..., TONE] = _tone(scenario, low, (rows, columns))
    table[..., LIT] = _lamp_light(scenario, low, (rows, columns)) if night else 255
    tensor = torch.from_numpy(table).to(device)
    if shadow is not None:
        x = low[0] + torch.arange(columns, device=device, dtype=torch.float32) * CELL_M
        for row in range(0, rows, 128):
            y = low[1] + torch.arange(row, min(row + 128, rows), device=device, dtype=torch.float32) * CELL_M
            grid = torch.stack(
                [x.repeat(len(y)), y.repeat_interleave(columns), torch.zeros(len(y) * columns, device=device)]
            )
            tensor[row : row + 128, :, LIT] = (shadow.sunlit(grid).view(len(y), columns) * 255).to(torch.uint8)
    return Ground(tensor, (float(low[0]), float(low[1])))


@dataclass(frozen=True)
class GroundLook:
    """What the ground is like at N points: (3, N) reflectance, (N,) baked share of direct light, (N,) gloss."""

    albedo: Tensor
    lit: Tensor
    gloss: Tensor


def look_at_ground(
    ground: Ground, x: Tensor, y: Tensor, across: Tensor, along: Tensor, view: Tensor, light: Light
) -> GroundLook:
    """What the ground is like where rays meet it.

    Args:
        ground: the table.
        x, y: (N,) points.
        across, along: (N,) size of the pixel's footprint across and along the line of sight, metres.
        view: (2, N) unit direction of sight on the ground.
        light: for wetness.
    """
    cell, inside = ground.cells(x, y)
    tile = smooth_tile(x.device)
    broad = look_up(tile, x * 3.1 + 4096, y * 3.1 + 4096)
    fine = look_up(tile, x * 61 + 8192, y * 61 + 8192) * (0.06 / across.clamp(min=0.012)).clamp_(max=1.0)

    def coverage(channel: int, footprint: Tensor) -> Tensor:
        distance = (cell[channel] - 128) * (1 / STEPS_PER_M)
        distance = torch.where(distance.abs() > 0.3, distance * 50, distance)
        return (0.5 + distance / footprint).clamp_(0, 1) * inside

    extent = (across * along).sqrt_().clamp_(min=0.02)
    asphalt = coverage(ASPHALT, extent)
    pavement = coverage(PAVEMENT, extent)
    nx, ny = (cell[NORMAL_X] - 128) * (1 / 127), (cell[NORMAL_Y] - 128) * (1 / 127)
    ahead = (nx * view[0] + ny * view[1]).abs_()
    side = (nx * view[1] - ny * view[0]).abs_()
    footprint = (ahead * along + side * across).clamp_(min=0.012)
    # A line narrower than the footprint fills only a part of it.
    paint = coverage(PAINT, footprint) * (0.20 / footprint).clamp_(max=1.0) * asphalt
    worn = (0.93 + 0.10 * broad + 0.10 * fine).clamp_(0.5, 1)

    def rgb(*values: float) -> Tensor:
        return torch.tensor(values, device=x.device)[:, None]

    meadow = look_up(tile, x * 14 + 8192, y * 14 + 8192)
    green = (0.45 + 0.22 * broad + 0.3 * fine + 0.25 * meadow).clamp_(0, 1)
    color = torch.lerp(rgb(0.065, 0.115, 0.030), rgb(0.165, 0.185, 0.065), green)
    slab = 0.36 + 0.02 * broad + 0.025 * fine
    color = torch.lerp(color, slab * rgb(1.0, 0.97, 0.92), pavement)
    tone = (cell[TONE] - 128) * (1 / 128)
    tar = (0.098 + 0.0035 * broad + 0.016 * fine + 0.05 * tone).clamp_(min=0.03) * (1 - 0.45 * light.wet)
    color = torch.lerp(color, tar * rgb(1.0, 1.0, 1.03), asphalt)
    marking = torch.lerp(rgb(0.72, 0.72, 0.70), rgb(0.70, 0.48, 0.08), cell[YELLOW] * (1 / 255))
    color = torch.lerp(color, marking, paint * worn)
    lit = torch.where(inside, cell[LIT] * (1 / 255), 0.0 if light.night else 1.0)
    gloss = light.wet * (asphalt * 0.55 + pavement * 0.25) * (0.75 + 0.3 * broad).clamp_(0, 1)
    return GroundLook(color, lit, gloss)


def _outline(pose: NDArray[np.floating], size: NDArray[np.floating]) -> shapely.Polygon:
    corners = np.array([[1, 1], [-1, 1], [-1, -1], [1, -1]]) * size[:2].astype(float) / 2
    cos, sin = np.cos(pose[2]), np.sin(pose[2])
    return shapely.Polygon(corners @ np.array([[cos, sin], [-sin, cos]]) + pose[:2].astype(float))


def _pixels(points: NDArray[np.floating], low: NDArray[np.float64], shift: int = 4) -> NDArray[np.int32]:
    """Cells as OpenCV's fixed-point pixels with ``shift`` fractional bits."""
    return np.round((np.asarray(points, dtype=np.float64) - low) / CELL_M * (1 << shift)).astype(np.int32)


def _signed_distance(
    polygons: list[shapely.Polygon], low: NDArray[np.float64], shape: tuple[int, int]
) -> NDArray[np.uint8]:
    """Bytes: 128 at the edges of the polygons' union, more inside, 1 step a 2.5 mm."""
    mask = np.zeros(shape, np.uint8)
    union = shapely.union_all(polygons)
    edges = []
    for polygon in shapely.get_parts(np.array([union], dtype=object)):
        rings = [np.asarray(ring.coords)[:, :2] for ring in (polygon.exterior, *polygon.interiors)]
        part = np.zeros(shape, np.uint8)
        cv2.fillPoly(part, [_pixels(ring, low) for ring in rings], 1, shift=4)
        mask |= part
        edges += [np.stack([ring[:-1], ring[1:]], axis=1) for ring in rings]
    segments = np.concatenate(edges)
    middle, step = segments.mean(axis=1), segments[:, 1] - segments[:, 0]
    boxes = np.concatenate(
        [
            middle,
            np.arctan2(step[:, 1], step[:, 0])[:, None],
            np.linalg.norm(step, axis=1)[:, None] / 2,
            np.zeros((len(step), 1)),
        ],
        axis=1,
    )
    distance = _distance_to_boxes(boxes, low, shape)
    signed = np.where(mask > 0, distance, -distance)
    return np.clip(128 + signed * STEPS_PER_M, 0, 255).astype(np.uint8)


def _distance_to_boxes(
    boxes: NDArray[np.float64], low: NDArray[np.float64], shape: tuple[int, int]
) -> NDArray[np.float32]:
    """Distance of every cell to the nearest of boxes (B, 5: x, y, yaw, half length, half width), negative inside.

    Only cells within 0.35 m of a box are computed; the others hold 1.
    """
    rows, columns = shape
    result = torch.ones(rows * columns)
    pieces = [_cut(boxes[boxes[:, 3] > 1.2], 1.0), boxes[boxes[:, 3] <= 1.2]]
    small = np.concatenate(pieces)
    side = int(np.ceil((1.2 + 0.4) * 2 / CELL_M)) + 2
    local = torch.arange(side) - side // 2
    for start in range(0, len(small), 4096):
        batch = torch.from_numpy(small[start : start + 4096])
        cell = ((batch[:, :2] - torch.from_numpy(low)) / CELL_M).round().to(torch.int64)
        column, row = cell[:, 0, None, None] + local[None, None, :], cell[:, 1, None, None] + local[None, :, None]
        dx = (low[0] + column * CELL_M - batch[:, 0, None, None]).to(torch.float32)
        dy = (low[1] + row * CELL_M - batch[:, 1, None, None]).to(torch.float32)
        cos, sin = batch[:, 2].cos()[:, None, None].float(), batch[:, 2].sin()[:, None, None].float()
        x = (cos * dx + sin * dy).abs() - batch[:, 3, None, None].float()
        y = (cos * dy - sin * dx).abs() - batch[:, 4, None, None].float()
        distance = torch.hypot(x.clamp(min=0), y.clamp(min=0)) + torch.maximum(x, y).clamp(max=0)
        keep = ((column >= 0) & (column < columns) & (row >= 0) & (row < rows)).expand_as(distance) & (distance < 0.36)
        index = (row * columns + column)[keep]
        result.scatter_reduce_(0, index, distance[keep], "amin")
    return result.view(rows, columns).numpy()


def _cut(boxes: NDArray[np.float64], half: float) -> NDArray[np.float64]:
    """Long boxes cut along their length into pieces of at most ``half`` half length."""
    pieces = [np.zeros((0, 5))]
    for x, y, yaw, length, width in boxes:
        count = int(np.ceil(length / half))
        at = ((np.arange(count) + 0.5) / count * 2 - 1) * length
        piece = np.stack([x + np.cos(yaw) * at, y + np.sin(yaw) * at], axis=1)
        pieces.append(np.concatenate([piece, np.tile([yaw, length / count, width], (count, 1))], axis=1))
    return np.concatenate(pieces)


def _paint(
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
    whites = _distance_to_boxes(np.array(white).reshape(-1, 5), low, shape)
    yellows = _distance_to_boxes(np.array(yellow).reshape(-1, 5), low, shape)
    signed = -np.minimum(whites, yellows)
    return np.clip(128 + signed * STEPS_PER_M, 0, 255).astype(np.uint8), np.where(yellows < whites, 255, 0).astype(
        np.uint8
    )


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
    boxes = []
    for part in lines:
        p = np.asarray(part.coords)
        for a, b in itertools.pairwise(p):
            length = np.linalg.norm(b - a)
            if length > 1e-6:
                boxes.append(
                    np.array(
                        [*(a + b) / 2, np.arctan2(b[1] - a[1], b[0] - a[0]), length / 2 + (0 if dash else 0.01), half]
                    )
                )
    return boxes


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


def _tone(scenario: Scenario, low: NDArray[np.float64], shape: tuple[int, int]) -> NDArray[np.uint8]:
    """How light or dark the asphalt is: wheel tracks, patches, cracks and covers."""
    rng = np.random.default_rng(scenario.seed)
    image = np.full(shape, 128, np.float32)
    tracks = np.zeros(shape, np.uint8)
    for lane in scenario.roads.lanes:
        for side in (-0.78, 0.78):
            parallel = shapely.LineString(lane).offset_curve(side)
            if isinstance(parallel, shapely.LineString) and not parallel.is_empty:
                cv2.polylines(tracks, [_pixels(np.asarray(parallel.coords), low)], False, 255, 4, shift=4)
    image -= 26 * cv2.GaussianBlur(tracks, (0, 0), 2.2).astype(np.float32) / 255
    lanes = [lane for lane in scenario.roads.lanes if len(lane) > 3]
    detail = np.zeros(shape, np.float32)
    for _ in range(4 * len(lanes)):
        lane = lanes[int(rng.integers(len(lanes)))]
        index = int(rng.integers(len(lane) - 1))
        yaw = np.arctan2(*(lane[index + 1] - lane[index])[::-1])
        center = lane[index] + rng.normal(0, 0.7, 2)
        kind = rng.random()
        if kind < 0.45:
            size = np.array([rng.uniform(0.8, 4.5), rng.uniform(0.6, 1.8)])
            outline = _outline(np.array([*center, yaw]), size)
            cv2.fillPoly(
                detail, [_pixels(np.asarray(outline.exterior.coords), low)], float(rng.uniform(-34, 22)), shift=4
            )
        elif kind < 0.6:
            cv2.circle(detail, tuple(int(value) for value in _pixels(center, low, 0)), 3, -70.0, -1)
        else:
            walk = center + np.cumsum(rng.normal(0, 0.35, (14, 2)) + 0.3 * np.array([np.cos(yaw), np.sin(yaw)]), axis=0)
            cv2.polylines(detail, [_pixels(walk, low)], False, -46.0, 1, shift=4)
    return np.clip(image + detail, 0, 255).astype(np.uint8)


def _lamp_light(scenario: Scenario, low: NDArray[np.float64], shape: tuple[int, int]) -> NDArray[np.uint8]:
    """The light of the street lamps on the ground."""
    light = np.zeros(shape, np.float32)
    reach = int(16 / CELL_M)
    square = np.hypot(*np.meshgrid(*[np.arange(-reach, reach + 1) * CELL_M] * 2)) ** 2
    pool = (7.0**3 / (square + 7.0**2) ** 1.5) * np.clip(1 - square / 16**2, 0, 1)
    for kind, pose in zip(scenario.props.kinds, scenario.props.poses.astype(float), strict=True):
        if kind != PropKind.LAMP:
            continue
        head = pose[:2] + 2.05 * np.array([-np.sin(pose[2]), np.cos(pose[2])])
        column, row = np.round((head - low) / CELL_M).astype(int)
        r0, r1 = max(row - reach, 0), min(row + reach + 1, shape[0])
        c0, c1 = max(column - reach, 0), min(column + reach + 1, shape[1])
        if r0 < r1 and c0 < c1:
            light[r0:r1, c0:c1] += pool[r0 - row + reach : r1 - row + reach, c0 - column + reach : c1 - column + reach]
    return np.clip(light * 200, 0, 255).astype(np.uint8)
