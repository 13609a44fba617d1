"""Configurations of students that tests can build, export and train in seconds."""

from __future__ import annotations

import dataclasses

from tinybev.model.config import find_variant

COARSE = dataclasses.replace(
    find_variant("nano"), image_size=(32, 64), x_bound=(-25.6, 25.6, 1.6), y_bound=(-25.6, 25.6, 1.6)
)
"""nano with small images and 32x32 cells of 1.6 m."""
THIN = dataclasses.replace(
    COARSE,
    backbone_width=8,
    neck_channels=8,
    context_channels=8,
    bev_widths=(8, 16),
    bev_blocks=(1, 1),
    bev_channels=8,
    head_channels=8,
    agent_channels=16,
    plan_channels=16,
    scene_channels=4,
)
"""``COARSE`` with as few channels and blocks as it gets."""
