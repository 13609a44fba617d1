"""Feature level: correlation of channels, over the cells that both sides cover."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from made_batch import HALF_GRID, SMALL
from tinybev_training.distill.config import FEATURE_LEVEL
from tinybev_training.distill.distiller import Distiller
from tinybev_training.distill.feature import feature_distance
from tinybev_training.teacher.outputs import GridOutput
from torch import Tensor, nn

from tinybev.model.teacher_adapter import TeacherAdapter

torch.set_num_threads(1)


class Same(nn.Module):
    """An adapter that adapts nothing."""

    def forward(self, bev_BCXY: Tensor) -> Tensor:
        return bev_BCXY


def feature_of(student: Tensor, teacher: GridOutput, weights: Tensor | None = None) -> float:
    weights = torch.ones(len(student), *SMALL.head_grid.shape) if weights is None else weights
    return feature_distance(student, teacher, Same(), SMALL.head_grid, weights).item()  # type: ignore[arg-type]


def on_heads_grid(values_BCXY: Tensor) -> GridOutput:
    return GridOutput(values_BCXY, torch.ones(values_BCXY.shape[:2], dtype=torch.bool), SMALL.head_grid)


def test_the_feature_distance_is_one_less_correlation() -> None:
    generator = torch.Generator().manual_seed(0)
    student, teacher = (torch.randn(2, 3, 20, 12, generator=generator) for _ in range(2))
    student = student + 0.5 * teacher
    wanted = [1 - np.corrcoef(student[b, c].ravel(), teacher[b, c].ravel())[0, 1] for b in range(2) for c in range(3)]
    assert feature_of(student, on_heads_grid(teacher)) == pytest.approx(np.mean(wanted), abs=1e-4)
    scaled = on_heads_grid(40 * teacher - 3)
    assert feature_of(0.1 * student + 7, scaled) == pytest.approx(np.mean(wanted), abs=1e-4)
    assert feature_of(teacher, on_heads_grid(teacher)) == pytest.approx(0, abs=1e-5)
    assert feature_of(-teacher, on_heads_grid(teacher)) == pytest.approx(2, abs=1e-4)


def test_channels_that_are_masked_or_constant_do_not_count() -> None:
    generator = torch.Generator().manual_seed(1)
    student, teacher = (torch.randn(1, 3, 20, 12, generator=generator) for _ in range(2))
    alone = feature_of(student[:, 2:], on_heads_grid(teacher[:, 2:]))
    teacher[:, 0] = 5.0
    masked = GridOutput(teacher, torch.tensor([[True, False, True]]), SMALL.head_grid)
    assert feature_of(student, masked) == pytest.approx(alone, rel=1e-5)
    assert feature_of(student, dataclasses.replace(masked, mask_BC=torch.zeros(1, 3, dtype=torch.bool))) == 0


def test_cells_that_the_teacher_does_not_cover_do_not_count() -> None:
    generator = torch.Generator().manual_seed(2)
    student = torch.randn(1, 3, 20, 12, generator=generator)
    teacher = GridOutput(
        torch.randn(1, 3, *HALF_GRID.shape, generator=generator), torch.ones(1, 3, dtype=torch.bool), HALF_GRID
    )
    found = feature_of(student, teacher)
    # x from -10 to 10 is rows 3 to 12 of the heads' 2 m cells, y up to 8 columns 0 to 9
    other = torch.randn(1, 3, 20, 12, generator=generator)
    other[:, :, 3:13, :10] = student[:, :, 3:13, :10]
    assert feature_of(other, teacher) == pytest.approx(found, rel=1e-5)
    other[:, :, 3, 0] += 1.0
    assert feature_of(other, teacher) != pytest.approx(found, rel=1e-5)


def test_cells_that_the_teacher_did_not_see_do_not_count() -> None:
    """Whatever stands in them."""
    torch.manual_seed(0)
    adapter = TeacherAdapter(SMALL, 3, SMALL.head_grid.shape)
    bev = torch.randn(2, SMALL.bev_channels, *SMALL.head_grid.shape)
    taught = torch.randn(2, 3, *SMALL.head_grid.shape)
    seen = torch.rand(2, *SMALL.head_grid.shape) < 0.6
    weights = torch.ones(2, *SMALL.head_grid.shape)
    mask = torch.ones(2, 3, dtype=torch.bool)
    distances = [
        feature_distance(
            bev,
            GridOutput(torch.where(seen[:, None], taught, unseen), mask, SMALL.head_grid, seen),
            adapter,
            SMALL.head_grid,
            weights,
        )
        for unseen in (0.0, 7.0)
    ]
    torch.testing.assert_close(distances[0], distances[1])
    all_seen = GridOutput(torch.where(seen[:, None], taught, 7.0), mask, SMALL.head_grid)
    assert abs(feature_distance(bev, all_seen, adapter, SMALL.head_grid, weights) - distances[0]) > 1e-3


def test_weights_move_the_feature_distance_to_where_they_are() -> None:
    generator = torch.Generator().manual_seed(3)
    teacher = torch.randn(1, 3, 20, 12, generator=generator)
    student = teacher.clone()
    student[:, :, :5] = torch.randn(1, 3, 5, 12, generator=generator)
    weights = torch.full((1, 20, 12), 0.1)
    weights[:, 10:] = 1.0
    right, even = feature_of(student, on_heads_grid(teacher), weights), feature_of(student, on_heads_grid(teacher))
    assert right < even < feature_of(student, on_heads_grid(teacher), 1.1 - weights)


def test_the_adapter_is_on_the_heads_grid() -> None:
    distiller = Distiller(SMALL, FEATURE_LEVEL, 256)
    assert isinstance(distiller.adapter, TeacherAdapter)
    assert distiller.adapter(torch.zeros(1, SMALL.bev_channels, 20, 12)).shape == (1, 256, 20, 12)
    assert Distiller(SMALL, FEATURE_LEVEL, None).adapter is None
