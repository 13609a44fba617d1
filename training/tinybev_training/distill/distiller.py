"""Everything that is learnt from a teacher, as one module whose state a checkpoint keeps."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from tinybev.model.config import StudentConfig
from tinybev.model.heads.motion import MotionOutputs
from tinybev.model.heads.peaks import Peaks
from tinybev.model.student import StudentOutputs
from tinybev.model.teacher_adapter import TeacherAdapter
from tinybev_training.distill.agents import agent_weights, box_difference, motion_difference, plan_difference
from tinybev_training.distill.config import DistillConfig
from tinybev_training.distill.feature import feature_distance
from tinybev_training.distill.grids import heatmap_divergence, mask_divergence
from tinybev_training.distill.region_masks import Region, disagreements, region_masks
from tinybev_training.distill.regions import RegionWeights
from tinybev_training.distill.taught import Taught, TaughtAgents, bring_home, taught_agents
from tinybev_training.distill.terms import DistillMask, DistillTerms
from tinybev_training.losses.targets import StudentTargets
from tinybev_training.teacher.outputs import TeacherOutputs


class RegionView(NamedTuple):
    """The regions of a batch on the student's grid: their masks, the cells' weights, and how much the two disagree."""

    masks_BRXY: Tensor
    weights_BXY: Tensor
    disagreements_BRXY: Tensor


class Distiller(nn.Module):
    """Compares student and teacher; gradients reach the student and the adapter, never the teacher.

    Its parameters (the adapter's) are trained beside the student's, its buffers (the running disagreements) belong into
    every checkpoint.
    """

    def __init__(self, student: StudentConfig, config: DistillConfig, teacher_channels: int | None) -> None:
        """
        Args:
            student: the student's configuration.
            config: what is distilled.
            teacher_channels: ``Teacher.bev_channels``; None where the teacher has no features to show.
        """
        super().__init__()
        self._student = student
        self._config = config
        self.adapter: TeacherAdapter | None = None
        if teacher_channels is not None and config.weights.feature:
            self.adapter = TeacherAdapter(student, teacher_channels, student.head_grid.shape)
        self.regions = None if config.regions is None else RegionWeights(config.regions)
        self.view: RegionView | None = None
        """The regions as the last ``forward`` used them, for a picture; None where regions are off."""

    def agents(self, targets: StudentTargets, teacher: TeacherOutputs) -> Peaks:
        """Whose futures the student shall predict, for ``Student.forward``: the annotated agents, then the teacher's.

        So supervision and distillation both find theirs, and neither has to be matched with what the student found.
        """
        if not self.live(teacher).motion or teacher.agents is None:
            return targets.agents
        theirs = taught_agents(teacher.agents, self._student.head_grid).peaks
        return Peaks(*(torch.cat(pair, dim=1) for pair in zip(targets.agents, theirs, strict=True)))

    def live(self, teacher: TeacherOutputs) -> DistillMask:
        """Which terms are on and have a teacher that speaks of them."""
        weights, agents = self._config.weights, teacher.agents
        return DistillMask(
            feature=self.adapter is not None and teacher.bev is not None,
            heatmap=weights.heatmap > 0 and (teacher.heatmap is not None or teacher.centers is not None),
            box=weights.box > 0 and agents is not None,
            map=weights.map > 0 and teacher.map is not None,
            occupancy=weights.occupancy > 0 and teacher.occupancy is not None,
            motion=weights.motion > 0 and agents is not None and agents.futures_BAMT2 is not None,
            plan=weights.plan > 0 and teacher.plan is not None,
        )

    def forward(self, outputs: StudentOutputs, teacher: TeacherOutputs, targets: StudentTargets) -> DistillTerms:
        """The terms of a batch, in float32; those that are not ``live`` are 0.

        In training mode the region weights learn from the batch after they are used for it.

        Args:
            outputs: of a student that was given ``agents``.
            teacher: of the same batch.
            targets: where annotations are looked at, of labelled samples only, to say which regions matter.

        With several processes all of them must call this equally often, with teachers that speak of the same heads.
        """
        live, temperature = self.live(teacher), self._config.temperature
        taught = bring_home(teacher, self._student)
        fine_BXY, coarse_BXY = self._weights(outputs, taught, targets)
        zero = fine_BXY.new_zeros(())
        feature = heatmap = box = map_ = occupancy = motion = plan = zero
        if live.feature and self.adapter is not None and teacher.bev is not None:
            grid = self._student.head_grid
            feature = feature_distance(outputs.bev_BCXY, teacher.bev, self.adapter, grid, coarse_BXY)
        if live.heatmap and taught.heatmap is not None:
            logits_BKXY = outputs.detection.heatmap_BKXY
            heatmap = heatmap_divergence(logits_BKXY, taught.heatmap, temperature.heatmap, coarse_BXY)
        if taught.agents is not None:
            weights_BA = agent_weights(taught.agents, coarse_BXY)
            if live.box:
                box = box_difference(outputs.detection, taught.agents, weights_BA)
            if live.motion:
                asked = _of_teacher(outputs, taught.agents, targets)
                motion = motion_difference(asked, taught.agents.agents, temperature.mode, weights_BA)
        if live.map and taught.map is not None:
            map_ = mask_divergence(outputs.map_BKXY, taught.map, temperature.map, fine_BXY)
        if live.occupancy and taught.occupancy is not None:
            logits_BTXY = outputs.occupancy.logits_BTXY
            occupancy = mask_divergence(logits_BTXY, taught.occupancy, temperature.occupancy, fine_BXY)
        if live.plan and taught.plan is not None:
            plan = plan_difference(outputs.plan.position_BT2, taught.plan)
        return DistillTerms(feature, heatmap, box, map_, occupancy, motion, plan)

    @torch.no_grad()
    def _weights(self, outputs: StudentOutputs, taught: Taught, targets: StudentTargets) -> tuple[Tensor, Tensor]:
        """The weights (B, X, Y) of the cells of the fine grid and of the heads' grid, each of mean 1 in a sample."""
        if self.regions is None:
            fine_BXY = torch.ones(
                len(outputs.bev_BCXY), *self._student.grid.shape, device=outputs.bev_BCXY.device, dtype=torch.float32
            )
        else:
            self.view = view = self._view(self.regions, outputs, taught, targets)
            fine_BXY = view.weights_BXY
            if self.training:
                self.regions.update(view.masks_BRXY, view.disagreements_BRXY)
        return fine_BXY, functional.avg_pool2d(fine_BXY[:, None], self._student.bev_stem_stride)[:, 0]

    def _view(
        self, regions: RegionWeights, outputs: StudentOutputs, taught: Taught, targets: StudentTargets
    ) -> RegionView:
        disagreements_BRXY = disagreements(outputs, taught, self._student)
        of_any_BXY = disagreements_BRXY[:, Region.DISAGREEMENT]
        masks_BRXY = region_masks(targets, taught, of_any_BXY, self._student, regions.config.corridor_m)
        return RegionView(masks_BRXY, regions(masks_BRXY), disagreements_BRXY)


def _of_teacher(outputs: StudentOutputs, taught: TaughtAgents, targets: StudentTargets) -> MotionOutputs:
    """The student's futures of the teacher's objects, which come after the annotated ones."""
    annotated, theirs = targets.counted_BA.shape[1], taught.peaks.cell_BA.shape[1]
    asked = outputs.agents.cell_BA.shape[1]
    if asked != annotated + theirs:
        raise ValueError(
            f"agents: expected the student's futures of {annotated} annotated and {theirs} agents of the teacher, "
            f"got {asked}; give the student what Distiller.agents returns"
        )
    return MotionOutputs(*(output[:, annotated:] for output in outputs.motion))
