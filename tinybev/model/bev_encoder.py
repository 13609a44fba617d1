"""The BEV encoder: residual stages that get coarser and wider, and a pyramid back to the grid of the heads.

Most parameters sit where the grid is coarse: a weight of a convolution costs as many multiplications as its grid has
cells, so it costs 64 times less on the third level down than on the first.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from tinybev.model.config import StudentConfig
from tinybev.model.layers import conv_bn_relu, init_convolutions, residual_stage


class BevFeatures(NamedTuple):
    """The shared features.

    Attributes:
        fine_BCXY: on the grid of the heads.
        coarse_BCXY: of the coarsest stage, which sees the whole scene.
    """

    fine_BCXY: Tensor
    coarse_BCXY: Tensor


class BevStem(nn.Module):
    """From the lifted features to the grid of the heads."""

    def __init__(self, config: StudentConfig) -> None:
        super().__init__()
        self.conv = conv_bn_relu(config.context_channels, config.bev_widths[0], stride=config.bev_stem_stride)
        init_convolutions(self)

    def forward(self, lifted_BCXY: Tensor) -> Tensor:
        """Features (B, C, X, Y) on the grid of the heads."""
        return self.conv(lifted_BCXY)


class BevEncoder(nn.Module):
    """Residual stages, each half as fine as the one before, and a top-down pyramid of ``bev_channels``."""

    def __init__(self, config: StudentConfig) -> None:
        super().__init__()
        widths, blocks = config.bev_widths, config.bev_blocks
        inputs = (widths[0], *widths[:-1])
        self.stages = nn.ModuleList(
            residual_stage(inputs[i], widths[i], blocks[i], stride=1 if i == 0 else 2) for i in range(len(widths))
        )
        self.lateral = nn.ModuleList(nn.Conv2d(width, config.bev_channels, 1) for width in widths)
        self.smooth = nn.ModuleList(conv_bn_relu(config.bev_channels, config.bev_channels) for _ in widths[:-1])
        init_convolutions(self)

    def forward(self, stem_BCXY: Tensor) -> BevFeatures:
        """The shared features of all heads."""
        levels = [stem_BCXY]
        for stage in self.stages:
            levels.append(stage(levels[-1]))
        top = self.lateral[-1](levels[-1])
        for level in range(len(self.smooth) - 1, -1, -1):
            finer = self.lateral[level](levels[level + 1])
            up = functional.interpolate(top, size=finer.shape[-2:], mode="bilinear", align_corners=False)
            top = self.smooth[level](finer + up)
        return BevFeatures(fine_BCXY=top, coarse_BCXY=levels[-1])


def sample_cells(feat_BCXY: Tensor, cell_BA: Tensor) -> Tensor:
    """Features (B, A, C) of the cells with the flat index ``cell_BA`` = row * Y + column."""
    flat_BGC = feat_BCXY.permute(0, 2, 3, 1).flatten(1, 2)  # no copy, and none of its gradient, with channels last
    return torch.gather(flat_BGC, 1, cell_BA[..., None].expand(-1, -1, flat_BGC.shape[2]))
