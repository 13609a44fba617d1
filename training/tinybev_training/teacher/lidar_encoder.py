"""Lidar points to BEV features: pillars in plain PyTorch, after PointPillars (arXiv 1812.05784).

Every point is described by what it is and by where it lies in its cell, an MLP makes features of it, and a cell keeps
the highest of each over its points. Cells without points are 0. Two residual stages follow, the last on the grid of the
heads.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tinybev.geometry import BevGrid, Bound
from tinybev.model.layers import init_convolutions, residual_stage

POINT_FEATURES = 8
"""x, y, z in tens of metres, offset from the cell's centre in cells, height above ground, intensity, distance."""
_TEN_M, _INTENSITY = 10.0, 255.0


class LidarEncoder(nn.Module):
    """Points (P, 5) of a batch to features (B, C, X, Y) on a grid ``stride`` times coarser than ``grid``."""

    def __init__(self, grid: BevGrid, z_bound: Bound, stride: int, point_channels: int, channels: int) -> None:
        """
        Args:
            grid: of the pillars.
            z_bound: points outside of it are not looked at.
            stride: 1 or 2, cells of ``grid`` per cell of the result.
            point_channels: of the pillars.
            channels: of the result.
        """
        super().__init__()
        self._grid, self._z_bound = grid, z_bound
        # Normalised point by point: a batch may have no points at all.
        self.point_mlp = nn.Sequential(
            nn.Linear(POINT_FEATURES, point_channels),
            nn.LayerNorm(point_channels),
            nn.ReLU(inplace=True),
            nn.Linear(point_channels, point_channels),
            nn.ReLU(),
        )
        self.fine = residual_stage(point_channels, point_channels, blocks=1, stride=1)
        self.coarse = residual_stage(point_channels, channels, blocks=2, stride=stride)
        init_convolutions(self)

    def forward(self, points_P5: Tensor, sample_P: Tensor, batch_size: int) -> Tensor:
        """Features of ``batch_size`` samples; arguments as ``Batch.lidar_P5`` and ``Batch.lidar_sample_P``."""
        cell_P, features_P8 = self._describe(points_P5.float(), sample_P)
        encoded_PC = self.point_mlp(features_P8)
        rows, columns = self._grid.shape
        pillars_GC = encoded_PC.new_zeros(batch_size * rows * columns, encoded_PC.shape[1])
        # Features are not negative, so the highest of a cell's points and 0 is the highest of its points.
        pillars_GC = pillars_GC.scatter_reduce(0, cell_P[:, None].expand_as(encoded_PC), encoded_PC, "amax")
        pillars_BCXY = pillars_GC.view(batch_size, rows, columns, -1).permute(0, 3, 1, 2).contiguous()
        return self.coarse(self.fine(pillars_BCXY))

    def _describe(self, points_P5: Tensor, sample_P: Tensor) -> tuple[Tensor, Tensor]:
        """The flat cell over all samples, and the features, of the points that lie in the grid's box."""
        (x_min, _, x_step), (y_min, _, y_step) = self._grid.x_bound, self._grid.y_bound
        rows, columns = self._grid.shape
        position_P2 = (points_P5[:, :2] - points_P5.new_tensor([x_min, y_min])) / points_P5.new_tensor([x_step, y_step])
        cell_P2 = position_P2.floor()
        z_P = points_P5[:, 2]
        inside_P = (cell_P2 >= 0).all(dim=1) & (cell_P2[:, 0] < rows) & (cell_P2[:, 1] < columns)
        inside_P &= (z_P >= self._z_bound[0]) & (z_P < self._z_bound[1])
        points_P5, position_P2, cell_P2 = points_P5[inside_P], position_P2[inside_P], cell_P2[inside_P]
        row_P, column_P = cell_P2.long().unbind(dim=1)
        features_P8 = torch.cat(
            [
                points_P5[:, :3] / _TEN_M,
                position_P2 - cell_P2 - 0.5,
                points_P5[:, 2:3],
                points_P5[:, 3:4] / _INTENSITY,
                points_P5[:, :2].norm(dim=1, keepdim=True) / _TEN_M,
            ],
            dim=1,
        )
        return (sample_P[inside_P].long() * rows + row_P) * columns + column_P, features_P8
