"""Our own teacher: cameras and lidar in one BEV, a larger backbone, a memory, and the student's own heads.

Lift, splat, BEV encoder, memory and heads are the student's, larger; so its outputs are a ``StudentOutputs``, and what
trains a student trains it. Cameras and lidar meet where the student's memory keeps its frames, on the grid of the
heads, so that what is remembered has seen both. Ours; the paper's teacher is UniAD.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from tinybev.model.backbone import Neck
from tinybev.model.bev_encoder import BevStem
from tinybev.model.heads.peaks import Peaks
from tinybev.model.layers import conv_bn_relu, init_convolutions
from tinybev.model.lift_splat import Lift, Splat
from tinybev.model.pixels import Pixels
from tinybev.model.student import GridNetwork, StudentInputs, StudentOutputs
from tinybev.model.temporal import Memory
from tinybev_training.teacher.cross_modal_config import CrossModalConfig
from tinybev_training.teacher.image_trunk import ImageTrunk
from tinybev_training.teacher.lidar_encoder import LidarEncoder


class LidarInputs(NamedTuple):
    """Points (P, 5) of all samples, base_link, as ``Batch.lidar_P5``; and the sample (P,) that each belongs to."""

    points_P5: Tensor
    sample_P: Tensor


class CrossModal(GridNetwork):
    """The whole network."""

    def __init__(self, config: CrossModalConfig) -> None:
        super().__init__()
        network = config.network
        self.config = config
        self.pixels = Pixels(network)
        self.backbone = ImageTrunk(config.image_backbone)
        self.neck = Neck(self.backbone.channels, network.feature_stride, network.neck_channels)
        self.lift = Lift(network)
        self.splat = Splat(network)
        self.bev_stem = BevStem(network)
        if config.sees_lidar:
            self.lidar_encoder = LidarEncoder(
                network.grid, network.z_bound, network.bev_stem_stride, config.point_channels, config.lidar_channels
            )
            stem_channels = network.bev_widths[0]
            self.fuse = conv_bn_relu(stem_channels + config.lidar_channels, stem_channels)
            init_convolutions(self.fuse)
        self.add_grid_part(network)

    def forward(
        self, inputs: StudentInputs, lidar: LidarInputs, memory: Memory | None = None, agents: Peaks | None = None
    ) -> StudentOutputs:
        """All outputs of a batch; as ``Student.forward``, with lidar."""
        stem_BCXY, depth_logits_BNDHW = self.look(inputs, lidar)
        return self.conclude(stem_BCXY, depth_logits_BNDHW, inputs.conditions, memory, agents)

    def look(self, inputs: StudentInputs, lidar: LidarInputs) -> tuple[Tensor, Tensor]:
        """The part that sees one frame alone: features (B, C, X, Y), fused with the lidar's where the teacher sees it,
        and depth logits (B, N, D, h, w)."""
        samples, cameras = inputs.images_BNHW3.shape[:2]
        feat = self.neck(self.backbone(self.pixels(inputs.images_BNHW3)))
        lifted = self.lift(feat.unflatten(0, (samples, cameras)), inputs.intrinsics_BN4)
        seen_BCXY = self.bev_stem(self.splat(lifted, inputs.splat))
        if not self.config.sees_lidar:
            return seen_BCXY, lifted.depth_logits_BNDHW
        measured_BCXY = self.lidar_encoder(lidar.points_P5, lidar.sample_P, samples)
        return self.fuse(torch.cat([seen_BCXY, measured_BCXY], dim=1)), lifted.depth_logits_BNDHW


def seeded_teacher(config: CrossModalConfig, seed: int) -> CrossModal:
    """A teacher with random weights, the same ones for the same seed; the global random state is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return CrossModal(config).eval()
