"""Annotations of a batch -> what every head of the student should say, on its grids."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from tinybev.errors import UserError
from tinybev.model.config import StudentConfig
from tinybev.model.heads.peaks import Peaks
from tinybev.types import DETECTION_CLASSES
from tinybev_training.data.batch import AgentBatch, Batch
from tinybev_training.data.sample import MOTION_STEPS, STEP_S
from tinybev_training.losses.boxes import GridPlaces, encode_boxes, grid_places
from tinybev_training.losses.flow import flow_targets
from tinybev_training.losses.heatmap import draw_heatmap


@dataclass(frozen=True)
class AgentFilter:
    """Which annotated agents are learnt from, besides that their centre is on the grid.

    The defaults are those of nuScenes' own evaluation, which does not count an object without lidar points.

    Attributes:
        min_lidar_points: an agent with fewer is left out; one whose points are unknown is kept.
        min_visibility: likewise of nuScenes' visibility level, 1 to 4.
    """

    min_lidar_points: int = 1
    min_visibility: int = 1

    def keeps(self, agents: AgentBatch) -> Tensor:
        """(B, A): whether an agent is learnt from, wherever it is."""
        points, visibility = agents.lidar_points_BA, agents.visibility_BA
        return (
            agents.mask_BA
            & ((points < 0) | (points >= self.min_lidar_points))
            & ((visibility == 0) | (visibility >= self.min_visibility))
        )


EVALUATED_AGENTS = AgentFilter()


@dataclass(frozen=True)
class StudentTargets:
    """What the heads should say of a batch. Masks are False where nothing is known, and for a sample without labels.

    Attributes:
        labelled_B: whether the sample's annotations may be looked at.
        agents: the A annotated agents of the batch as the motion head takes them; score 1 for those that are learnt
            from, 0 for the others, which have class 0 and cell 0.
        counted_BA: the same as a mask.
        heatmap_BKXY: a Gaussian at every counted agent, on the grid of the heads.
        boxes_BAC: as ``encode_boxes``; known_BAC is False for unknown velocities and agents that are not counted.
        attributes_BA: index into ``ATTRIBUTES``, -1 for none.
        futures_BAT2: positions less the agent's now, metres; futures_mask_BAT.
        map_BCXY: masks by ``MapClass``; map_mask_BC.
        occupied_BTXY: whether a vehicle is in the cell; occupancy_mask_BT.
        flow_BT2XY: as ``OccupancyOutputs``; flow_mask_BTXY.
        plan_BT2: positions of the ego; headings_BT2 sine and cosine of its yaw; plan_mask_BT.
    """

    labelled_B: Tensor
    agents: Peaks
    counted_BA: Tensor
    heatmap_BKXY: Tensor
    boxes_BAC: Tensor
    known_BAC: Tensor
    attributes_BA: Tensor
    futures_BAT2: Tensor
    futures_mask_BAT: Tensor
    map_BCXY: Tensor
    map_mask_BC: Tensor
    occupied_BTXY: Tensor
    occupancy_mask_BT: Tensor
    flow_BT2XY: Tensor
    flow_mask_BTXY: Tensor
    plan_BT2: Tensor
    headings_BT2: Tensor
    plan_mask_BT: Tensor


def student_targets(
    batch: Batch,
    config: StudentConfig,
    agent_filter: AgentFilter = EVALUATED_AGENTS,
    labelled_B: Tensor | None = None,
) -> StudentTargets:
    """The targets of a batch, on its device.

    Args:
        batch: its map and occupancy must be drawn on ``config.grid``, see ``TargetGrids``.
        config: the student's.
        agent_filter: which agents count.
        labelled_B: False for samples whose annotations may not be looked at; every mask of theirs is False. All are
            labelled by default.

    Raises:
        UserError: the batch's grids or horizons are not the student's.
    """
    _check_shapes(batch, config)
    agents, grid = batch.agents, config.head_grid
    if labelled_B is None:
        labelled_B = torch.ones(len(batch), dtype=torch.bool, device=agents.mask_BA.device)
    labelled_B1 = labelled_B[:, None]
    places = grid_places(agents.centers_BA3[..., :2], grid)
    counted_BA = agent_filter.keeps(agents) & places.inside_BA & labelled_B1
    counted_BA &= ~_has_twin_before(counted_BA, agents.class_ids_BA, places)
    peaks = Peaks(
        counted_BA.to(agents.centers_BA3),
        agents.class_ids_BA.masked_fill(~counted_BA, 0),
        places.cell_BA.masked_fill(~counted_BA, 0),
    )
    heights_BAK = functional.one_hot(peaks.class_BA, len(DETECTION_CLASSES)) * peaks.score_BA[..., None]
    flow = flow_targets(batch.occupancy_BTXY, agents, config.grid)
    futures_mask_BAT = agents.futures_mask_BAT[..., : config.motion_steps] & counted_BA[..., None]
    offsets_BAT2 = agents.futures_BAT2[:, :, : config.motion_steps] - agents.centers_BA3[:, :, None, :2]
    plan_yaws_BT = batch.plan_yaws_BT[:, : config.plan_steps]
    return StudentTargets(
        labelled_B=labelled_B,
        agents=peaks,
        counted_BA=counted_BA,
        heatmap_BKXY=draw_heatmap(places, agents.sizes_BA3, heights_BAK, grid),
        boxes_BAC=encode_boxes(agents.centers_BA3, agents.sizes_BA3, agents.yaws_BA, agents.velocities_BA2, places),
        known_BAC=_known_channels(counted_BA, agents.velocity_mask_BA),
        attributes_BA=agents.attribute_ids_BA.masked_fill(~counted_BA, -1),
        futures_BAT2=torch.where(futures_mask_BAT[..., None], offsets_BAT2, 0.0),
        futures_mask_BAT=futures_mask_BAT,
        map_BCXY=batch.map_BCXY,
        map_mask_BC=batch.map_mask_BC & labelled_B1,
        occupied_BTXY=batch.occupancy_BTXY > 0,
        occupancy_mask_BT=batch.occupancy_mask_BT & labelled_B1,
        flow_BT2XY=flow.flow_BT2XY,
        flow_mask_BTXY=flow.mask_BTXY & (batch.occupancy_mask_BT & labelled_B1)[:, :, None, None],
        plan_BT2=batch.plan_BT2[:, : config.plan_steps],
        headings_BT2=torch.stack([plan_yaws_BT.sin(), plan_yaws_BT.cos()], dim=-1),
        plan_mask_BT=batch.plan_mask_BT[:, : config.plan_steps] & labelled_B1,
    )


def _has_twin_before(counted_BA: Tensor, class_BA: Tensor, places: GridPlaces) -> Tensor:
    """Whether an earlier agent has the same class and cell: the head can say only one of the two."""
    same_BAA = (class_BA[:, :, None] == class_BA[:, None]) & (places.cell_BA[:, :, None] == places.cell_BA[:, None])
    return (same_BAA & counted_BA[:, None]).tril(diagonal=-1).any(dim=2)


def _known_channels(counted_BA: Tensor, velocity_known_BA: Tensor) -> Tensor:
    known_BA1 = counted_BA[..., None]
    return torch.cat([known_BA1.expand(-1, -1, 8), (known_BA1 & velocity_known_BA[..., None]).expand(-1, -1, 2)], -1)


def _check_shapes(batch: Batch, config: StudentConfig) -> None:
    occupancy = (config.occupancy_steps, *config.grid.shape)
    for name, expected, got in (
        ("map", config.grid.shape, tuple(batch.map_BCXY.shape[2:])),
        ("occupancy", occupancy, tuple(batch.occupancy_BTXY.shape[1:])),
    ):
        if expected != got:
            raise UserError(
                f"{name} targets: expected {expected} cells as {config.name} has, got {got}; "
                "open the dataset with the student's grid."
            )
    available = (MOTION_STEPS, batch.plan_BT2.shape[1], STEP_S)
    wanted = (config.motion_steps, config.plan_steps, config.time_step_s)
    if wanted[0] > available[0] or wanted[1] > available[1] or wanted[2] != available[2]:
        raise UserError(
            f"horizons: expected at most {available[0]} motion and {available[1]} plan steps of {STEP_S} s, "
            f"got {wanted} for {config.name}; choose another student."
        )
