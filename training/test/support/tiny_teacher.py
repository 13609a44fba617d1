"""A cross-modal teacher as small as it gets, with every part."""

from __future__ import annotations

import dataclasses

from tiny_students import COARSE
from tinybev_training.teacher.cross_modal_config import CrossModalConfig


def tiny_config(memory_frames: int = 1) -> CrossModalConfig:
    """Images of 64 x 32 on a grid of 32 x 32 m."""
    network = dataclasses.replace(
        COARSE,
        name="teacher-tiny",
        x_bound=(-16.0, 16.0, 1.0),
        y_bound=(-16.0, 16.0, 1.0),
        d_bound=(1.0, 17.0, 2.0),
        neck_channels=16,
        context_channels=16,
        bev_widths=(16, 16),
        bev_blocks=(1, 1),
        bev_channels=16,
        head_channels=16,
        max_agents=8,
        memory_frames=memory_frames,
    )
    return CrossModalConfig(network, "resnet18", point_channels=16, lidar_channels=16)
