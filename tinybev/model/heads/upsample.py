"""From the grid of the heads to the finer grid of the map and occupancy outputs."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class SubcellConv(nn.Module):
    """A 1x1 convolution that predicts ``stride`` x ``stride`` cells from each cell.

    It costs a quarter (at stride 2) of a convolution after interpolation. ``prior`` is what each output channel of an
    untrained network starts from.
    """

    def __init__(self, in_channels: int, prior: Sequence[float], stride: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, len(prior) * stride**2, 1)
        self.shuffle = nn.PixelShuffle(stride)
        nn.init.normal_(self.conv.weight, std=0.1)
        self.conv.bias = nn.Parameter(torch.tensor(prior).repeat_interleave(stride**2))

    def forward(self, feat_BCXY: Tensor) -> Tensor:
        """(B, C, X, Y) to (B, len(prior), X * stride, Y * stride)."""
        return self.shuffle(self.conv(feat_BCXY))
