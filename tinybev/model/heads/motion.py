"""Motion: several futures of every agent, from its box, the features where it is, and the scene as a whole."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from tinybev.model.bev_encoder import BevFeatures, sample_cells
from tinybev.model.config import StudentConfig
from tinybev.model.heads.detection import DetectionOutputs
from tinybev.model.heads.peaks import Peaks
from tinybev.types import DETECTION_CLASSES

GAUSSIAN = 5
"""Mean x, mean y, log sigma x, log sigma y, correlation: UniAD's description of a future position."""
_STATE_CHANNELS = len(DETECTION_CLASSES) + 8
"""Class, height, log size, heading, velocity."""


class MotionOutputs(NamedTuple):
    """K futures of T steps of the A agents in the order of the peaks.

    Attributes:
        offset_BAKT2: mean position less the agent's position now, metres along base_link's axes.
        log_sigma_BAKT2: natural logarithm of the standard deviations along the same axes, metres.
        correlation_BAKT: of the two, in (-1, 1).
        logits_BAK: of the modes.
    """

    offset_BAKT2: Tensor
    log_sigma_BAKT2: Tensor
    correlation_BAKT: Tensor
    logits_BAK: Tensor


class MotionHead(nn.Module):
    """An MLP per agent; the mean starts from constant velocity, so the network learns what departs from it."""

    def __init__(self, config: StudentConfig) -> None:
        super().__init__()
        hidden, self._modes, self._steps = config.agent_channels, config.motion_modes, config.motion_steps
        inputs = config.bev_channels + config.bev_widths[-1] + _STATE_CHANNELS
        self.mlp = nn.Sequential(
            nn.Linear(inputs, hidden), nn.ReLU(inplace=True), nn.Linear(hidden, hidden), nn.ReLU(inplace=True)
        )
        self.predict = nn.Linear(hidden, self._modes * (self._steps * GAUSSIAN + 1))
        nn.init.normal_(self.predict.weight, std=0.01)
        nn.init.normal_(self.predict.bias, std=0.1)  # not zero: equal modes would stay equal
        self.times_T: Tensor
        self.register_buffer("times_T", config.time_step_s * torch.arange(1, self._steps + 1), persistent=False)

    def forward(self, features: BevFeatures, detection: DetectionOutputs, agents: Peaks) -> MotionOutputs:
        """The futures of ``agents``, which may be the network's own peaks or, in training, the annotated agents."""
        state_BCXY = torch.cat(
            [detection.height_B1XY, detection.log_size_B3XY, detection.heading_B2XY, detection.velocity_B2XY], dim=1
        )
        state_BAS = sample_cells(state_BCXY, agents.cell_BA)
        class_BAK = functional.one_hot(agents.class_BA, len(DETECTION_CLASSES)).to(state_BAS)
        here_BAC = sample_cells(features.fine_BCXY, agents.cell_BA)
        scene_BAC = sample_cells(features.coarse_BCXY, _coarse_cell(agents.cell_BA, features))
        hidden_BAC = self.mlp(torch.cat([here_BAC, scene_BAC, class_BAK, state_BAS], dim=-1))
        out_BAKC = self.predict(hidden_BAC).unflatten(-1, (self._modes, -1))
        gaussian_BAKT5 = out_BAKC[..., 1:].unflatten(-1, (self._steps, GAUSSIAN))
        straight_BA1T2 = state_BAS[:, :, None, None, -2:] * self.times_T[:, None]
        return MotionOutputs(
            offset_BAKT2=straight_BA1T2 + gaussian_BAKT5[..., :2].float().cumsum(dim=3),
            log_sigma_BAKT2=gaussian_BAKT5[..., 2:4],
            correlation_BAKT=gaussian_BAKT5[..., 4].tanh(),
            logits_BAK=out_BAKC[..., 0],
        )


def _coarse_cell(cell_BA: Tensor, features: BevFeatures) -> Tensor:
    """The cell of the coarsest features that holds a cell of the fine ones."""
    (rows, columns), (coarse_rows, coarse_columns) = features.fine_BCXY.shape[2:], features.coarse_BCXY.shape[2:]
    row = torch.div(cell_BA, columns, rounding_mode="floor")
    coarse_row = torch.div(row * coarse_rows, rows, rounding_mode="floor")
    coarse_column = torch.div((cell_BA - row * columns) * coarse_columns, columns, rounding_mode="floor")
    return coarse_row * coarse_columns + coarse_column
