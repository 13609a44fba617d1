"""The splat's indices computed where the batch is: what ``tinybev.model.lift_geometry`` does for one calibration, for
training, where every sample of every step has another one and a GPU should not wait for NumPy."""

from __future__ import annotations

import torch
from torch import Tensor

from tinybev.model.config import StudentConfig
from tinybev.model.lift_geometry import SplatIndices, depth_centers


def splat_indices_on_device(config: StudentConfig, intrinsics_BN33: Tensor, base_T_camera_BN44: Tensor) -> SplatIndices:
    """The indices of a batch, on its device; arguments and result as ``lift_geometry.splat_indices``."""
    cell_BNDHW = _cells(config, intrinsics_BN33.double(), base_T_camera_BN44.double())
    batch, cameras, depths = cell_BNDHW.shape[:3]
    pixels = cell_BNDHW.shape[3] * cell_BNDHW.shape[4]
    rows, columns = config.grid.shape
    frame_B1111 = torch.arange(batch, device=cell_BNDHW.device).view(-1, 1, 1, 1, 1)
    cell_A = torch.where(cell_BNDHW >= 0, cell_BNDHW + frame_B1111 * (rows * columns), -1).flatten()
    kept_P = torch.nonzero(cell_A >= 0).squeeze(1)
    cell_P, order_P = torch.sort(cell_A[kept_P].int(), stable=True)
    depth_P = kept_P[order_P]
    camera_P = torch.div(depth_P, depths * pixels, rounding_mode="floor")
    pixel_P = camera_P * pixels + depth_P % pixels
    count_G = torch.bincount(cell_P, minlength=batch * rows * columns)
    return SplatIndices(
        depth_P=torch.cat([depth_P, depth_P.new_tensor([batch * cameras * depths * pixels])]),
        pixel_P=torch.cat([pixel_P, pixel_P.new_zeros(1)]),
        start_G=count_G.cumsum(0) - count_G,
    )


def _cells(config: StudentConfig, intrinsics_BN33: Tensor, base_T_camera_BN44: Tensor) -> Tensor:
    """(B, N, D, h, w) flat cell of its frame's grid, -1 outside of it."""
    device = intrinsics_BN33.device
    height, width = config.feature_size
    stride = config.feature_stride
    # A cell of the features covers `stride` pixels; pixel 0's centre is at 0, so the first cell's is (stride - 1) / 2.
    u = torch.arange(width, device=device, dtype=torch.float64) * stride + (stride - 1) / 2
    v = torch.arange(height, device=device, dtype=torch.float64) * stride + (stride - 1) / 2
    v_HW, u_HW = torch.meshgrid(v, u, indexing="ij")
    pixels_HW3 = torch.stack([u_HW, v_HW, torch.ones_like(u_HW)], dim=-1)
    depth_D11 = torch.from_numpy(depth_centers(config)).to(device)[:, None, None]
    present_BN11 = torch.isfinite(intrinsics_BN33).all(dim=-1).all(dim=-1)[..., None, None]
    inverse_BN33 = torch.linalg.inv(torch.where(present_BN11, intrinsics_BN33, torch.eye(3).to(intrinsics_BN33)))
    rays_BNHW3 = torch.einsum("bnij,hwj->bnhwi", inverse_BN33, pixels_HW3)
    rays_BNHW3 = torch.einsum("bnij,bnhwj->bnhwi", base_T_camera_BN44[..., :3, :3], rays_BNHW3)
    origin_BN3 = base_T_camera_BN44[..., :3, 3]
    inside_BNDHW = present_BN11[..., None]
    cell: Tensor | None = None
    rows, columns = config.grid.shape
    for axis, (bound, size) in enumerate(
        zip((config.x_bound, config.y_bound, config.z_bound), (rows, columns, 1), strict=True)
    ):
        offset_BN111 = ((origin_BN3[..., axis] - bound[0]) / bound[2])[..., None, None, None]
        slope_BN1HW = rays_BNHW3[..., axis][:, :, None] / bound[2]
        index_BNDHW = torch.floor(slope_BN1HW * depth_D11 + offset_BN111).int()
        inside_BNDHW = inside_BNDHW & (index_BNDHW >= 0) & (index_BNDHW < size)
        cell = index_BNDHW if cell is None else cell * size + index_BNDHW
    assert cell is not None
    return torch.where(inside_BNDHW, cell, -1)
