"""Boxes as the detection head says them, and where on its grid."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from tinybev.geometry import BevGrid
from tinybev.model.heads.detection import DetectionOutputs
from tinybev_training.losses.reduction import mean_count

BOX_CHANNELS = 10
"""Offset in the cell (2), height, log size (3), sine and cosine of the yaw, velocity (2)."""
_CHANNEL_WEIGHTS = (1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.2, 0.2)
"""Velocities err by metres per second where offsets err by tenths of a cell."""
_VELOCITY = 8
"""Its first channel."""
_SQUARED_BELOW_MPS = 1.0
"""A velocity's error. Most objects stand, so as long as nothing tells who moves the least absolute error is at 0 m/s,
and there every standing object pulls as hard as a moving one: networks stayed there. Squared, those that stand hardly
pull. Ours."""
_SMALLEST_SIDE_M = 0.01


class GridPlaces(NamedTuple):
    """Where points are on a grid.

    Attributes:
        position_BA2: continuous (row, column).
        cell_BA: flat index row * Y + column; 0 for a point outside.
        inside_BA: whether the point is on the grid.
    """

    position_BA2: Tensor
    cell_BA: Tensor
    inside_BA: Tensor


def grid_places(xy_BA2: Tensor, grid: BevGrid) -> GridPlaces:
    """The places of points (B, A, 2) of base_link on ``grid``."""
    rows, columns = grid.shape
    origin = xy_BA2.new_tensor([grid.x_bound[0], grid.y_bound[0]])
    step = xy_BA2.new_tensor([grid.x_bound[2], grid.y_bound[2]])
    position_BA2 = (xy_BA2 - origin) / step
    row, column = position_BA2.floor().long().unbind(-1)
    inside = (row >= 0) & (row < rows) & (column >= 0) & (column < columns)
    return GridPlaces(position_BA2, torch.where(inside, row * columns + column, 0), inside)


def encode_boxes(
    centers_BA3: Tensor, sizes_BA3: Tensor, yaws_BA: Tensor, velocities_BA2: Tensor, places: GridPlaces
) -> Tensor:
    """Boxes as (B, A, ``BOX_CHANNELS``), in the order of ``DetectionOutputs``."""
    offset_BA2 = places.position_BA2 - places.position_BA2.floor()
    heading_BA2 = torch.stack([yaws_BA.sin(), yaws_BA.cos()], dim=-1)
    log_size_BA3 = sizes_BA3.clamp(min=_SMALLEST_SIDE_M).log()
    return torch.cat([offset_BA2, centers_BA3[..., 2:], log_size_BA3, heading_BA2, velocities_BA2], dim=-1)


def dense_boxes(detection: DetectionOutputs) -> Tensor:
    """The head's boxes (B, ``BOX_CHANNELS``, X, Y)."""
    return torch.cat(
        [
            detection.offset_B2XY,
            detection.height_B1XY,
            detection.log_size_B3XY,
            detection.heading_B2XY,
            detection.velocity_B2XY,
        ],
        dim=1,
    )


def box_distance(predicted_BAC: Tensor, wanted_BAC: Tensor, known_BAC: Tensor, weights_BA: Tensor) -> Tensor:
    """Weighted distance of boxes, summed over the channels that are known, averaged over ``weights_BA``: L1, and
    Huber's for velocities."""
    miss_BAC = (predicted_BAC - wanted_BAC).abs()
    miss_BAC = torch.where(known_BAC, miss_BAC, torch.zeros_like(miss_BAC))  # first: the unknown may be NaN
    softened_BA2 = _huber(miss_BAC[..., _VELOCITY:], _SQUARED_BELOW_MPS)
    miss_BAC = torch.cat([miss_BAC[..., :_VELOCITY], softened_BA2], dim=-1)
    miss_BA = (miss_BAC * predicted_BAC.new_tensor(_CHANNEL_WEIGHTS)).sum(dim=-1)
    return (miss_BA * weights_BA).sum() / mean_count(weights_BA.sum())


def _huber(miss: Tensor, limit: float) -> Tensor:
    return torch.where(miss < limit, miss.square() / (2 * limit), miss - limit / 2)
