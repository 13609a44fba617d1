"""Distances of the cells of a table to edges and boxes on the ground, exact to the millimetre near them."""

from __future__ import annotations

import cv2
import numpy as np
import shapely
import shapely.ops
import torch
from numpy.typing import NDArray

CELL_M = 0.1

STEPS_PER_M = 400.0
"""Distances are kept in steps of 2.5 mm, up to 0.32 m."""


def pixels(points: NDArray[np.floating], low: NDArray[np.float64], shift: int = 4) -> NDArray[np.int32]:
    """Cells as OpenCV's fixed-point pixels with ``shift`` fractional bits."""
    return np.round((np.asarray(points, dtype=np.float64) - low) / CELL_M * (1 << shift)).astype(np.int32)


def signed_distance(
    polygons: list[shapely.Polygon], low: NDArray[np.float64], shape: tuple[int, int]
) -> NDArray[np.uint8]:
    """Bytes: 128 at the edges of the polygons' union, more inside, 1 step a 2.5 mm."""
    mask = np.zeros(shape, np.uint8)
    union = shapely.union_all(polygons)
    edges = []
    for polygon in shapely.get_parts(np.array([union], dtype=object)):
        rings = [np.asarray(ring.coords)[:, :2] for ring in (polygon.exterior, *polygon.interiors)]
        part = np.zeros(shape, np.uint8)
        cv2.fillPoly(part, [pixels(ring, low) for ring in rings], (1,), shift=4)
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
    distance = distance_to_boxes(boxes, low, shape)
    signed = np.where(mask > 0, distance, -distance)
    return np.clip(128 + signed * STEPS_PER_M, 0, 255).astype(np.uint8)


def distance_to_boxes(
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
