"""Object centres as a heatmap: a Gaussian for each, as large as its box allows, and the focal loss against it."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from tinybev.geometry import BevGrid
from tinybev_training.losses.boxes import GridPlaces
from tinybev_training.losses.reduction import mean_count

_MIN_IOU = 0.1
_MIN_RADIUS_CELLS = 2.0
_MAX_RADIUS_CELLS = 6.0
"""Also half the side of the square that a Gaussian is drawn in."""
_MISS_POWER = 2
_NEAR_POWER = 4


def center_radius(lengths: Tensor, widths: Tensor) -> Tensor:
    """By how much, along both sides at once, a box can be moved until its IoU with itself falls to 0.1; metres.

    That is CornerNet's radius for two corners that move together, the one that a shifted centre causes.
    """
    half_sum = (lengths + widths) / 2
    return half_sum - (half_sum.square() - lengths * widths * (1 - _MIN_IOU) / (1 + _MIN_IOU)).sqrt()


def draw_heatmap(
    places: GridPlaces,
    sizes_BA3: Tensor,
    heights_BAK: Tensor,
    grid: BevGrid,
) -> Tensor:
    """Gaussians around the cells of agents, the higher one where two overlap, as (B, K, X, Y).

    The Gaussian's value at the agent's own cell is its height. The radius, in cells of the grid, is
    ``center_radius`` between 2 and 6, and sigma (2 * radius + 1) / 6, as in CenterNet.

    Args:
        places: of the agents on ``grid``; those outside are not drawn.
        sizes_BA3: length, width, height.
        heights_BAK: 0 to 1 for each class; 0 draws nothing.
        grid: of the cells.
    """
    rows, columns = grid.shape
    batch, _, classes = heights_BAK.shape
    step = (grid.x_bound[2] * grid.y_bound[2]) ** 0.5
    radius_BA = center_radius(sizes_BA3[..., 0], sizes_BA3[..., 1]) / step
    sigma_BA = (2 * radius_BA.clamp(_MIN_RADIUS_CELLS, _MAX_RADIUS_CELLS) + 1) / 6
    reach = int(_MAX_RADIUS_CELLS)
    offset_W = torch.arange(-reach, reach + 1, device=sizes_BA3.device)
    fall_BAW = torch.exp(-(offset_W**2) / (2 * sigma_BA[..., None].square()))
    bump_BAKWW = heights_BAK[..., None, None] * (fall_BAW[..., :, None] * fall_BAW[..., None, :])[:, :, None]
    row_BAW = torch.div(places.cell_BA, columns, rounding_mode="floor")[..., None] + offset_W
    column_BAW = (places.cell_BA % columns)[..., None] + offset_W
    on_rows, on_columns = (row_BAW >= 0) & (row_BAW < rows), (column_BAW >= 0) & (column_BAW < columns)
    drawn_BAWW = (on_rows[..., :, None] & on_columns[..., None, :]) & places.inside_BA[..., None, None]
    cell_BAWW = torch.where(drawn_BAWW, row_BAW[..., :, None] * columns + column_BAW[..., None, :], 0)
    heatmap_BKG = heights_BAK.new_zeros(batch, classes, rows * columns)
    values_BKF = torch.where(drawn_BAWW[:, :, None], bump_BAKWW, 0.0).transpose(1, 2).flatten(2)
    index_BKF = cell_BAWW.flatten(1)[:, None].expand_as(values_BKF)
    return heatmap_BKG.scatter_reduce(2, index_BKF, values_BKF, "amax").unflatten(2, (rows, columns))


def focal_loss(logits_BKXY: Tensor, heatmap_BKXY: Tensor, count: Tensor, known_B: Tensor) -> Tensor:
    """The penalty-reduced focal loss of CornerNet and CenterNet over the number of centres.

    Args:
        logits_BKXY: what the head says.
        heatmap_BKXY: 1 at the centres, less around them.
        count: () of the centres of the batch.
        known_B: whether a sample counts.
    """
    logits = logits_BKXY.float()
    probability = logits.sigmoid()
    log_hit, log_miss = functional.logsigmoid(logits), functional.logsigmoid(-logits)
    loss_BKXY = torch.where(
        heatmap_BKXY == 1,
        -((1 - probability) ** _MISS_POWER) * log_hit,
        -(probability**_MISS_POWER) * (1 - heatmap_BKXY) ** _NEAR_POWER * log_miss,
    )
    return (loss_BKXY * known_B[:, None, None, None]).sum() / mean_count(count)
