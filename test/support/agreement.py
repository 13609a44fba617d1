"""How far two runs of the same student on the same frame are apart, for each head in its own unit."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from tinybev.model.bev_encoder import sample_cells
from tinybev.model.config import StudentConfig
from tinybev.model.heads.peaks import Peaks
from tinybev.model.student import StudentOutputs


class Agreement(NamedTuple):
    """The largest differences; boxes and futures are compared at the objects of the reference.

    Attributes:
        score: of the heatmap's probability, over all cells.
        center_m: of a box's centre along x, y or z, metres.
        size_m: of a box's length, width or height, metres.
        heading_rad: of a box's yaw, radians, where the reference's sine and cosine are 0.2 long or longer.
        velocity_mps: along either axis, m/s.
        map_probability: over all cells and classes.
        occupancy_probability: over all cells and steps.
        flow_m: of the flow along either axis, metres, where the reference is occupied with a probability of 0.1.
        plan_m: of the ego's position, along either axis, metres.
        motion_m: of an agent's mean position in any mode and step, along either axis, metres, for the agents that both
            found.
        common_agents: how many of the reference's agents the other one found too, 0 to 1.
    """

    score: float
    center_m: float
    size_m: float
    heading_rad: float
    velocity_mps: float
    map_probability: float
    occupancy_probability: float
    flow_m: float
    plan_m: float
    motion_m: float
    common_agents: float


def agreement(reference: StudentOutputs, outputs: StudentOutputs, config: StudentConfig) -> Agreement:
    """Compares a batch of one.

    Args:
        reference: by torch in float32.
        outputs: by another backend, of the same inputs.
        config: the student's.
    """
    cells = reference.agents.cell_BA
    cell_m = torch.tensor([config.head_grid.x_bound[2], config.head_grid.y_bound[2]])
    want, got = reference.detection, outputs.detection

    def apart(first: Tensor, second: Tensor) -> float:
        return float((first - second).abs().amax())

    def at_agents(first_BCXY: Tensor, second_BCXY: Tensor) -> tuple[Tensor, Tensor]:
        return sample_cells(first_BCXY, cells), sample_cells(second_BCXY, cells)

    offsets, others = at_agents(want.offset_B2XY, got.offset_B2XY)
    occupied_BT1XY = reference.occupancy.logits_BTXY.sigmoid().unsqueeze(2) >= 0.1
    flow_apart = (reference.occupancy.flow_BT2XY - outputs.occupancy.flow_BT2XY).abs() * occupied_BT1XY
    mine, theirs = _common(reference.agents, outputs.agents)
    moved = (reference.motion.offset_BAKT2[0, mine] - outputs.motion.offset_BAKT2[0, theirs]).abs()
    return Agreement(
        score=apart(want.heatmap_BKXY.sigmoid(), got.heatmap_BKXY.sigmoid()),
        center_m=max(apart(offsets * cell_m, others * cell_m), apart(*at_agents(want.height_B1XY, got.height_B1XY))),
        size_m=apart(*at_agents(want.log_size_B3XY.exp(), got.log_size_B3XY.exp())),
        heading_rad=_angle_apart(*at_agents(want.heading_B2XY, got.heading_B2XY)),
        velocity_mps=apart(*at_agents(want.velocity_B2XY, got.velocity_B2XY)),
        map_probability=apart(reference.map_BKXY.sigmoid(), outputs.map_BKXY.sigmoid()),
        occupancy_probability=apart(reference.occupancy.logits_BTXY.sigmoid(), outputs.occupancy.logits_BTXY.sigmoid()),
        flow_m=float(flow_apart.amax()),
        plan_m=apart(reference.plan.position_BT2, outputs.plan.position_BT2),
        motion_m=float(moved.amax()) if len(mine) else 0.0,
        common_agents=len(mine) / cells.shape[1],
    )


def _common(first: Peaks, second: Peaks) -> tuple[Tensor, Tensor]:
    """Rows of the agents that are of the same class in the same cell; those without a score count like the others."""
    same = (first.cell_BA[0, :, None] == second.cell_BA[0]) & (first.class_BA[0, :, None] == second.class_BA[0])
    mine, theirs = same.nonzero(as_tuple=True)
    return mine, theirs


def _angle_apart(first_BA2: Tensor, second_BA2: Tensor) -> float:
    """The largest angle between sines and cosines, where the first ones' length is not next to nothing."""
    steady = first_BA2.norm(dim=-1) >= 0.2
    cross = first_BA2[..., 0] * second_BA2[..., 1] - first_BA2[..., 1] * second_BA2[..., 0]
    angle_BA = torch.atan2(cross, (first_BA2 * second_BA2).sum(dim=-1)).abs()
    return float(torch.where(steady, angle_BA, torch.zeros_like(angle_BA)).amax())
