"""Our own teacher, read from disk: what it said once about every sample as recorded, turned as each batch is turned.

Running a teacher that is five times the student's size, with an earlier keyframe besides, costs most of a step's time.
Written down it costs one look at each sample, and training reads. What is lost: the teacher sees the images as they
are, without the student's changes of colour, crop and missing cameras; and features between cells are interpolated
where the world is turned. Interpolation would flatten object centres, which are one cell wide, so those are put where
the turned objects are. See ``docs/teachers.md``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from tinybev_training.data.batch import Batch
from tinybev_training.losses.boxes import grid_places
from tinybev_training.teacher.moved_grid import move_points, resample_moved, turn_vectors
from tinybev_training.teacher.outputs import GridOutput, TeacherAgents, TeacherOutputs, TeacherPlan
from tinybev_training.teacher.sample_files import SampleFiles
from tinybev_training.teacher.sample_outputs import read_outputs

_LEAST_PROBABILITY = 1e-6
"""So that a logit is finite."""
_SMALLEST_TURN = 1e-9
"""Sine of an angle: what is smaller is rounding."""


class WrittenTeacher:
    """The files that ``tinybev teach`` wrote; samples without one are masked."""

    def __init__(self, folder: Path, tokens: Iterable[str], digest: str) -> None:
        """
        Args:
            folder: of the files.
            tokens: of all samples that will be asked for.
            digest: of the network whose files these are.

        Raises:
            UserError: not one of the samples has a file, or the first cannot be read.
        """
        self.files = SampleFiles(folder, tokens, "what a teacher said", "run `tinybev teach` on this split")
        self._digest = digest
        self._like = read_outputs(self.files.first, digest)

    @property
    def bev_channels(self) -> int | None:
        """Channels of the shared features."""
        return None if self._like.bev is None else self._like.bev.values_BCXY.shape[1]

    @property
    def past_frames(self) -> int:
        """None: what the teacher remembered is in what it said."""
        return 0

    def __call__(self, batch: Batch) -> TeacherOutputs:
        """What the teacher said about the samples of ``batch``, in its base_link.

        Raises:
            UserError: a file is damaged, or another network's.
        """
        said = [self._said(token) for token in batch.tokens]
        grids = [self._on_grid(batch, said, pick) for pick in (_bev, _heatmap, _map, _occupancy)]
        bev, heatmap, map_, occupancy = grids
        agents = _agents(batch, said, self._like)
        if heatmap is not None and agents is not None:
            heatmap = _with_centers(heatmap, agents, _is_turned(batch.augmented_T_base_B44))
        return TeacherOutputs(bev, heatmap, agents, map_, occupancy, self._plan(batch, said))

    def _said(self, token: str) -> TeacherOutputs | None:
        path = self.files.find(token)
        return None if path is None else read_outputs(path, self._digest)

    def _on_grid(
        self,
        batch: Batch,
        said: Sequence[TeacherOutputs | None],
        pick: Callable[[TeacherOutputs], GridOutput | None],
    ) -> GridOutput | None:
        like = pick(self._like)
        if like is None:
            return None
        found = [None if one is None else pick(one) for one in said]
        values = [torch.zeros_like(like.values_BCXY) if one is None else one.values_BCXY for one in found]
        mask_B = torch.tensor([one is not None for one in found], device=batch.images_BNCHW.device)
        moved_BCXY, reach_BXY = resample_moved(
            torch.cat(values).to(mask_B.device), like.grid, batch.augmented_T_base_B44, like.grid
        )
        return GridOutput(moved_BCXY, mask_B[:, None].expand(-1, moved_BCXY.shape[1]), like.grid, reach_BXY)

    def _plan(self, batch: Batch, said: Sequence[TeacherOutputs | None]) -> TeacherPlan | None:
        like = self._like.plan
        if like is None:
            return None
        plans = [None if one is None else one.plan for one in said]
        nowhere_1T2 = torch.zeros_like(like.position_BT2)
        position_BT2 = torch.cat([nowhere_1T2 if one is None else one.position_BT2 for one in plans])
        mask_B = torch.tensor([one is not None for one in plans], device=batch.images_BNCHW.device)
        # Turned or mirrored front to back, the ego does not drive along its x axis, which no planner has learnt.
        forward_B = batch.augmented_T_base_B44[:, 0, 0] > 1 - 1e-9
        return TeacherPlan(turn_vectors(batch.augmented_T_base_B44, position_BT2.to(mask_B.device)), mask_B & forward_B)


def _is_turned(augmented_T_base_B44: Tensor) -> Tensor:
    """(B,): whether cells fall between cells; mirroring, and no change at all, take cells to cells."""
    return augmented_T_base_B44[:, 0, 1].abs() > _SMALLEST_TURN


def _with_centers(heatmap: GridOutput, agents: TeacherAgents, turned_B: Tensor) -> GridOutput:
    """The heatmap of turned samples raised at the cell of each agent to what the teacher said of it, class by class."""
    places = grid_places(agents.centers_BA3[..., :2], heatmap.grid)
    raised_BA = agents.mask_BA & places.inside_BA & turned_B[:, None]
    said_BAK = torch.logit(agents.probability_BAK.float(), eps=_LEAST_PROBABILITY)
    said_BKA = said_BAK.masked_fill(~raised_BA[..., None], -torch.inf).transpose(1, 2)
    values_BKG = heatmap.values_BCXY.flatten(2)
    cell_BKA = places.cell_BA[:, None].expand_as(said_BKA)
    values_BKG = values_BKG.scatter_reduce(2, cell_BKA, said_BKA.to(values_BKG.dtype), "amax")
    return replace(heatmap, values_BCXY=values_BKG.view_as(heatmap.values_BCXY))


def _bev(outputs: TeacherOutputs) -> GridOutput | None:
    return outputs.bev


def _heatmap(outputs: TeacherOutputs) -> GridOutput | None:
    return outputs.heatmap


def _map(outputs: TeacherOutputs) -> GridOutput | None:
    return outputs.map


def _occupancy(outputs: TeacherOutputs) -> GridOutput | None:
    return outputs.occupancy


def _agents(batch: Batch, said: Sequence[TeacherOutputs | None], like: TeacherOutputs) -> TeacherAgents | None:
    """The objects of all samples, padded to the most any of them has."""
    if like.agents is None:
        return None
    nobody = _first_rows(like.agents, 0)
    known_B = torch.tensor([one is not None for one in said], device=batch.images_BNCHW.device)
    agents = [nobody if one is None or one.agents is None else one.agents for one in said]
    most = max(one.mask_BA.shape[1] for one in agents)

    def padded(pick: Callable[[TeacherAgents], Tensor | None]) -> Tensor | None:
        parts = [pick(one) for one in agents]
        filled = [
            torch.cat([part, part.new_zeros(1, most - part.shape[1], *part.shape[2:])], dim=1)
            for part in parts
            if part is not None
        ]
        return torch.cat(filled).to(known_B.device) if filled else None

    def all_of(pick: Callable[[TeacherAgents], Tensor]) -> Tensor:
        values = padded(pick)
        assert values is not None
        return values

    frame_B44 = batch.augmented_T_base_B44
    yaws_BA, futures_BAMT2 = all_of(lambda one: one.yaws_BA), padded(lambda one: one.futures_BAMT2)
    heading_BA2 = turn_vectors(frame_B44, torch.stack([yaws_BA.cos(), yaws_BA.sin()], dim=-1))
    if futures_BAMT2 is not None:
        futures_BAMT2 = turn_vectors(frame_B44, futures_BAMT2.flatten(1, 3)).view_as(futures_BAMT2)
    return TeacherAgents(
        mask_BA=all_of(lambda one: one.mask_BA),
        probability_BAK=all_of(lambda one: one.probability_BAK),
        centers_BA3=move_points(frame_B44, all_of(lambda one: one.centers_BA3)),
        sizes_BA3=all_of(lambda one: one.sizes_BA3),
        yaws_BA=torch.atan2(heading_BA2[..., 1], heading_BA2[..., 0]),
        velocities_BA2=turn_vectors(frame_B44, all_of(lambda one: one.velocities_BA2)),
        futures_BAMT2=futures_BAMT2,
        mode_logits_BAM=padded(lambda one: one.mode_logits_BAM),
        known_B=known_B,
    )


def _first_rows(agents: TeacherAgents, count: int) -> TeacherAgents:
    """The first ``count`` objects of a sample."""
    futures_BAMT2, mode_logits_BAM = agents.futures_BAMT2, agents.mode_logits_BAM
    return TeacherAgents(
        agents.mask_BA[:, :count],
        agents.probability_BAK[:, :count],
        agents.centers_BA3[:, :count],
        agents.sizes_BA3[:, :count],
        agents.yaws_BA[:, :count],
        agents.velocities_BA2[:, :count],
        None if futures_BAMT2 is None else futures_BAMT2[:, :count],
        None if mode_logits_BAM is None else mode_logits_BAM[:, :count],
    )
