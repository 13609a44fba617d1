"""Feature level: the student's shared features, seen through an adapter, against the teacher's."""

from __future__ import annotations

import torch
from torch import Tensor

from tinybev.geometry import BevGrid
from tinybev.model.teacher_adapter import TeacherAdapter
from tinybev_training.distill.resample import reached, resample
from tinybev_training.losses.reduction import mean_count
from tinybev_training.teacher.outputs import GridOutput

_SMALLEST_DEVIATION = 1e-4
"""Of a teacher's channel over the cells; one that is as good as constant has nothing to teach."""


def feature_distance(
    bev_BCXY: Tensor, teacher: GridOutput, adapter: TeacherAdapter, grid: BevGrid, weights_BXY: Tensor
) -> Tensor:
    """Half the squared distance of normalised features: the mean over samples, cells and channels.

    Both sides are normalised per sample and channel over the cells that both see, so the scale of neither
    matters: with equal weights it is 1 - Pearson's correlation, 0 for features that are a linear function of the
    teacher's, 1 for unrelated ones, 2 for opposite ones.

    Args:
        bev_BCXY: of the student.
        teacher: its features; channels that are masked or constant do not count.
        adapter: to the teacher's channels, on ``grid``.
        grid: of the student's features, on which the two are compared.
        weights_BXY: of the cells, any scale above 0.
    """
    adapted_BCXY = adapter(bev_BCXY).float()
    known_BCXY = torch.where(teacher.mask_BC[:, :, None, None], teacher.values_BCXY.detach().float(), 0.0)
    taught_BCXY, _ = resample(known_BCXY, teacher.grid, grid)
    inside_BXY = reached(teacher, grid)
    weights_BXY = weights_BXY * inside_BXY
    weights_BXY = weights_BXY / weights_BXY.sum(dim=(1, 2), keepdim=True).clamp(min=torch.finfo(torch.float32).eps)
    taught_BCXY, deviation_BC = _normalised(taught_BCXY, inside_BXY[:, None])
    adapted_BCXY, _ = _normalised(adapted_BCXY, inside_BXY[:, None])
    counts_BC = teacher.mask_BC & (deviation_BC > _SMALLEST_DEVIATION) & inside_BXY.any(dim=(1, 2))[:, None]
    distance_BC = ((adapted_BCXY - taught_BCXY).square() / 2 * weights_BXY[:, None]).sum(dim=(2, 3))
    return (distance_BC * counts_BC).sum() / mean_count(counts_BC.sum())


def _normalised(values_BCXY: Tensor, inside_B1XY: Tensor) -> tuple[Tensor, Tensor]:
    """Mean 0 and deviation 1 over the cells inside, and the deviation (B, C) that was."""
    count_B111 = inside_B1XY.sum(dim=(2, 3), keepdim=True).clamp(min=1)
    centred_BCXY = values_BCXY - (values_BCXY * inside_B1XY).sum(dim=(2, 3), keepdim=True) / count_B111
    variance_BC11 = (centred_BCXY.square() * inside_B1XY).sum(dim=(2, 3), keepdim=True) / count_B111
    return centred_BCXY * (variance_BC11 + _SMALLEST_DEVIATION**2).rsqrt(), variance_BC11[..., 0, 0].sqrt()
