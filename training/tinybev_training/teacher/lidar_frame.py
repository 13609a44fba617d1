"""From UniAD's axes to base_link: grids, points and directions.

UniAD works in the axes of nuScenes' lidar: x to the right, y ahead. Its grids are stored with rows along y, the first
at the rear, and columns along x, the first at the left; that was read in its source, and so were the two frames below.

Sources (OpenDriveLab/UniAD): ``modules/encoder.py`` for the layout of the features, ``occ_head_plugin/modules.py`` for
the grid of the occupancy, ``nuscenes_e2e_dataset.py`` and ``data_utils/`` for the frames of the map classes.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from tinybev.geometry import BevGrid
from tinybev_training.data.batch import Batch

RIGHT_FORWARD_T_BASE = torch.tensor(
    [[0.0, -1.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0], [0.0, 0.0, 0.0, 1.0]], dtype=torch.float64
)
"""From base_link (x ahead, y left) to axes with x to the right and y ahead, about the same origin."""


def base_T_lidar(batch: Batch) -> Tensor:
    """(B, 4, 4) from the lidar when its sweep ended to the batch's base_link: the frame of features, boxes, futures,
    plan, occupancy and drivable area."""
    return batch.base_T_sweep_B44 @ batch.sweep_T_lidar_B44


def base_T_ego_map(batch: Batch) -> Tensor:
    """(B, 4, 4) from the frame of UniAD's line classes to the batch's base_link.

    Their labels are drawn around the ego's pose at the lidar's stamp, not around the lidar, and then turned into axes
    with x to the right; only the drivable area is drawn around the lidar. A network that learnt them says them there.
    """
    return batch.base_T_sweep_B44 @ RIGHT_FORWARD_T_BASE.T.to(batch.base_T_sweep_B44)


def resample(
    values_BCYX: Tensor, base_T_frame_B44: Tensor, half_extent_m: float, grid: BevGrid
) -> tuple[Tensor, Tensor]:
    """Channels on one of UniAD's grids, at the centres of the cells of ``grid``.

    Args:
        values_BCYX: rows along the frame's y, columns along its x, both ascending.
        base_T_frame_B44: from the frame of the values to base_link; the ground plane's part of it counts.
        half_extent_m: the values cover plus and minus this much along both axes.
        grid: in base_link.

    Returns:
        (B, C, X, Y) bilinear between the centres of UniAD's cells, and (B, X, Y) whether the cell's centre is on
        UniAD's grid; where it is not the values are 0.
    """
    flat_B33 = torch.linalg.inv(planar_part(base_T_frame_B44.double()))
    x_X, y_Y = (torch.as_tensor(axis, device=flat_B33.device) for axis in grid.cell_centers())
    cells_3XY = torch.stack([*torch.meshgrid(x_X, y_Y, indexing="ij"), torch.ones(grid.shape).to(x_X)])
    # grid_sample wants (column, row) with -1 and 1 at the outer edges of the first and the last cell.
    where_BXY2 = (torch.einsum("bij,jxy->bxyi", flat_B33, cells_3XY)[..., :2] / half_extent_m).to(values_BCYX)
    # Inside the outermost half cell the border's own value holds; what lies beyond is taken out by the mask.
    moved_BCXY = functional.grid_sample(values_BCYX, where_BXY2, padding_mode="border", align_corners=False)
    reach_BXY = (where_BXY2.abs() <= 1).all(dim=-1)
    return torch.where(reach_BXY[:, None], moved_BCXY, 0.0), reach_BXY


def planar_part(a_T_b_B44: Tensor) -> Tensor:
    """The part (B, 3, 3) of transforms that moves points (x, y, 1) of the ground plane."""
    flat_B33 = torch.eye(3).to(a_T_b_B44).repeat(len(a_T_b_B44), 1, 1)
    flat_B33[:, :2, :2], flat_B33[:, :2, 2] = a_T_b_B44[:, :2, :2], a_T_b_B44[:, :2, 3]
    return flat_B33


def move_points(a_T_b_B44: Tensor, points_BP3: Tensor) -> Tensor:
    """Points (B, ..., 3) of frame b, in frame a."""
    flat_BP3 = points_BP3.flatten(1, -2)
    moved_BP3 = flat_BP3 @ a_T_b_B44[:, :3, :3].transpose(1, 2).to(flat_BP3) + a_T_b_B44[:, None, :3, 3].to(flat_BP3)
    return moved_BP3.view_as(points_BP3)


def turn_vectors(a_T_b_B44: Tensor, vectors_BP2: Tensor) -> Tensor:
    """Vectors (B, P, 2) of the ground plane along the axes of b, along those of a."""
    return vectors_BP2 @ a_T_b_B44[:, :2, :2].transpose(1, 2).to(vectors_BP2)
