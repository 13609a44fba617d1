"""Lift-Splat-Shoot: image features are spread along their pixels' rays and summed into the cells of the BEV grid."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from tinybev.model.config import StudentConfig
from tinybev.model.layers import conv_bn_relu, init_convolutions
from tinybev.model.lift_geometry import SplatIndices
from tinybev.model.weighted_bags import weighted_bags

INTRINSICS = 4
"""fx / width, fy / height, (cx + 0.5) / width, (cy + 0.5) / height of the image as the network gets it."""


class Lifted(NamedTuple):
    """What each pixel of the image features says: how far its content is, and what it is.

    Attributes:
        depth_logits_BNDHW: before the softmax over the depth bins D.
        context_BNHWC: channels last, because the splat reads one pixel's channels at a time.
    """

    depth_logits_BNDHW: Tensor
    context_BNHWC: Tensor


class Lift(nn.Module):
    """Predicts depth distribution and context of every pixel.

    The size of an object in pixels tells its distance only together with the focal length, so the features are gated by
    the camera's intrinsics, which are an input as the images are.
    """

    def __init__(self, config: StudentConfig) -> None:
        super().__init__()
        channels = config.neck_channels
        self._splits = (config.depth_bins, config.context_channels)
        self.conv = conv_bn_relu(channels, channels)
        self.gate = nn.Sequential(
            nn.Linear(INTRINSICS, channels), nn.ReLU(inplace=True), nn.Linear(channels, channels), nn.Sigmoid()
        )
        self.predict = nn.Conv2d(channels, sum(self._splits), 1)
        init_convolutions(self)

    def forward(self, feat_BNCHW: Tensor, intrinsics_BN4: Tensor) -> Lifted:
        """Depth and context; see ``INTRINSICS`` for the second argument."""
        batch, cameras = feat_BNCHW.shape[:2]
        gate_MC = self.gate(intrinsics_BN4.flatten(0, 1))
        feat_MCHW = self.conv(feat_BNCHW.flatten(0, 1)) * gate_MC[:, :, None, None]
        depth_MDHW, context_MCHW = self.predict(feat_MCHW).split(self._splits, dim=1)
        return Lifted(
            depth_MDHW.unflatten(0, (batch, cameras)),
            context_MCHW.permute(0, 2, 3, 1).unflatten(0, (batch, cameras)),
        )


class Splat(nn.Module):
    """Sums depth probability times context into the cells: one weighted ``embedding_bag``, no scatter, no volume."""

    def __init__(self, config: StudentConfig) -> None:
        super().__init__()
        self._grid_shape = config.grid.shape

    def forward(self, lifted: Lifted, indices: SplatIndices) -> Tensor:
        """The lifted features (B, C, X, Y) in base_link, channels last in memory."""
        return self.pool(lifted, indices).permute(0, 3, 1, 2)

    def pool(self, lifted: Lifted, indices: SplatIndices) -> Tensor:
        """The same as (B, X, Y, C), as they are summed: another order of the memory costs more than the sums."""
        depth_flat = lifted.depth_logits_BNDHW.softmax(dim=2).flatten()
        # Under autocast a softmax is float32 and the context is not; embedding_bag wants one type.
        depth_flat = depth_flat.to(lifted.context_BNHWC.dtype)
        pair_weight_P = functional.pad(depth_flat, (0, 1))[indices.depth_P]  # the zero that the closing pair points at
        bev_GC = weighted_bags(lifted.context_BNHWC.flatten(0, 3), pair_weight_P, indices.pixel_P, indices.start_G)
        rows, columns = self._grid_shape
        return bev_GC.view(-1, rows, columns, bev_GC.shape[1])


def normalised_intrinsics(intrinsics_N33: Tensor, image_size: tuple[int, int]) -> Tensor:
    """Intrinsics (..., 3, 3) of images of ``image_size`` (height, width) as the lift takes them; zeros where NaN."""
    height, width = image_size
    matrix = torch.nan_to_num(intrinsics_N33)
    return torch.stack(
        [
            matrix[..., 0, 0] / width,
            matrix[..., 1, 1] / height,
            (matrix[..., 0, 2] + 0.5) / width,
            (matrix[..., 1, 2] + 0.5) / height,
        ],
        dim=-1,
    ).float()
