"""What a teacher says, brought onto the student's grids."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from tinybev.geometry import BevGrid
from tinybev.model.config import StudentConfig
from tinybev.model.heads.peaks import Peaks
from tinybev_training.distill.divergence import logits_of
from tinybev_training.distill.resample import reached, resample
from tinybev_training.losses.boxes import GridPlaces, grid_places
from tinybev_training.losses.heatmap import draw_heatmap
from tinybev_training.teacher.outputs import GridOutput, TeacherAgents, TeacherCenters, TeacherOutputs, TeacherPlan


@dataclass(frozen=True)
class TaughtGrid:
    """Logits on a grid of the student's, and the cells of which the teacher speaks; float32, without gradients."""

    logits_BCXY: Tensor
    known_BCXY: Tensor

    @property
    def probability_BCXY(self) -> Tensor:
        """Of each channel, 0 where the teacher does not speak."""
        return self.logits_BCXY.sigmoid() * self.known_BCXY


@dataclass(frozen=True)
class TaughtAgents:
    """The teacher's objects on the grid of the student's heads.

    Attributes:
        agents: as the teacher says them, float32, without gradients, 0 in rows that are padding.
        places: where they are on the grid.
        peaks: the same as the motion head takes them; the score is the probability of the most likely class, 0 for
            padding and objects off the grid.
    """

    agents: TeacherAgents
    places: GridPlaces
    peaks: Peaks


@dataclass(frozen=True)
class Taught:
    """Any subset of what the student says: the heatmap on ``head_grid``, map and occupancy on ``grid``."""

    heatmap: TaughtGrid | None
    agents: TaughtAgents | None
    map: TaughtGrid | None
    occupancy: TaughtGrid | None
    plan: TeacherPlan | None


def bring_home(teacher: TeacherOutputs, config: StudentConfig) -> Taught:
    """The teacher's outputs on the grids of a student.

    A teacher without a heatmap but with centers gets one drawn: around the cell of each a Gaussian as around an
    annotated agent, as high as its probability of the class. Its agents alone draw none: they are cut at a score, and
    where the teacher is only unsure a heatmap of them would say that nothing is there.
    """
    agents = None if teacher.agents is None else taught_agents(teacher.agents, config.head_grid)
    heatmap = None
    if teacher.heatmap is not None:
        heatmap = _on_grid(teacher.heatmap, config.head_grid)
    elif teacher.centers is not None:
        heatmap = _drawn(teacher.centers, config.head_grid)
    return Taught(
        heatmap=heatmap,
        agents=agents,
        map=None if teacher.map is None else _on_grid(teacher.map, config.grid),
        occupancy=None if teacher.occupancy is None else _on_grid(teacher.occupancy, config.grid),
        plan=None if teacher.plan is None else _cleaned_plan(teacher.plan),
    )


def taught_agents(agents: TeacherAgents, grid: BevGrid) -> TaughtAgents:
    """The teacher's objects on ``grid``."""
    agents = _cleaned(agents)
    places = grid_places(agents.centers_BA3[..., :2], grid)
    probability_BA, class_BA = agents.probability_BAK.max(dim=2)
    spoken_BA = agents.mask_BA & places.inside_BA
    return TaughtAgents(
        agents,
        places,
        Peaks(
            torch.where(spoken_BA, probability_BA, 0.0),
            class_BA.masked_fill(~spoken_BA, 0),
            places.cell_BA.masked_fill(~spoken_BA, 0),
        ),
    )


def _cleaned(agents: TeacherAgents) -> TeacherAgents:
    def cleaned(tensor: Tensor) -> Tensor:
        return _zero_padding(tensor, agents.mask_BA)

    return TeacherAgents(
        mask_BA=agents.mask_BA,
        probability_BAK=cleaned(agents.probability_BAK),
        centers_BA3=cleaned(agents.centers_BA3),
        sizes_BA3=cleaned(agents.sizes_BA3),
        yaws_BA=cleaned(agents.yaws_BA),
        velocities_BA2=cleaned(agents.velocities_BA2),
        futures_BAMT2=None if agents.futures_BAMT2 is None else cleaned(agents.futures_BAMT2),
        mode_logits_BAM=None if agents.mode_logits_BAM is None else cleaned(agents.mode_logits_BAM),
        known_B=agents.known_B,
    )


def _zero_padding(tensor: Tensor, mask_BA: Tensor) -> Tensor:
    """Padding may hold anything, and a gradient of 0 times what is not a number is not a number."""
    padding_BA = ~mask_BA
    return tensor.detach().float().masked_fill(padding_BA.view(*padding_BA.shape, *[1] * (tensor.ndim - 2)), 0.0)


def _cleaned_plan(plan: TeacherPlan) -> TeacherPlan:
    position_BT2 = plan.position_BT2.detach().float()
    return TeacherPlan(torch.where(plan.mask_B[:, None, None], position_BT2, 0.0), plan.mask_B)


def _on_grid(output: GridOutput, grid: BevGrid) -> TaughtGrid:
    logits_BCXY, _ = resample(output.values_BCXY.detach().float(), output.grid, grid)
    known_BCXY = output.mask_BC[:, :, None, None] & reached(output, grid)[:, None]
    return TaughtGrid(logits_BCXY.masked_fill(~known_BCXY, 0.0), known_BCXY)


def _drawn(centers: TeacherCenters, grid: BevGrid) -> TaughtGrid:
    center_BA3, size_BA3, height_BAK = (
        _zero_padding(tensor, centers.mask_BA)
        for tensor in (centers.centers_BA3, centers.sizes_BA3, centers.probability_BAK)
    )
    heatmap_BKXY = draw_heatmap(grid_places(center_BA3[..., :2], grid), size_BA3, height_BAK, grid)
    return TaughtGrid(logits_of(heatmap_BKXY), centers.known_B[:, None, None, None].expand_as(heatmap_BKXY))
