"""Detection: a map of centres per class, and a box at every cell."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from tinybev.model.config import StudentConfig
from tinybev.model.layers import conv_bn_relu, init_convolutions
from tinybev.types import ATTRIBUTES, DETECTION_CLASSES

CENTER_LOGIT_PRIOR = -2.0
"""Logit of a centre that an untrained network starts from; keeps the focal loss of the many empty cells small."""
SIZE_PRIOR = (4.0, 1.8, 1.6)
"""Length, width, height, metres, that an untrained network starts from."""
HEIGHT_PRIOR = 0.8
"""Height of a box's centre above base_link, metres, that an untrained network starts from."""


class DetectionOutputs(NamedTuple):
    """Dense outputs on the grid of the heads; cell (row, column) describes the object whose centre is in it.

    Attributes:
        heatmap_BKXY: logits of an object of class k being centred here.
        offset_B2XY: of the centre from the cell's corner (its smallest x and y), in cells: 0 to 1.
        height_B1XY: of the box's centre above base_link, metres.
        log_size_B3XY: natural logarithms of length, width, height in metres.
        heading_B2XY: sine and cosine of the yaw, of any length.
        velocity_B2XY: over ground along base_link's axes, m/s.
        attribute_BAXY: logits of ``ATTRIBUTES``.
    """

    heatmap_BKXY: Tensor
    offset_B2XY: Tensor
    height_B1XY: Tensor
    log_size_B3XY: Tensor
    heading_B2XY: Tensor
    velocity_B2XY: Tensor
    attribute_BAXY: Tensor


_BOX_CHANNELS = (2, 1, 3, 2, 2, len(ATTRIBUTES))
"""Of the fields of ``DetectionOutputs`` after the heatmap, in their order."""


class DetectionHead(nn.Module):
    """Two small towers: one finds centres, one describes boxes."""

    def __init__(self, config: StudentConfig) -> None:
        super().__init__()
        self.center_conv = conv_bn_relu(config.bev_channels, config.head_channels)
        self.center = nn.Conv2d(config.head_channels, len(DETECTION_CLASSES), 1)
        self.box_conv = conv_bn_relu(config.bev_channels, config.head_channels)
        self.box = nn.Conv2d(config.head_channels, sum(_BOX_CHANNELS), 1)
        init_convolutions(self)
        self._start_from_priors()

    def forward(self, bev_BCXY: Tensor) -> DetectionOutputs:
        """Centres and boxes from the shared features."""
        box_maps = self.box(self.box_conv(bev_BCXY)).split(_BOX_CHANNELS, dim=1)
        return DetectionOutputs(self.center(self.center_conv(bev_BCXY)), *box_maps)

    def _start_from_priors(self) -> None:
        log_size = (math.log(side) for side in SIZE_PRIOR)
        box = [0.5, 0.5, HEIGHT_PRIOR, *log_size, 0.0, 1.0, 0.0, 0.0, *(0.0 for _ in ATTRIBUTES)]
        nn.init.normal_(self.center.weight, std=0.05)
        nn.init.normal_(self.box.weight, std=0.01)
        self.center.bias = nn.Parameter(torch.full((len(DETECTION_CLASSES),), CENTER_LOGIT_PRIOR))
        self.box.bias = nn.Parameter(torch.tensor(box))
