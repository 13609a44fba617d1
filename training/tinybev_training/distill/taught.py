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
from tinybev_training.teacher.outputs import GridOutput, TeacherAgents, TeacherOutputs, TeacherPlan


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

    A teacher without a heatmap but with agents gets one drawn: around the cell of each agent a Gaussian as around an
    annotated one, as high as the agent's probability of the class; it speaks of the samples whose objects it knows.
    """
    agents = None if teacher.agents is None else taught_agents(teacher.agents, config.head_grid)
    heatmap = None
    if teacher.heatmap is not None:
        heatmap = _on_grid(teacher.heatmap, config.head_grid)
    elif agents is not None:
        heatmap = _drawn(agents, config.head_grid)
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
    """Padding may hold anything, and a gradient of 0 times what is not a number is not a number."""

    def cleaned(tensor: Tensor) -> Tensor:
        padding_BA = ~agents.mask_BA
        return tensor.detach().float().masked_fill(padding_BA.view(*padding_BA.shape, *[1] * (tensor.ndim - 2)), 0.0)

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


def _cleaned_plan(plan: TeacherPlan) -> TeacherPlan:
    position_BT2 = plan.position_BT2.detach().float()
    return TeacherPlan(torch.where(plan.mask_B[:, None, None], position_BT2, 0.0), plan.mask_B)


def _on_grid(output: GridOutput, grid: BevGrid) -> TaughtGrid:
    logits_BCXY, _ = resample(output.values_BCXY.detach().float(), output.grid, grid)
    known_BCXY = output.mask_BC[:, :, None, None] & reached(output, grid)[:, None]
    return TaughtGrid(logits_BCXY.masked_fill(~known_BCXY, 0.0), known_BCXY)


def _drawn(agents: TaughtAgents, grid: BevGrid) -> TaughtGrid:
    heatmap_BKXY = draw_heatmap(agents.places, agents.agents.sizes_BA3, agents.agents.probability_BAK, grid)
    known_B = agents.agents.known_B
    if known_B is None:
        known_B = torch.ones(len(heatmap_BKXY), dtype=torch.bool, device=heatmap_BKXY.device)
    return TaughtGrid(logits_of(heatmap_BKXY), known_B[:, None, None, None].expand_as(heatmap_BKXY))
