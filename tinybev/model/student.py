"""The student: TinyBEV's network from images to the raw outputs of its five heads."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from tinybev.errors import UserError
from tinybev.model.backbone import Backbone, Neck
from tinybev.model.bev_encoder import BevEncoder, BevStem
from tinybev.model.config import StudentConfig
from tinybev.model.heads.detection import DetectionHead, DetectionOutputs
from tinybev.model.heads.map import MapHead
from tinybev.model.heads.motion import MotionHead, MotionOutputs
from tinybev.model.heads.occupancy import OccupancyHead, OccupancyOutputs
from tinybev.model.heads.peaks import PeakFinder, Peaks
from tinybev.model.heads.planning import PlanConditions, PlanningHead, PlanOutputs
from tinybev.model.lift_geometry import SplatIndices
from tinybev.model.lift_splat import Lift, Lifted, Splat
from tinybev.model.pixels import Pixels
from tinybev.model.temporal import Memory, TemporalFusion

MAX_SEED = 2**64 - 1
"""PyTorch takes no higher one."""


class StudentInputs(NamedTuple):
    """A batch of B frames of N cameras, in the order of ``tinybev.types.CAMERAS``.

    Attributes:
        images_BNHW3: RGB, uint8; anything for a camera that is missing.
        intrinsics_BN4: see ``lift_splat.normalised_intrinsics``.
        splat: where the features land; nothing of a missing camera does.
        conditions: what the planner is told.
    """

    images_BNHW3: Tensor
    intrinsics_BN4: Tensor
    splat: SplatIndices
    conditions: PlanConditions


class StudentOutputs(NamedTuple):
    """Everything the network says.

    Attributes:
        depth_logits_BNDHW: per pixel of the image features, over the depth bins.
        bev_BCXY: the shared features that all heads read, on the grid of the heads.
        detection, map_BKXY, occupancy, plan: raw outputs of the heads, see there; the map's are logits.
        agents: the objects that were found, and whose futures ``motion`` holds.
        motion: raw outputs of the motion head.
        stem_BCXY: this frame's features as a memory keeps them.
    """

    depth_logits_BNDHW: Tensor
    bev_BCXY: Tensor
    detection: DetectionOutputs
    map_BKXY: Tensor
    occupancy: OccupancyOutputs
    plan: PlanOutputs
    agents: Peaks
    motion: MotionOutputs
    stem_BCXY: Tensor


class GridNetwork(nn.Module):
    """What a student and a teacher with its heads have in common: the memory and all that reads the grid.

    A subclass makes its own modules first and then calls ``add_grid_part``: seeded weights are drawn in that order.
    """

    def add_grid_part(self, config: StudentConfig) -> None:
        """Adds the modules of ``conclude`` after those there are."""
        self._memory_frames = config.memory_frames
        self.temporal = TemporalFusion(config) if config.memory_frames else None
        self.bev_encoder = BevEncoder(config)
        self.detection_head = DetectionHead(config)
        self.find_peaks = PeakFinder(config.max_agents)
        self.map_head = MapHead(config)
        self.occupancy_head = OccupancyHead(config)
        self.motion_head = MotionHead(config)
        self.planning_head = PlanningHead(config)

    def conclude(
        self,
        stem_BCXY: Tensor,
        depth_logits_BNDHW: Tensor,
        conditions: PlanConditions,
        memory: Memory | None = None,
        agents: Peaks | None = None,
    ) -> StudentOutputs:
        """The part that works on the grid, after the stem; ``depth_logits_BNDHW`` is handed through."""
        features = self.bev_encoder(self._remember(stem_BCXY, memory))
        bev_BCXY = features.fine_BCXY
        detection = self.detection_head(bev_BCXY)
        if agents is None:
            agents = self.find_peaks(detection.heatmap_BKXY)
        return StudentOutputs(
            depth_logits_BNDHW=depth_logits_BNDHW,
            bev_BCXY=bev_BCXY,
            detection=detection,
            map_BKXY=self.map_head(bev_BCXY),
            occupancy=self.occupancy_head(bev_BCXY),
            plan=self.planning_head(features, conditions),
            agents=agents,
            motion=self.motion_head(features, detection, agents),
            stem_BCXY=stem_BCXY,
        )

    def _remember(self, stem_BCXY: Tensor, memory: Memory | None) -> Tensor:
        if (memory is None) != (self.temporal is None):
            raise ValueError(f"memory: expected it for {self._memory_frames} memory_frames, got {memory}")
        return stem_BCXY if self.temporal is None or memory is None else self.temporal(stem_BCXY, memory)


class Student(GridNetwork):
    """The whole network; one code path for every variant."""

    def __init__(self, config: StudentConfig) -> None:
        super().__init__()
        self.config = config
        self.pixels = Pixels(config)
        self.backbone = Backbone(config.backbone_width)
        self.neck = Neck(self.backbone.channels, config.feature_stride, config.neck_channels)
        self.lift = Lift(config)
        self.splat = Splat(config)
        self.bev_stem = BevStem(config)
        self.add_grid_part(config)

    def forward(
        self, inputs: StudentInputs, memory: Memory | None = None, agents: Peaks | None = None
    ) -> StudentOutputs:
        """All outputs of a batch.

        Args:
            inputs: images, geometry and conditions.
            memory: earlier frames; given if and only if the configuration has ``memory_frames``.
            agents: whose futures to predict, for training on annotated agents; the network's own peaks by default.
        """
        stem_BCXY, depth_logits_BNDHW = self.look(inputs)
        return self.conclude(stem_BCXY, depth_logits_BNDHW, inputs.conditions, memory, agents)

    def look(self, inputs: StudentInputs) -> tuple[Tensor, Tensor]:
        """The part that sees one frame alone: stem features (B, C, X, Y) and depth logits (B, N, D, h, w)."""
        lifted = self.see(inputs.images_BNHW3, inputs.intrinsics_BN4)
        return self.bev_stem(self.splat(lifted, inputs.splat)), lifted.depth_logits_BNDHW

    def see(self, images_BNHW3: Tensor, intrinsics_BN4: Tensor) -> Lifted:
        """The part that works on images; see ``StudentInputs`` for the arguments."""
        feat = self.neck(self.backbone(self.pixels(images_BNHW3)))
        return self.lift(feat.unflatten(0, images_BNHW3.shape[:2]), intrinsics_BN4)


def seeded_student(config: StudentConfig, seed: int) -> Student:
    """A student with random weights, the same ones for the same seed; the global random state is left as it was.

    Raises:
        UserError: the seed is negative or above ``MAX_SEED``.
    """
    if not 0 <= seed <= MAX_SEED:
        raise UserError(f"seed: expected 0 to {MAX_SEED}, got {seed}; choose another.")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Student(config).eval()
