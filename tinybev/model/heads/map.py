"""Map: UniAD's three line classes and the drivable area, as masks."""

from __future__ import annotations

from torch import Tensor, nn

from tinybev.model.config import StudentConfig
from tinybev.model.heads.upsample import SubcellConv
from tinybev.model.layers import conv_bn_relu, init_convolutions
from tinybev.types import MapClass

MAP_LOGIT_PRIOR = -1.0
"""Logit of every class that an untrained network starts from: most cells are of none."""


class MapHead(nn.Module):
    """One convolution, then the cells of the fine grid."""

    def __init__(self, config: StudentConfig) -> None:
        super().__init__()
        self.conv = conv_bn_relu(config.bev_channels, config.head_channels)
        init_convolutions(self.conv)
        self.predict = SubcellConv(config.head_channels, [MAP_LOGIT_PRIOR] * len(MapClass), config.bev_stem_stride)

    def forward(self, bev_BCXY: Tensor) -> Tensor:
        """Logits (B, 4, X, Y) per ``MapClass`` on the output grid; the classes may overlap."""
        return self.predict(self.conv(bev_BCXY))
