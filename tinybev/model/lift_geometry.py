"""Where on the grid each (camera, pixel, depth) of the image features lands: calibration in, indices out.

This is the whole dependence of the network on geometry. It is plain data, computed outside the network whenever a
calibration or a pose changes, so that neither needs a new export.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from tinybev.geometry import Array, Bound, invert_matrices
from tinybev.model.config import StudentConfig
from tinybev.types import Floats


class SplatIndices(NamedTuple):
    """Which products of depth probability and context are summed into which cell, for a batch of B frames.

    P counts the kept (camera, pixel, depth) triples of the batch, sorted by cell, and one more at the end that stands
    for nothing: its depth index is one past the last depth, where the lift keeps a zero. So no cell's range starts past
    the end of the list, which some runtimes refuse.

    Attributes:
        depth_P: (P,) index into the depth distributions (B, N, D, h, w), flat, with one zero appended.
        pixel_P: (P,) index into the context features (B, N, h, w), flat.
        start_G: (B * X * Y,) where each cell's triples start; they end where the next cell's start.
    """

    depth_P: Tensor
    pixel_P: Tensor
    start_G: Tensor


def splat_indices(config: StudentConfig, intrinsics_BN33: Floats, base_T_camera_BN44: Floats) -> SplatIndices:
    """The indices of a batch of B frames of N cameras.

    Args:
        config: grid, depth bins and image size.
        intrinsics_BN33: of the images as the network gets them; NaN for a camera that is missing, of which nothing is
            lifted.
        base_T_camera_BN44: takes points of the optical frame to base_link at the reference stamp.
    """
    batch, cameras = intrinsics_BN33.shape[:2]
    depths, (height, width) = config.depth_bins, config.feature_size
    rows, columns = config.grid.shape
    pixel_A = _pixels_of_triples(cameras, depths, height * width)
    depth_index, pixel_index, counts = [], [], []
    for frame in range(batch):  # the vehicle's one frame has no offset, and adding 0 would copy the lists
        cell_A = _cells(config, intrinsics_BN33[frame], base_T_camera_BN44[frame]).ravel()
        kept_P = np.flatnonzero(cell_A >= 0)
        cell_P = cell_A[kept_P].astype(np.uint16 if rows * columns <= 2**16 else np.int64)
        # NumPy sorts 16-bit integers in linear time, other ones not.
        kept_P = kept_P[np.argsort(cell_P, kind="stable")]
        depth_index.append(kept_P + frame * len(pixel_A) if frame else kept_P)
        pixel_P = pixel_A[kept_P]
        pixel_index.append(pixel_P + frame * cameras * height * width if frame else pixel_P)
        counts.append(np.bincount(cell_P, minlength=rows * columns))
    count_G = np.concatenate(counts)
    return SplatIndices(
        depth_P=torch.from_numpy(np.concatenate([*depth_index, [batch * len(pixel_A)]])),
        pixel_P=torch.from_numpy(np.concatenate([*pixel_index, [0]])),
        start_G=torch.from_numpy(np.cumsum(count_G) - count_G),
    )


@cache
def _pixels_of_triples(cameras: int, depths: int, pixels: int) -> Array:
    """(N * D * h * w,) the flat pixel, of all cameras, of each flat (camera, depth, pixel); a table is faster than
    dividing."""
    flat_NP = np.arange(cameras * pixels).reshape(cameras, 1, pixels)
    return np.broadcast_to(flat_NP, (cameras, depths, pixels)).reshape(-1)


def pixel_rays(config: StudentConfig, intrinsics_N33: Floats) -> Array:
    """Points (N, 3, h, w) at depth 1 in the optical frames, seen at the centres of the features' cells."""
    height, width = config.feature_size
    stride = config.feature_stride
    # A cell covers `stride` pixels; pixel 0's centre is at 0, so the first cell's is at (stride - 1) / 2.
    u = np.arange(width) * stride + (stride - 1) / 2
    v = np.arange(height) * stride + (stride - 1) / 2
    pixels_3P = np.stack([*np.meshgrid(u, v), np.ones((height, width))]).reshape(3, -1)
    return (_inverse(intrinsics_N33) @ pixels_3P).reshape(-1, 3, height, width)


def depth_centers(config: StudentConfig) -> Array:
    """The depths (D,) of the bins' centres, metres along the optical axis."""
    return config.d_bound[0] + (np.arange(config.depth_bins) + 0.5) * config.d_bound[2]


def _cells(config: StudentConfig, intrinsics_N33: Floats, base_T_camera_N44: Floats) -> np.ndarray:
    """The flat cell (N, D, h, w) of every lifted point, -1 for one outside the grid or of a missing camera."""
    rays_N3HW = pixel_rays(config, intrinsics_N33)
    cameras, _, height, width = rays_N3HW.shape
    rays_N3HW = (base_T_camera_N44[:, :3, :3] @ rays_N3HW.reshape(cameras, 3, -1)).reshape(rays_N3HW.shape)
    cell_NDHW = np.full((cameras, config.depth_bins, height, width), -1, dtype=np.int32)
    for camera in np.flatnonzero(np.isfinite(intrinsics_N33).all(axis=(1, 2))):  # what one needs stays in the cache
        cell_NDHW[camera] = _camera_cells(config, rays_N3HW[camera], base_T_camera_N44[camera, :3, 3])
    return cell_NDHW


def _camera_cells(config: StudentConfig, ray_3HW: Array, position_3: Array) -> Array:
    """The flat cell (D, h, w) of every lifted point of a camera, -1 for one outside the grid."""
    depth_D = depth_centers(config)

    def index_along(axis: int, bound: Bound) -> Array:
        """(D, h, w) cell number along an axis of base_link, not yet limited to the grid."""
        index = np.multiply.outer(depth_D, ray_3HW[axis] / bound[2])
        index += (position_3[axis] - bound[0]) / bound[2]
        return np.floor(index, out=index)

    x, y, z = (index_along(a, b) for a, b in enumerate((config.x_bound, config.y_bound, config.z_bound)))
    rows, columns = config.grid.shape
    inside = (x >= 0) & (x < rows) & (y >= 0) & (y < columns) & (z == 0)
    return np.where(inside, x * columns + y, -1)


def _inverse(intrinsics_N33: Floats) -> Array:
    """The inverses of the intrinsics, NaN for a missing camera."""
    present = np.isfinite(intrinsics_N33).all(axis=(1, 2))
    inverse = np.full(intrinsics_N33.shape, np.nan)
    inverse[present] = invert_matrices(intrinsics_N33[present])
    return inverse
