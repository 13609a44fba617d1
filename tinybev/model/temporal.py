"""BEV memory: features of earlier frames, moved to where the ego is now and fused with the present ones.

What is remembered is what the stem made of one frame alone. It is moved once, from its own frame to the present one, so
nothing blurs by being moved again and again, and frames that come one at a time give what they give in one batch.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from tinybev.geometry import BevGrid
from tinybev.model.config import StudentConfig
from tinybev.model.layers import conv_bn_relu, init_convolutions


class Memory(NamedTuple):
    """The features of M earlier frames, newest first.

    Attributes:
        feat_BMCXY: as the stem made them; anything where there is no such frame.
        past_T_now_BM33: planar transforms that take a point (x, y, 1) of base_link now to base_link then, metres.
        known_BM: 1 where there is such a frame, 0 where not.
    """

    feat_BMCXY: Tensor
    past_T_now_BM33: Tensor
    known_BM: Tensor


class TemporalFusion(nn.Module):
    """Adds what M moved memories tell to the present features."""

    def __init__(self, config: StudentConfig) -> None:
        super().__init__()
        channels = config.bev_widths[0]
        self._grid = config.head_grid
        self.cells_3XY: Tensor  # a CUDA graph may not copy from the host, so it lies on the device before
        self.register_buffer("cells_3XY", cell_points(config.head_grid), persistent=False)
        self.fuse = conv_bn_relu((1 + config.memory_frames) * channels, channels, kernel=1)
        init_convolutions(self)

    def forward(self, now_BCXY: Tensor, memory: Memory) -> Tensor:
        """Fused features (B, C, X, Y)."""
        past_T_now_B33 = memory.past_T_now_BM33.flatten(0, 1)
        moved = move(memory.feat_BMCXY.flatten(0, 1), past_T_now_B33, self.cells_3XY, self._grid)
        moved_BMCXY = moved.unflatten(0, memory.known_BM.shape)
        known_BM111 = memory.known_BM[:, :, None, None, None] > 0
        moved_BMCXY = torch.where(known_BM111, moved_BMCXY, torch.zeros_like(moved_BMCXY))
        return now_BCXY + self.fuse(torch.cat([now_BCXY, moved_BMCXY.flatten(1, 2)], dim=1))


def cell_points(grid: BevGrid) -> Tensor:
    """The centres of the cells as (x, y, 1), (3, X, Y), metres in float32."""
    x, y = (torch.as_tensor(axis, dtype=torch.float32) for axis in grid.cell_centers())
    return torch.stack([*torch.meshgrid(x, y, indexing="ij"), torch.ones(grid.shape)])


def move(feat_BCXY: Tensor, past_T_now_B33: Tensor, cells_3XY: Tensor, grid: BevGrid) -> Tensor:
    """Features of a past frame, sampled at the cells of the present one; zeros where the past grid does not reach.

    Places are computed in float32 whatever the features are: half precision would be off by a quarter of a metre at
    the edge of the grid. A matrix product would be in half precision under autocast; products and their sum are not.

    Args:
        feat_BCXY: on ``grid`` around where the vehicle was.
        past_T_now_B33: as in ``Memory``.
        cells_3XY: ``cell_points`` of the grid, on the features' device.
        grid: of the features, and of those that are given.
    """
    past_B3XY = (past_T_now_B33.float()[:, :, :, None, None] * cells_3XY).sum(2)
    # grid_sample wants (column, row) with -1 and 1 at the outer edges of the first and the last cell.
    (x_min, x_max, _), (y_min, y_max, _) = grid.x_bound, grid.y_bound
    column_BXY = (past_B3XY[:, 1] - y_min) / (y_max - y_min) * 2 - 1
    row_BXY = (past_B3XY[:, 0] - x_min) / (x_max - x_min) * 2 - 1
    where_BXY2 = torch.stack([column_BXY, row_BXY], dim=-1)
    moved_BCXY = functional.grid_sample(
        feat_BCXY.float(), where_BXY2, mode="bilinear", padding_mode="zeros", align_corners=False
    )
    return moved_BCXY.to(feat_BCXY.dtype)
