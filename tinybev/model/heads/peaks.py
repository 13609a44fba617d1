"""The objects of a frame: the highest local maxima of the detection heatmap, found inside the network.

A centre is a cell that no neighbour exceeds, so one max-pool takes the place of box suppression. Finding the peaks
inside the network gives the motion head its agents, and the decoders their rows, in one fixed shape.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

PEAK_WINDOW = 3
"""Cells along each side within which only the highest counts."""


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


def find_peaks(heatmap_BKXY: Tensor, count: int) -> Peaks:
    """The ``count`` highest local maxima of a heatmap of logits, over all classes."""
    score_BKXY = heatmap_BKXY.sigmoid()
    highest = functional.max_pool2d(score_BKXY, PEAK_WINDOW, stride=1, padding=PEAK_WINDOW // 2)
    peak_BG = torch.where(score_BKXY == highest, score_BKXY, torch.zeros_like(score_BKXY)).flatten(1)
    score_BA, index_BA = peak_BG.topk(count, dim=1)
    cells = heatmap_BKXY.shape[2] * heatmap_BKXY.shape[3]
    class_BA = torch.div(index_BA, cells, rounding_mode="floor")
    return Peaks(score_BA, class_BA, index_BA - class_BA * cells)
