"""Planning: where the ego drives next, given where it is to go.

A goal gives a direction and no stop: in training it lies ahead on the way that was driven, and nobody stopped there.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from tinybev.model.bev_encoder import BevFeatures
from tinybev.model.config import StudentConfig
from tinybev.types import Command

GOAL_DISTANCE_M = 30.0
"""How far ahead along the driven path the goal point lies in training: the farthest one that the planner has seen."""

GOAL_SCALE_M = 50.0
SPEED_SCALE_MPS = 10.0
"""By which goal points and speeds are divided, so that the planner's inputs are of order one."""

STEP_SCALE_M = 5.0
"""Of the planner's outputs, for the same reason: a step of half a second at ``SPEED_SCALE_MPS``."""


class PlanConditions(NamedTuple):
    """What the planner is told. A part that is unknown or switched off is all zeros, its last number included.

    Attributes:
        command_B3: one-hot over ``Command``.
        goal_B3: x and y of the goal point, at most ``GOAL_DISTANCE_M`` away, / ``GOAL_SCALE_M``, 1.
        ego_B4: speed / ``SPEED_SCALE_MPS``, yaw rate in rad/s, acceleration in m/s^2, 1.
    """

    command_B3: Tensor
    goal_B3: Tensor
    ego_B4: Tensor


class PlanOutputs(NamedTuple):
    """T steps of the ego.

    Attributes:
        position_BT2: in base_link at the stamp, metres.
        heading_BT2: sine and cosine of the yaw, of any length.
    """

    position_BT2: Tensor
    heading_BT2: Tensor


class PlanningHead(nn.Module):
    """An MLP on the whole coarse scene, cell by cell in its place, and the conditions."""

    def __init__(self, config: StudentConfig) -> None:
        super().__init__()
        hidden, self._steps = config.plan_channels, config.plan_steps
        rows, columns = config.head_grid.shape
        for _ in config.bev_widths[1:]:  # a convolution of stride 2 rounds up
            rows, columns = (rows + 1) // 2, (columns + 1) // 2
        self.reduce = nn.Sequential(nn.Conv2d(config.bev_widths[-1], config.scene_channels, 1), nn.ReLU(inplace=True))
        self.scene = nn.Linear(config.scene_channels * rows * columns, hidden)
        self.conditions = nn.Linear(len(Command) + 3 + 4, hidden)
        self.mlp = nn.Sequential(
            nn.ReLU(inplace=True),
            nn.Linear(2 * hidden, hidden),
            nn.ReLU(inplace=True),
            nn.Linear(hidden, hidden),
            nn.ReLU(inplace=True),
        )
        self.predict = nn.Linear(hidden, self._steps * 4)
        nn.init.normal_(self.predict.weight, std=0.01)
        nn.init.zeros_(self.predict.bias)

    def forward(self, features: BevFeatures, conditions: PlanConditions) -> PlanOutputs:
        """The plan; an untrained one stays about where the ego is and points ahead."""
        scene_BC = self.scene(self.reduce(features.coarse_BCXY).flatten(1))
        told_BC = self.conditions(torch.cat(conditions, dim=1))
        hidden_BC = self.mlp(torch.cat([scene_BC, told_BC], dim=1))
        step_BT4 = self.predict(hidden_BC).unflatten(1, (self._steps, 4))
        sine_BT, cosine_BT = step_BT4[..., 2], 1.0 + step_BT4[..., 3]
        return PlanOutputs(
            position_BT2=STEP_SCALE_M * step_BT4[..., :2].float().cumsum(dim=1),
            heading_BT2=torch.stack([sine_BT, cosine_BT], dim=-1),
        )
