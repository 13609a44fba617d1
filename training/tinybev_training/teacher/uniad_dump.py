"""UniAD as a teacher: what it said about each sample, read from disk and brought into the batch's base_link.

The dumps are written once, in UniAD's own environment, by ``training/uniad/dump_teacher.py``. Features and masks are
resampled into base_link at the batch's reference stamp, the augmentation of the world included, so that a turned or
mirrored student is compared with a teacher that is turned or mirrored likewise. See ``docs/teachers.md``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from tinybev.errors import UserError
from tinybev.geometry import BevGrid
from tinybev.types import MapClass
from tinybev_training.data.batch import Batch
from tinybev_training.data.map_masks import LINE_CLASSES
from tinybev_training.teacher.lidar_frame import base_T_ego_map, base_T_lidar, resample
from tinybev_training.teacher.moved_grid import move_points, planar_part, turn_vectors
from tinybev_training.teacher.outputs import (
    GridOutput,
    TeacherAgents,
    TeacherCenters,
    TeacherOutputs,
    TeacherPlan,
)
from tinybev_training.teacher.rear_axle import rear_axle_path
from tinybev_training.teacher.sample_files import SampleFiles
from tinybev_training.teacher.uniad_file import LidarAgents, LidarCenters, UniadDump, read_dump

BEV_HALF_M, OCCUPANCY_HALF_M = 51.2, 50.0
"""UniAD's features and map reach this far to every side, its occupancy this far."""
PROBABILITY_MARGIN = 0.01
"""Probabilities are held this far from 0 and 1 before they become logits; UniAD sets those of a mask's outside to 0."""
OCCUPIED_ABOVE = 0.1
"""UniAD calls a cell occupied above this score; it becomes logit 0, where the student decides too."""


class UniadDumps:
    """The dumps in a folder, one ``<sample token>.safetensors`` a sample; samples without one are masked."""

    def __init__(self, folder: Path, tokens: Iterable[str]) -> None:
        """
        Args:
            folder: of the dumps.
            tokens: of all samples that will be asked for.

        Raises:
            UserError: not one of the samples has a dump, or a dump cannot be read.
        """
        self.files = SampleFiles(folder, tokens, "UniAD's dumps", "run training/uniad/dump_teacher.py on this split")
        first = read_dump(self.files.first)
        self._channels = None if first.bev_CYX is None else len(first.bev_CYX)
        # UniAD's own extent and cells, in base_link.
        self._bev_grid = _around(BEV_HALF_M, 200)
        self._occupancy_grid = _around(OCCUPANCY_HALF_M, 200)

    @property
    def bev_channels(self) -> int | None:
        """Channels of the features, None where the dumps have none."""
        return self._channels

    @property
    def past_frames(self) -> int:
        """None: UniAD's own memory is in its dumps."""
        return 0

    def __call__(self, batch: Batch) -> TeacherOutputs:
        """What UniAD said about the samples of ``batch``.

        Raises:
            UserError: a dump is damaged.
        """
        dumps = [
            read_dump(path) if placed and (path := self.files.find(token)) is not None else None
            for token, placed in zip(batch.tokens, batch.sweep_mask_B.tolist(), strict=True)
        ]
        return TeacherOutputs(
            bev=self._features(batch, dumps),
            agents=_agents(batch, [None if dump is None else dump.agents for dump in dumps]),
            map=self._map(batch, dumps),
            occupancy=self._occupancy(batch, dumps),
            plan=_plan(batch, [None if dump is None else dump.plan_T2 for dump in dumps]),
            centers=_centers(batch, [None if dump is None else dump.centers for dump in dumps]),
        )

    def _features(self, batch: Batch, dumps: Sequence[UniadDump | None]) -> GridOutput | None:
        features = [None if dump is None else dump.bev_CYX for dump in dumps]
        output = _on_grid(batch, features, base_T_lidar(batch), BEV_HALF_M, self._bev_grid)
        if output is not None and output.values_BCXY.shape[1] != self._channels:
            raise UserError(
                f"expected {self._channels or 'no'} channels of features in every dump in {self.files.folder}, got "
                f"{output.values_BCXY.shape[1]} for {', '.join(batch.tokens)}; dump the split with one network."
            )
        return output

    def _map(self, batch: Batch, dumps: Sequence[UniadDump | None]) -> GridOutput | None:
        """The four classes; the lines and the drivable area are in frames of their own."""
        lines = [None if dump is None else dump.lines_CYX for dump in dumps]
        drivable = [None if dump is None or dump.drivable_YX is None else dump.drivable_YX[None] for dump in dumps]
        probability = _stacked_classes(
            _on_grid(batch, lines, base_T_ego_map(batch), BEV_HALF_M, self._bev_grid),
            _on_grid(batch, drivable, base_T_lidar(batch), BEV_HALF_M, self._bev_grid),
            self._bev_grid,
        )
        return _as_logits(probability, threshold=0.5)

    def _occupancy(self, batch: Batch, dumps: Sequence[UniadDump | None]) -> GridOutput | None:
        occupied = [None if dump is None else dump.occupancy_TYX for dump in dumps]
        probability = _on_grid(batch, occupied, base_T_lidar(batch), OCCUPANCY_HALF_M, self._occupancy_grid)
        return _as_logits(probability, OCCUPIED_ABOVE)


def _on_grid(
    batch: Batch, found: Sequence[Tensor | None], base_T_frame_B44: Tensor, half_extent_m: float, grid: BevGrid
) -> GridOutput | None:
    """One kind of tensor (C, Y, X) of all samples on ``grid``; None where no sample has it."""
    shapes = {tuple(values.shape) for values in found if values is not None}
    if not shapes:
        return None
    if len(shapes) > 1:
        raise UserError(
            f"expected the dumps of one network, got tensors of {' and '.join(map(str, sorted(shapes)))} for "
            f"{', '.join(batch.tokens)}; dump the split with one network."
        )
    device = batch.images_BNCHW.device
    nothing = torch.zeros(shapes.pop())
    values_BCYX = torch.stack([nothing if values is None else values for values in found]).to(device)
    values_BCXY, reach_BXY = resample(values_BCYX, base_T_frame_B44, half_extent_m, grid)
    mask_B = torch.tensor([values is not None for values in found], device=device)
    return GridOutput(values_BCXY, mask_B[:, None].expand(-1, values_BCXY.shape[1]), grid, reach_BXY)


def _around(half_m: float, cells: int) -> BevGrid:
    bound = (-half_m, half_m, 2 * half_m / cells)
    return BevGrid(bound, bound)


def _stacked_classes(lines: GridOutput | None, drivable: GridOutput | None, grid: BevGrid) -> GridOutput | None:
    """One channel a ``MapClass``; those that are not there are masked."""
    some = lines or drivable
    if some is None or some.reach_BXY is None:
        return None
    samples = len(some.values_BCXY)
    values_BCXY = torch.zeros(samples, len(MapClass), *grid.shape).to(some.values_BCXY)
    mask_BC = torch.zeros(samples, len(MapClass)).to(some.mask_BC)
    reach_BXY = torch.ones_like(some.reach_BXY)
    for part, classes in ((lines, LINE_CLASSES), (drivable, (MapClass.DRIVABLE,))):
        if part is not None and part.reach_BXY is not None:
            values_BCXY[:, list(classes)], mask_BC[:, list(classes)] = part.values_BCXY, part.mask_BC
            reach_BXY = reach_BXY & part.reach_BXY
    return GridOutput(values_BCXY, mask_BC, grid, reach_BXY)


def _as_logits(probability: GridOutput | None, threshold: float) -> GridOutput | None:
    """Probabilities as logits, shifted so that ``threshold`` becomes 0."""
    if probability is None or probability.reach_BXY is None:
        return None
    shift = torch.logit(torch.tensor(threshold)).item()
    logits_BCXY = torch.logit(probability.values_BCXY, eps=PROBABILITY_MARGIN) - shift
    seen_BCXY = probability.reach_BXY[:, None] & probability.mask_BC[..., None, None]
    return GridOutput(
        torch.where(seen_BCXY, logits_BCXY, 0.0), probability.mask_BC, probability.grid, probability.reach_BXY
    )


def _agents(batch: Batch, agents: Sequence[LidarAgents | None]) -> TeacherAgents | None:
    """The objects of all samples in base_link, padded to the most any of them has."""
    known = [one for one in agents if one is not None]
    if not known:
        return None
    device, frame_B44 = batch.images_BNCHW.device, base_T_lidar(batch)

    def padded(pick: Callable[[LidarAgents], Tensor]) -> Tensor:
        return _padded([None if one is None else pick(one) for one in agents]).to(device)

    mask_BA = padded(lambda one: torch.ones_like(one.headings_A)) > 0
    heading_BA2 = turn_vectors(
        frame_B44, padded(lambda one: torch.stack([one.headings_A.cos(), one.headings_A.sin()], dim=-1))
    )
    centers_BA3 = padded(lambda one: one.centers_A3)
    futures_BAMT2 = mode_logits_BAM = None
    if all(one.futures_AMT2 is not None and one.mode_logits_AM is not None for one in known):
        positions_BAMT2 = padded(lambda one: one.futures_AMT2)  # type: ignore[arg-type, return-value]
        height_BAMT1 = centers_BA3[:, :, None, None, 2:].expand(*positions_BAMT2.shape[:-1], 1)
        moved_BAMT3 = move_points(frame_B44, torch.cat([positions_BAMT2, height_BAMT1], dim=-1))
        futures_BAMT2 = moved_BAMT3[..., :2] * mask_BA[:, :, None, None, None]
        mode_logits_BAM = padded(lambda one: one.mode_logits_AM)  # type: ignore[arg-type, return-value]
    return TeacherAgents(
        mask_BA=mask_BA,
        probability_BAK=padded(lambda one: one.probability_AK),
        centers_BA3=move_points(frame_B44, centers_BA3) * mask_BA[..., None],
        sizes_BA3=padded(lambda one: one.sizes_A3),
        yaws_BA=torch.atan2(heading_BA2[..., 1], heading_BA2[..., 0]),
        velocities_BA2=turn_vectors(frame_B44, padded(lambda one: one.velocities_A2)),
        futures_BAMT2=futures_BAMT2,
        mode_logits_BAM=mode_logits_BAM,
        known_B=torch.tensor([one is not None for one in agents], device=device),
    )


def _centers(batch: Batch, centers: Sequence[LidarCenters | None]) -> TeacherCenters | None:
    """The places of all samples in base_link, padded likewise."""
    if all(one is None for one in centers):
        return None
    device = batch.images_BNCHW.device

    def padded(pick: Callable[[LidarCenters], Tensor]) -> Tensor:
        return _padded([None if one is None else pick(one) for one in centers]).to(device)

    return TeacherCenters(
        mask_BA=padded(lambda one: torch.ones(len(one.centers_Q3))) > 0,
        probability_BAK=padded(lambda one: one.probability_QK),
        centers_BA3=move_points(base_T_lidar(batch), padded(lambda one: one.centers_Q3)),
        sizes_BA3=padded(lambda one: one.sizes_Q3),
        known_B=torch.tensor([one is not None for one in centers], device=device),
    )


def _padded(rows: Sequence[Tensor | None]) -> Tensor:
    """(B, most rows any sample has, ...) of what each sample has, 0 behind it."""
    like = next(one for one in rows if one is not None)
    return pad_sequence([like[:0] if one is None else one for one in rows], batch_first=True)


def _plan(batch: Batch, plans: Sequence[Tensor | None]) -> TeacherPlan | None:
    """Where base_link will be; masked where the world was turned, as the ground truth is."""
    known = [plan for plan in plans if plan is not None]
    if not known:
        return None
    lidar_BT2 = torch.stack([torch.zeros_like(known[0]) if plan is None else plan for plan in plans]).double()
    flat_B33 = planar_part(base_T_lidar(batch)).cpu()
    path_BT2 = lidar_BT2 @ flat_B33[:, :2, :2].transpose(1, 2) + flat_B33[:, None, :2, 2]
    rear_BT2 = rear_axle_path(path_BT2, flat_B33[:, :2, 2], batch.base_T_sweep_B44[:, :2, 3].cpu())
    mask_B = torch.tensor([plan is not None for plan in plans])
    mask_B &= batch.augmented_T_base_B44[:, 0, 0].cpu() > 1 - 1e-9  # the ego still drives along its x axis
    device = batch.images_BNCHW.device
    return TeacherPlan((rear_BT2 * mask_B[:, None, None]).float().to(device), mask_B.to(device))
