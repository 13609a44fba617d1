"""Channels on one grid, brought onto another whose frame lies elsewhere on the ground plane."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from tinybev.geometry import BevGrid


def resample_moved(
    values_BCXY: Tensor, source: BevGrid, target_T_source_B44: Tensor, target: BevGrid
) -> tuple[Tensor, Tensor]:
    """Channels on ``source``, at the centres of the cells of ``target``.

    Args:
        values_BCXY: rows along the source frame's x, columns along its y, both ascending.
        source: in the frame of the values.
        target_T_source_B44: between the two frames; the ground plane's part of it counts, mirroring included.
        target: in the other frame.

    Returns:
        (B, C, X, Y) bilinear between the centres of the source's cells, and (B, X, Y) whether the cell's centre is on
        the source; where it is not the values are 0.
    """
    flat_B33 = torch.linalg.inv(planar_part(target_T_source_B44.double()))
    x_X, y_Y = (torch.as_tensor(axis, device=flat_B33.device) for axis in target.cell_centers())
    cells_3XY = torch.stack([*torch.meshgrid(x_X, y_Y, indexing="ij"), torch.ones(target.shape).to(x_X)])
    places_BXY2 = torch.einsum("bij,jxy->bxyi", flat_B33, cells_3XY)[..., :2]
    # grid_sample wants (column, row) with -1 and 1 at the outer edges of the first and the last cell.
    (x_low, x_high, _), (y_low, y_high, _) = source.x_bound, source.y_bound
    middle_2 = places_BXY2.new_tensor([(x_low + x_high) / 2, (y_low + y_high) / 2])
    half_2 = places_BXY2.new_tensor([(x_high - x_low) / 2, (y_high - y_low) / 2])
    where_BXY2 = ((places_BXY2 - middle_2) / half_2).flip(-1).to(values_BCXY)
    # Inside the outermost half cell the border's own value holds; what lies beyond is taken out by the mask.
    moved_BCXY = functional.grid_sample(values_BCXY, where_BXY2, padding_mode="border", align_corners=False)
    reach_BXY = (where_BXY2.abs() <= 1).all(dim=-1)
    return torch.where(reach_BXY[:, None], moved_BCXY, 0.0), reach_BXY


def planar_part(a_T_b_B44: Tensor) -> Tensor:
    """The part (B, 3, 3) of transforms that moves points (x, y, 1) of the ground plane."""
    flat_B33 = torch.eye(3).to(a_T_b_B44).repeat(len(a_T_b_B44), 1, 1)
    flat_B33[:, :2, :2], flat_B33[:, :2, 2] = a_T_b_B44[:, :2, :2], a_T_b_B44[:, :2, 3]
    return flat_B33


def move_points(a_T_b_B44: Tensor, points_BP3: Tensor) -> Tensor:
    """Points (B, ..., 3) of frame b, in frame a, in the points' type.

    Computed in float64, which autocast leaves alone: in bfloat16 a point 40 m away is off by up to 0.125 m.
    """
    flat_BP3 = points_BP3.flatten(1, -2).double()
    moved_BP3 = flat_BP3 @ a_T_b_B44[:, :3, :3].transpose(1, 2).double() + a_T_b_B44[:, None, :3, 3]
    return moved_BP3.to(points_BP3).view_as(points_BP3)


def turn_vectors(a_T_b_B44: Tensor, vectors_BP2: Tensor) -> Tensor:
    """Vectors (B, P, 2) of the ground plane along the axes of b, along those of a; computed as ``move_points``."""
    return (vectors_BP2.double() @ a_T_b_B44[:, :2, :2].transpose(1, 2).double()).to(vectors_BP2)
