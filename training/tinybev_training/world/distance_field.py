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
PIECE_M = 1.2
"""Half the length of the pieces in which long boxes are drawn: each fills a square of cells."""


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
    # OpenCV fills every cell that an edge touches, also where its middle is outside.
    near = np.nonzero(distance < 1.5 * CELL_M)
    shapely.prepare(union)
    mask[near] = shapely.contains_xy(union, low[0] + near[1] * CELL_M, low[1] + near[0] * CELL_M)
    signed = np.where(mask > 0, distance, -distance)
    return np.clip(np.round(128 + signed * STEPS_PER_M), 0, 255).astype(np.uint8)


def distance_to_boxes(
    boxes: NDArray[np.float64], low: NDArray[np.float64], shape: tuple[int, int]
) -> NDArray[np.float32]:
    """Distance of every cell to the nearest of boxes (B, 5: x, y, yaw, half length, half width), negative inside.

    Only cells within 0.35 m of a box are computed; the others hold 1.
    """
    rows, columns = shape
    result = torch.ones(rows * columns)
    centers, owners = _cut(boxes)
    side = int(np.ceil((PIECE_M + 0.4) * 2 / CELL_M)) + 2
    local = torch.arange(side) - side // 2
    for start in range(0, len(owners), 4096):
        batch = torch.from_numpy(boxes[owners[start : start + 4096]])
        cell = ((torch.from_numpy(centers[start : start + 4096] - low)) / CELL_M).round().to(torch.int64)
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


def _cut(boxes: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Middles (P, 2) of pieces of at most ``PIECE_M`` half length, and the box (P,) of each.

    Distances are to the whole box: those to a piece would be none at its cuts.
    """
    half = boxes[:, 3]
    counts = np.maximum(np.ceil(half / PIECE_M), 1).astype(np.int64)
    owners = np.repeat(np.arange(len(boxes)), counts)
    number = np.arange(len(owners)) - np.repeat(np.cumsum(counts) - counts, counts)
    at = ((number + 0.5) / counts[owners] * 2 - 1) * half[owners]
    yaws = boxes[owners, 2]
    return boxes[owners, :2] + at[:, None] * np.stack([np.cos(yaws), np.sin(yaws)], axis=1), owners
