"""A network in memory as a teacher: one that was trained, or the average of the student's own weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

from tinybev.geometry import BevGrid
from tinybev.model.bev_encoder import sample_cells
from tinybev.model.config import StudentConfig
from tinybev.model.heads.detection import DetectionOutputs
from tinybev.model.heads.peaks import Peaks
from tinybev.model.student import StudentOutputs
from tinybev.runtime.decode.detection import LOG_SIZE_RANGE
from tinybev_training.data.batch import Batch
from tinybev_training.teacher.outputs import GridOutput, TeacherAgents, TeacherOutputs, TeacherPlan
from tinybev_training.train.inputs import Told

LEAST_SCORE = 0.1
"""A peak below is not taught as an object; the heatmap, which is taught whole, holds it all the same. Ours."""


class Network(Protocol):
    """What is wrapped: ``train.network.StudentNetwork``, ``TeacherNetwork``, or the average of either."""

    training: bool

    @property
    def config(self) -> StudentConfig: ...

    def to(self, device: torch.device) -> Network: ...

    def __call__(self, batch: Batch, told: Told, agents: Peaks | None = None) -> StudentOutputs: ...


class LiveTeacher:
    """Runs a network on every batch, in evaluation mode and without gradients.

    The network is looked up at every call, so the average of a student may be replaced or moved meanwhile.
    """

    def __init__(self, network: Callable[[], Network], ego_status: bool = False, needs_lidar: bool = False) -> None:
        """
        Args:
            network: gives the network, which must be in evaluation mode.
            ego_status: whether its planner is told the ego status; command and goal it is told in any case.
            needs_lidar: whether samples without lidar points are masked.
        """
        self._network = network
        self._ego_status = ego_status
        self._needs_lidar = needs_lidar

    @property
    def bev_channels(self) -> int | None:
        """Channels of the shared features."""
        return self._network().config.bev_channels

    @property
    def past_frames(self) -> int:
        """As many as the network remembers."""
        return self._network().config.memory_frames

    @torch.no_grad()
    def __call__(self, batch: Batch) -> TeacherOutputs:
        """What the network says about ``batch``, on the batch's device, to which the network is moved; samples without
        an image, or without lidar where it is needed, are masked.

        Raises:
            UserError: the batch does not fit the network.
            ValueError: the network is in training mode, where what it says of a sample depends on its neighbours.
        """
        network = self._network()
        if network.training:
            raise ValueError("teacher: expected a network in evaluation mode, got one in training mode")
        network.to(batch.images_BNCHW.device)
        outputs = network(batch, Told.everything(batch, self._ego_status))
        return as_teacher(outputs, network.config, batch, self.speaks(batch))

    def speaks(self, batch: Batch) -> Tensor:
        """(B,): the samples of which the network has seen what it needs."""
        speaks_B = batch.camera_mask_BN.any(dim=1)
        if self._needs_lidar:
            speaks_B = speaks_B & (torch.bincount(batch.lidar_sample_P, minlength=len(batch)) > 0)
        return speaks_B


def as_teacher(outputs: StudentOutputs, config: StudentConfig, batch: Batch, speaks_B: Tensor) -> TeacherOutputs:
    """A student's outputs as those of a teacher, detached, float32.

    Args:
        outputs: of the network, its agents the peaks that it found.
        config: of the network.
        batch: that it saw.
        speaks_B: the samples that are not masked.
    """

    def on(grid: BevGrid, values_BCXY: Tensor) -> GridOutput:
        mask_BC = speaks_B[:, None].expand(-1, values_BCXY.shape[1])
        return GridOutput(values_BCXY.detach().float(), mask_BC, grid)

    # Turned or mirrored front to back, the ego does not drive along its x axis, which no planner has learnt.
    forward_B = batch.augmented_T_base_B44[:, 0, 0] > 1 - 1e-9
    return TeacherOutputs(
        bev=on(config.head_grid, outputs.bev_BCXY),
        heatmap=on(config.head_grid, outputs.detection.heatmap_BKXY),
        agents=_agents(outputs, config.head_grid, speaks_B),
        map=on(config.grid, outputs.map_BKXY),
        occupancy=on(config.grid, outputs.occupancy.logits_BTXY),
        plan=TeacherPlan(outputs.plan.position_BT2.detach().float(), speaks_B & forward_B),
    )


def _agents(outputs: StudentOutputs, grid: BevGrid, speaks_B: Tensor) -> TeacherAgents:
    """The peaks as objects: the same decoding as on the vehicle, for a batch."""
    dense = DetectionOutputs(*(part.detach().float() for part in outputs.detection))
    cell_BA = outputs.agents.cell_BA
    row_BA = torch.div(cell_BA, grid.shape[1], rounding_mode="floor")
    corner_BA2 = torch.stack([row_BA, cell_BA - row_BA * grid.shape[1]], dim=-1)
    step_2, low_2 = (torch.tensor(pair).to(dense.offset_B2XY) for pair in _steps_and_lows(grid))
    xy_BA2 = (corner_BA2 + sample_cells(dense.offset_B2XY, cell_BA)) * step_2 + low_2
    heading_BA2 = sample_cells(dense.heading_B2XY, cell_BA)
    offset_BAKT2 = outputs.motion.offset_BAKT2.detach().float()
    return TeacherAgents(
        mask_BA=(outputs.agents.score_BA.detach().float() >= LEAST_SCORE) & speaks_B[:, None],
        probability_BAK=sample_cells(dense.heatmap_BKXY, cell_BA).sigmoid(),
        centers_BA3=torch.cat([xy_BA2, sample_cells(dense.height_B1XY, cell_BA)], dim=-1),
        sizes_BA3=sample_cells(dense.log_size_B3XY, cell_BA).clamp(*LOG_SIZE_RANGE).exp(),
        yaws_BA=torch.atan2(heading_BA2[..., 0], heading_BA2[..., 1]),
        velocities_BA2=sample_cells(dense.velocity_B2XY, cell_BA),
        futures_BAMT2=xy_BA2[:, :, None, None] + offset_BAKT2,
        mode_logits_BAM=outputs.motion.logits_BAK.detach().float(),
        known_B=speaks_B,
    )


def _steps_and_lows(grid: BevGrid) -> tuple[tuple[float, float], tuple[float, float]]:
    return (grid.x_bound[2], grid.y_bound[2]), (grid.x_bound[0], grid.y_bound[0])
