"""The objects of a frame: the highest peaks of the detection heatmap, found inside the network.

In general a centre is a cell that no neighbour exceeds, so one max-pool takes the place of box suppression. Barriers
and cones stand in rows, each in the cell beside the last one's, and of a row that rule finds every second or third. Of
these classes a cell that comes near the highest of its neighbours is a centre too. Finding the peaks inside the network
gives the motion head its agents, and the decoders their rows, in one fixed shape.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from tinybev.types import DETECTION_CLASSES

PEAK_WINDOW = 3
"""Cells along each side of the window whose highest score a centre is held against."""
ROW_CLASSES = ("barrier", "traffic_cone")
"""Classes whose objects stand closer to each other than the window is wide."""
ROW_SHARE = 0.7
"""How much of the highest score of its window a centre of such a class has at least. Training asks of a cell beside an
object for 0.49 of its score, or for the whole where another object is centred: this is between the two. Ours."""


class Peaks(NamedTuple):
    """The A best objects of each frame, best first.

    Attributes:
        score_BA: 0 to 1; 0 where a frame has fewer peaks.
        class_BA: index into ``DETECTION_CLASSES``.
        cell_BA: flat index row * Y + column on the grid of the heads.
    """

    score_BA: Tensor
    class_BA: Tensor
    cell_BA: Tensor


class PeakFinder(nn.Module):
    """The ``count`` highest peaks of a heatmap, over all classes; it has nothing to learn."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self._count = count
        share_K = torch.tensor([ROW_SHARE if name in ROW_CLASSES else 1.0 for name in DETECTION_CLASSES])
        self.share_K11: Tensor
        self.register_buffer("share_K11", share_K[:, None, None], persistent=False)  # moves to the network's device

    def forward(self, heatmap_BKXY: Tensor) -> Peaks:
        """The peaks of a heatmap of logits."""
        score_BKXY = heatmap_BKXY.sigmoid()
        highest_BKXY = functional.max_pool2d(score_BKXY, PEAK_WINDOW, stride=1, padding=PEAK_WINDOW // 2)
        is_peak_BKXY = score_BKXY >= self.share_K11 * highest_BKXY
        peak_BG = torch.where(is_peak_BKXY, score_BKXY, torch.zeros_like(score_BKXY)).flatten(1)
        score_BA, index_BA = peak_BG.topk(self._count, dim=1)
        cells = heatmap_BKXY.shape[2] * heatmap_BKXY.shape[3]
        class_BA = torch.div(index_BA, cells, rounding_mode="floor")
        return Peaks(score_BA, class_BA, index_BA - class_BA * cells)
