"""Direct supervision of the depth distributions by lidar points seen in the cameras."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from tinybev.model.config import StudentConfig
from tinybev_training.data.batch import Batch
from tinybev_training.losses.reduction import masked_mean

NO_DEPTH = -1


def depth_targets(batch: Batch, config: StudentConfig) -> Tensor:
    """The depth bin of the nearest lidar point in each cell of the image features.

    Points nearer than the first bin or farther than the last are left out before the nearest is taken: the nearest
    ones are of the ego itself, which the lidar sees and the camera does not.

    Returns:
        (B, N, h, w) int64, ``NO_DEPTH`` where a cell has no point, the camera is missing or there is no lidar.
    """
    with torch.autocast(batch.lidar_P5.device.type, enabled=False):  # a projection in half precision is cells off
        return _nearest_bins(batch, config)


def depth_loss(depth_logits_BNDHW: Tensor, bin_BNHW: Tensor) -> Tensor:
    """The mean cross entropy of the bins over the cells that have one; nats."""
    logits_FD = depth_logits_BNDHW.float().movedim(2, -1).flatten(0, 3)
    bin_F = bin_BNHW.flatten()
    entropy_F = functional.cross_entropy(logits_FD, bin_F.clamp(min=0), reduction="none")
    return masked_mean(entropy_F, bin_F != NO_DEPTH)


def _nearest_bins(batch: Batch, config: StudentConfig) -> Tensor:
    (height, width), stride = config.feature_size, config.feature_stride
    nearest_m, _, bin_m = config.d_bound
    samples, cameras = batch.camera_mask_BN.shape
    shape = (cameras, height, width)
    depth_BF = batch.lidar_P5.new_full((samples, cameras * height * width), float("inf"))
    # Takes (x, y, z, 1) of base_link to (u d, v d, d) of pixel u, v and depth d: an image's matrix ends in (0, 0, 1).
    pixel_T_base_BN34 = torch.nan_to_num(batch.intrinsics_BN33) @ torch.linalg.inv(batch.base_T_camera_BN44)[:, :, :3]
    first_F = torch.arange(cameras, device=depth_BF.device)[:, None] * (height * width)
    for sample in range(samples):
        points_P3 = batch.lidar_P5[batch.lidar_sample_P == sample, :3]
        pixel_T_base_N34 = pixel_T_base_BN34[sample]
        u_NP, v_NP, depth_NP = (pixel_T_base_N34[..., :3] @ points_P3.T + pixel_T_base_N34[..., 3:]).unbind(1)
        seen_NP = (depth_NP >= nearest_m) & (depth_NP < nearest_m + config.depth_bins * bin_m)
        seen_NP &= batch.camera_mask_BN[sample, :, None]
        per_pixel_NP = 1 / torch.where(seen_NP, depth_NP, 1.0)
        # Pixel 0's centre is at 0, so the first cell of the features begins at -0.5.
        column_NP = torch.floor((u_NP * per_pixel_NP + 0.5) / stride)
        row_NP = torch.floor((v_NP * per_pixel_NP + 0.5) / stride)
        seen_NP &= (row_NP >= 0) & (row_NP < height) & (column_NP >= 0) & (column_NP < width)
        cell_NP = first_F + torch.where(seen_NP, row_NP * width + column_NP, 0.0).long()
        depth_NP = torch.where(seen_NP, depth_NP, float("inf"))
        depth_BF[sample].scatter_reduce_(0, cell_NP.flatten(), depth_NP.flatten(), "amin")
    bin_BF = torch.where(depth_BF.isfinite(), (depth_BF - nearest_m) / bin_m, NO_DEPTH)
    return bin_BF.floor().long().clamp(max=config.depth_bins - 1).unflatten(1, shape)
