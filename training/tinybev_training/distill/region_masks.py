"""Where things are that matter: one soft mask a region kind, from annotations or, without them, from the teacher."""

from __future__ import annotations

from enum import IntEnum

import torch
from torch import Tensor
from torch.nn import functional

from tinybev.geometry import BevGrid
from tinybev.model.config import StudentConfig
from tinybev.model.student import StudentOutputs
from tinybev_training.data.map_masks import LINE_CLASSES
from tinybev_training.distill.taught import Taught, TaughtGrid
from tinybev_training.losses.targets import StudentTargets

_LINE_NEIGHBOURHOOD = 3
"""Cells along each side by which a line is widened."""


class Region(IntEnum):
    """The region kinds R; a cell may be in several."""

    AGENTS = 0
    MAP = 1
    OCCUPANCY = 2
    PLAN = 3
    DISAGREEMENT = 4


def region_masks(
    targets: StudentTargets, taught: Taught, disagreement_BXY: Tensor, config: StudentConfig, corridor_m: float
) -> Tensor:
    """(B, R, X, Y), 0 to 1, on ``config.grid``.

    Args:
        targets: the annotations; those of samples that are not labelled are not looked at, there the teacher's outputs
            stand in for them.
        taught: what the teacher says; a region of which it says nothing is empty.
        disagreement_BXY: of student and teacher, 0 to 1, itself the last region.
        config: the student's.
        corridor_m: half the width of the corridor about the plan, metres.
    """
    labelled_B11 = targets.labelled_B[:, None, None]
    annotated = _annotated(targets, config, corridor_m)
    from_teacher = _from_teacher(taught, disagreement_BXY, config, corridor_m)
    masks = [torch.where(labelled_B11, *pair) for pair in zip(annotated, from_teacher, strict=True)]
    return torch.stack([*masks, disagreement_BXY], dim=1)


def disagreements(outputs: StudentOutputs, taught: Taught, config: StudentConfig) -> Tensor:
    """(B, R, X, Y) on ``config.grid``, 0 to 1: by how much the two's probabilities differ, without gradients.

    In a cell that is the largest difference over the channels of the head which the region kind is about: the
    heatmap for agents, the map, the occupancy; over all three for the plan's corridor and for the last kind, and where
    the teacher lacks the head. It is 0 where the teacher says nothing of these three.
    """
    pairs = (
        (outputs.detection.heatmap_BKXY, taught.heatmap),
        (outputs.map_BKXY, taught.map),
        (outputs.occupancy.logits_BTXY, taught.occupancy),
    )
    of_heads = [None if grid is None else _fine(_largest_difference(logits, grid), config) for logits, grid in pairs]
    of_any_BXY = outputs.bev_BCXY.new_zeros(len(outputs.bev_BCXY), *config.grid.shape, dtype=torch.float32)
    for of_head_BXY in of_heads:
        if of_head_BXY is not None:
            of_any_BXY = torch.maximum(of_any_BXY, of_head_BXY)
    agents, lines, occupancy = (of_any_BXY if of_head is None else of_head for of_head in of_heads)
    return torch.stack([agents, lines, occupancy, of_any_BXY, of_any_BXY], dim=1)


def corridor(position_BT2: Tensor, known_BT: Tensor, grid: BevGrid, half_width_m: float) -> Tensor:
    """(B, X, Y): 1 within ``half_width_m`` of the polyline from the ego's place now through its later ones, else 0.

    A stretch is left out where one of its two ends is not known.
    """
    x, y = (torch.from_numpy(axis).to(position_BT2) for axis in grid.cell_centers())
    cell_XY2 = torch.stack(torch.meshgrid(x, y, indexing="ij"), dim=-1)
    end_BT2 = position_BT2
    start_BT2 = functional.pad(position_BT2, (0, 0, 1, 0))[:, :-1]
    known_BT = known_BT & functional.pad(known_BT, (1, 0), value=True)[:, :-1]
    stretch_BT112 = (end_BT2 - start_BT2)[:, :, None, None]
    to_cell_BTXY2 = cell_XY2 - start_BT2[:, :, None, None]
    length_BT11 = stretch_BT112.square().sum(dim=-1).clamp(min=1e-6)
    along_BTXY = ((to_cell_BTXY2 * stretch_BT112).sum(dim=-1) / length_BT11).clamp(0, 1)
    distance_BTXY = (to_cell_BTXY2 - along_BTXY[..., None] * stretch_BT112).norm(dim=-1)
    return ((distance_BTXY <= half_width_m) & known_BT[:, :, None, None]).any(dim=1).float()


def _largest_difference(logits_BCXY: Tensor, taught: TaughtGrid) -> Tensor:
    """(B, X, Y): of the probabilities, over the channels that both have."""
    channels = min(logits_BCXY.shape[1], taught.logits_BCXY.shape[1])
    mine, theirs = logits_BCXY[:, :channels].detach().float().sigmoid(), taught.logits_BCXY[:, :channels].sigmoid()
    return ((mine - theirs).abs() * taught.known_BCXY[:, :channels]).amax(dim=1)


def _annotated(targets: StudentTargets, config: StudentConfig, corridor_m: float) -> tuple[Tensor, ...]:
    """Agents, map, future occupancy and plan as annotated."""
    lines_BCXY = (targets.map_BCXY & targets.map_mask_BC[:, :, None, None])[:, LINE_CLASSES]
    later_BTXY = (targets.occupied_BTXY & targets.occupancy_mask_BT[:, :, None, None])[:, 1:]
    return (
        _fine(targets.heatmap_BKXY.amax(dim=1), config),
        _widened(lines_BCXY.any(dim=1).float()),
        later_BTXY.any(dim=1).float(),
        corridor(targets.plan_BT2, targets.plan_mask_BT, config.grid, corridor_m),
    )


def _from_teacher(taught: Taught, like_BXY: Tensor, config: StudentConfig, corridor_m: float) -> tuple[Tensor, ...]:
    """The same four as the teacher sees them, 0 where it does not say."""
    nothing_BXY = torch.zeros_like(like_BXY)
    agents, lines, later, plan = nothing_BXY, nothing_BXY, nothing_BXY, nothing_BXY
    if taught.heatmap is not None:
        agents = _fine(taught.heatmap.probability_BCXY.amax(dim=1), config)
    if taught.map is not None:
        lines = _widened(taught.map.probability_BCXY[:, LINE_CLASSES].amax(dim=1))
    if taught.occupancy is not None and taught.occupancy.logits_BCXY.shape[1] > 1:
        later = taught.occupancy.probability_BCXY[:, 1:].amax(dim=1)
    if taught.plan is not None:
        known_BT = taught.plan.mask_B[:, None].expand(taught.plan.position_BT2.shape[:2])
        plan = corridor(taught.plan.position_BT2, known_BT, config.grid, corridor_m)
    return agents, lines, later, plan


def _fine(values_BXY: Tensor, config: StudentConfig) -> Tensor:
    """Cells of the heads' grid, or of the fine one, on the fine one."""
    stride = config.grid.shape[0] // values_BXY.shape[1]
    return values_BXY.repeat_interleave(stride, dim=1).repeat_interleave(stride, dim=2)


def _widened(values_BXY: Tensor) -> Tensor:
    return functional.max_pool2d(values_BXY[:, None], _LINE_NEIGHBOURHOOD, 1, _LINE_NEIGHBOURHOOD // 2)[:, 0]
