"""From one grid's cells to another's by where they are in base_link, with gradients."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from tinybev.geometry import BevGrid, Bound
from tinybev_training.teacher.outputs import GridOutput

_WHOLLY = 1 - 1e-4
"""Of a cell's interpolation weights; rounding takes a little from 1."""


class Resampled(NamedTuple):
    """Channels on the new grid, and which of its cells (X, Y) have their centre on the old one; the rest is 0."""

    values_BCXY: Tensor
    inside_XY: Tensor


def resample(values_BCXY: Tensor, source: BevGrid, target: BevGrid) -> Resampled:
    """Bilinear interpolation between the centres of the cells of ``source``.

    A cell of ``target`` that is more than twice as large as one of ``source`` is the mean of several points in it, so
    no cell of the source is passed over. Beyond the outermost centres the outermost cells go on.
    """
    if source == target:
        return Resampled(values_BCXY, torch.ones(target.shape, dtype=torch.bool, device=values_BCXY.device))
    x_points = _points_per_cell(source.x_bound, target.x_bound)
    y_points = _points_per_cell(source.y_bound, target.y_bound)
    x = _relative_positions(source.x_bound, target.x_bound, target.shape[0] * x_points).to(values_BCXY)
    y = _relative_positions(source.y_bound, target.y_bound, target.shape[1] * y_points).to(values_BCXY)
    places_XY2 = torch.stack([*torch.meshgrid(x, y, indexing="ij")][::-1], dim=-1)  # grid_sample: columns first
    sampled_BCXY = functional.grid_sample(
        values_BCXY,
        places_XY2.expand(len(values_BCXY), -1, -1, -1),
        mode="bilinear",
        padding_mode="border",
        align_corners=False,
    )
    sampled_BCXY = functional.avg_pool2d(sampled_BCXY, (x_points, y_points))
    x_inside = _relative_positions(source.x_bound, target.x_bound, target.shape[0]).abs() < 1
    y_inside = _relative_positions(source.y_bound, target.y_bound, target.shape[1]).abs() < 1
    inside_XY = (x_inside[:, None] & y_inside).to(values_BCXY.device)
    return Resampled(torch.where(inside_XY, sampled_BCXY, 0.0), inside_XY)


def reached(output: GridOutput, target: BevGrid) -> Tensor:
    """(B, X, Y): the cells of ``target`` of which the teacher saw all that is interpolated from."""
    values_BCXY = output.values_BCXY
    reach_BXY = output.reach_BXY
    if reach_BXY is None:
        reach_BXY = values_BCXY.new_ones(len(values_BCXY), *values_BCXY.shape[2:], dtype=torch.bool)
    reach_B1XY, inside_XY = resample(reach_BXY[:, None].float(), output.grid, target)
    return (reach_B1XY[:, 0] > _WHOLLY) & inside_XY


def _points_per_cell(source: Bound, target: Bound) -> int:
    """Two neighbouring cells of the source are averaged by one point between them, so half as many points do."""
    return max(1, math.ceil(target[2] / source[2] / 2 - 1e-6))


def _relative_positions(source: Bound, target: Bound, count: int) -> Tensor:
    """Of ``count`` points, evenly spread over ``target``, -1 to 1 across ``source``."""
    low, high, _ = target
    metres = low + (torch.arange(count, dtype=torch.float64) + 0.5) * (high - low) / count
    return 2 * (metres - source[0]) / (source[1] - source[0]) - 1
