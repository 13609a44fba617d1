"""From UniAD's axes to base_link.

UniAD works in the axes of nuScenes' lidar: x to the right, y ahead. Its grids are stored with rows along y, the first
at the rear, and columns along x, the first at the left; that was read in its source, and so were the two frames below.

Sources (OpenDriveLab/UniAD): ``modules/encoder.py`` for the layout of the features, ``occ_head_plugin/modules.py`` for
the grid of the occupancy, ``nuscenes_e2e_dataset.py`` and ``data_utils/`` for the frames of the map classes.
"""

from __future__ import annotations

import torch
from torch import Tensor

from tinybev.geometry import BevGrid
from tinybev_training.data.batch import Batch
from tinybev_training.teacher.moved_grid import resample_moved

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
    cells_y, cells_x = values_BCYX.shape[2:]
    source = BevGrid(
        (-half_extent_m, half_extent_m, 2 * half_extent_m / cells_x),
        (-half_extent_m, half_extent_m, 2 * half_extent_m / cells_y),
    )
    return resample_moved(values_BCYX.transpose(2, 3), source, base_T_frame_B44, grid)
