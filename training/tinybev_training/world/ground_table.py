"""Fills the table of the ground: edges, paint, shadows, lamps, and what makes asphalt look used."""

from __future__ import annotations

import cv2
import numpy as np
import shapely
import shapely.ops
import torch
from numpy.typing import NDArray

from tinybev_training.world.distance_field import CELL_M, STEPS_PER_M, pixels, signed_distance
from tinybev_training.world.ground import ASPHALT, LIT, NORMAL_X, NORMAL_Y, PAINT, PAVEMENT, TONE, YELLOW, Ground
from tinybev_training.world.paint import paint
from tinybev_training.world.scenario import PropKind, Scenario
from tinybev_training.world.shadows import ShadowMap

REACH_M = 100.0
"""The table covers what is this close to the ego's track; beyond, the ground is grass."""


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
    table[..., ASPHALT] = signed_distance(drivable, low, (rows, columns))
    table[..., PAVEMENT] = signed_distance(paved, low, (rows, columns))
    painted, yellow = paint(scenario, low, (rows, columns))
    table[..., PAINT] = painted
    table[..., YELLOW] = yellow
    distance = painted.astype(np.float32)
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


def _tone(scenario: Scenario, low: NDArray[np.float64], shape: tuple[int, int]) -> NDArray[np.uint8]:
    """How light or dark the asphalt is: wheel tracks, patches, cracks and covers."""
    rng = np.random.default_rng(scenario.seed)
    image = np.full(shape, 128, np.float32)
    tracks = np.zeros(shape, np.uint8)
    for lane in scenario.roads.lanes:
        for side in (-0.78, 0.78):
            parallel = shapely.LineString(lane).offset_curve(side)
            if isinstance(parallel, shapely.LineString) and not parallel.is_empty:
                cv2.polylines(tracks, [pixels(np.asarray(parallel.coords), low)], False, (255,), 4, shift=4)
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
                detail, [pixels(np.asarray(outline.exterior.coords), low)], (float(rng.uniform(-34, 22)),), shift=4
            )
        elif kind < 0.6:
            cv2.circle(detail, pixels(center, low, 0).tolist(), 3, (-70.0,), -1)
        else:
            walk = center + np.cumsum(rng.normal(0, 0.35, (14, 2)) + 0.3 * np.array([np.cos(yaw), np.sin(yaw)]), axis=0)
            cv2.polylines(detail, [pixels(walk, low)], False, (-46.0,), 1, shift=4)
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


def _outline(pose: NDArray[np.floating], size: NDArray[np.floating]) -> shapely.Polygon:
    corners = np.array([[1, 1], [-1, 1], [-1, -1], [1, -1]]) * size[:2].astype(float) / 2
    cos, sin = np.cos(pose[2]), np.sin(pose[2])
    return shapely.Polygon(corners @ np.array([[cos, sin], [-sin, cos]]) + pose[:2].astype(float))
