"""Occupancy: which cells vehicles take now and later, and where the vehicle of each cell came from."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn

from tinybev.model.config import StudentConfig
from tinybev.model.heads.upsample import SubcellConv
from tinybev.model.layers import conv_bn_relu, init_convolutions

OCCUPIED_LOGIT_PRIOR = -2.0
"""Logit of being occupied that an untrained network starts from: most cells are free."""


class OccupancyOutputs(NamedTuple):
    """Outputs on the output grid; T steps, the first is now.

    Attributes:
        logits_BTXY: of the cell being occupied.
        flow_BT2XY: metres along base_link's axes from the cell's centre to the centre that the object in it had one
            step before; at step 0, to the centre that it has now. Following it links the objects of all steps.
    """

    logits_BTXY: Tensor
    flow_BT2XY: Tensor


class OccupancyHead(nn.Module):
    """Two convolutions, then the cells of the fine grid at every step."""

    def __init__(self, config: StudentConfig) -> None:
        super().__init__()
        self._steps = config.occupancy_steps
        self.conv = nn.Sequential(
            conv_bn_relu(config.bev_channels, config.head_channels),
            conv_bn_relu(config.head_channels, config.head_channels),
        )
        init_convolutions(self.conv)
        prior = [OCCUPIED_LOGIT_PRIOR, 0.0, 0.0] * self._steps
        self.predict = SubcellConv(config.head_channels, prior, config.bev_stem_stride)

    def forward(self, bev_BCXY: Tensor) -> OccupancyOutputs:
        """Occupancy and flow from the shared features."""
        out_BT3XY = self.predict(self.conv(bev_BCXY)).unflatten(1, (self._steps, 3))
        return OccupancyOutputs(logits_BTXY=out_BT3XY[:, :, 0], flow_BT2XY=out_BT3XY[:, :, 1:])
