"""The adapter gives a teacher's channels and grid, and keeps every place where it is."""

from __future__ import annotations

import torch
from torch import nn

from tinybev.model.config import find_variant
from tinybev.model.teacher_adapter import TeacherAdapter


def test_channels_and_grid_are_the_teachers() -> None:
    config = find_variant("base")
    adapter = TeacherAdapter(config, teacher_channels=256, teacher_shape=(200, 200))
    assert adapter(torch.zeros(2, config.bev_channels, *config.head_grid.shape)).shape == (2, 256, 200, 200)


def test_a_place_stays_where_it_is() -> None:
    config = find_variant("base")
    adapter = TeacherAdapter(config, teacher_channels=1, teacher_shape=(200, 200))
    nn.init.ones_(adapter.project.weight)
    nn.init.zeros_(adapter.project.bias)
    bev = torch.zeros(1, config.bev_channels, 100, 100)
    bev[0, 0, 30, 70] = 1.0
    out = adapter(bev)[0, 0]
    rows, columns = torch.meshgrid(torch.arange(200.0), torch.arange(200.0), indexing="ij")
    center = (rows * out).sum() / out.sum(), (columns * out).sum() / out.sum()
    torch.testing.assert_close(torch.stack(center), torch.tensor([60.5, 140.5]))
