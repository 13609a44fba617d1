"""Teachers' outputs made by hand: of every kind, random, or exactly what a student says."""

from __future__ import annotations

import torch
from made_batch import HALF_GRID, SMALL
from tinybev_training.teacher.outputs import GridOutput, TeacherAgents, TeacherOutputs, TeacherPlan
from torch import Tensor

from tinybev.geometry import BevGrid
from tinybev.model.bev_encoder import sample_cells
from tinybev.model.student import StudentOutputs

TEACHER_CHANNELS = 6


def made_teacher(samples: int, seed: int = 0, grid: BevGrid = HALF_GRID, agents: int = 3) -> TeacherOutputs:
    """Random outputs of every kind; tensors that ask for gradients, of which no loss may give any."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        return torch.randn(samples, *shape, generator=generator).requires_grad_()

    def on_grid(channels: int) -> GridOutput:
        return GridOutput(draw(channels, *grid.shape), torch.ones(samples, channels, dtype=torch.bool), grid)

    spread = torch.tensor([6.0, 5.0, 0.3])
    return TeacherOutputs(
        bev=on_grid(TEACHER_CHANNELS),
        heatmap=on_grid(10),
        agents=TeacherAgents(
            mask_BA=torch.ones(samples, agents, dtype=torch.bool),
            probability_BAK=torch.rand(samples, agents, 10, generator=generator).requires_grad_(),
            centers_BA3=(torch.randn(samples, agents, 3, generator=generator).clamp(-2, 2) * spread).requires_grad_(),
            sizes_BA3=(torch.rand(samples, agents, 3, generator=generator) * 3 + 0.5).requires_grad_(),
            yaws_BA=draw(agents),
            velocities_BA2=draw(agents, 2),
            futures_BAMT2=draw(agents, SMALL.motion_modes, SMALL.motion_steps, 2),
            mode_logits_BAM=draw(agents, SMALL.motion_modes),
        ),
        map=on_grid(4),
        occupancy=on_grid(SMALL.occupancy_steps),
        plan=TeacherPlan(draw(SMALL.plan_steps, 2), torch.ones(samples, dtype=torch.bool)),
    )


def tensors_of(teacher: TeacherOutputs) -> list[Tensor]:
    """Everything in it that could take a gradient."""
    parts = [part for part in vars(teacher).values() if part is not None]
    tensors = [value for part in parts for value in vars(part).values() if isinstance(value, Tensor)]
    return [tensor for tensor in tensors if tensor.requires_grad]


def agreeing_teacher(outputs: StudentOutputs, centers_BA3: Tensor, bev_BCXY: Tensor) -> TeacherOutputs:
    """A teacher that says what the student says, of agents at the given centres, for which ``outputs`` has futures."""
    samples, agents = centers_BA3.shape[:2]
    heads = SMALL.head_grid
    cell_BA = outputs.agents.cell_BA[:, -agents:]

    def at_centers(dense_BCXY: Tensor) -> Tensor:
        return sample_cells(dense_BCXY, cell_BA).detach()

    def on_grid(values_BCXY: Tensor, grid: BevGrid) -> GridOutput:
        mask_BC = torch.ones(values_BCXY.shape[:2], dtype=torch.bool)
        return GridOutput(values_BCXY.detach(), mask_BC, grid)

    corner_BA2 = torch.stack([cell_BA // heads.shape[1], cell_BA % heads.shape[1]], dim=-1)
    origin = torch.tensor([heads.x_bound[0], heads.y_bound[0]])
    xy_BA2 = origin + heads.x_bound[2] * (corner_BA2 + at_centers(outputs.detection.offset_B2XY))
    center_BA3 = torch.cat([xy_BA2, at_centers(outputs.detection.height_B1XY)], dim=2)
    heading_BA2 = at_centers(outputs.detection.heading_B2XY)
    offset_BAMT2 = outputs.motion.offset_BAKT2[:, -agents:].detach()
    return TeacherOutputs(
        bev=on_grid(bev_BCXY, heads),
        heatmap=on_grid(outputs.detection.heatmap_BKXY, heads),
        agents=TeacherAgents(
            mask_BA=torch.ones(samples, agents, dtype=torch.bool),
            probability_BAK=torch.full((samples, agents, 10), 0.5),
            centers_BA3=center_BA3,
            sizes_BA3=at_centers(outputs.detection.log_size_B3XY).exp(),
            yaws_BA=torch.atan2(heading_BA2[..., 0], heading_BA2[..., 1]),
            velocities_BA2=at_centers(outputs.detection.velocity_B2XY),
            futures_BAMT2=center_BA3[:, :, None, None, :2] + offset_BAMT2,
            mode_logits_BAM=outputs.motion.logits_BAK[:, -agents:].detach(),
        ),
        map=on_grid(outputs.map_BKXY, SMALL.grid),
        occupancy=on_grid(outputs.occupancy.logits_BTXY, SMALL.grid),
        plan=TeacherPlan(outputs.plan.position_BT2.detach(), torch.ones(samples, dtype=torch.bool)),
    )
