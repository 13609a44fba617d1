"""Which depth bin the lidar says each pixel's features are in."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
from made_batch import SMALL, MadeSample, made_batch
from rigs import ring_rig
from tinybev_training.losses.depth import NO_DEPTH, depth_loss, depth_targets

torch.set_num_threads(1)


def test_depth_targets_equal_a_loop_over_points_and_cameras() -> None:
    generator = np.random.default_rng(4)
    clouds = [generator.uniform((-25, -25, -1, 0, 0), (25, 25, 4, 1, 1), (400, 5)).astype(np.float32) for _ in range(2)]
    rig = ring_rig(SMALL.image_size)
    samples = [MadeSample(lidar=clouds[0]), MadeSample(lidar=clouds[1], missing_camera=2)]
    found = depth_targets(made_batch(*samples, rig=rig), SMALL).numpy()
    nearest = np.full(found.shape, np.inf)
    for b in range(2):
        for n in range(6):
            if samples[b].missing_camera == n:
                continue
            for point in clouds[b]:
                x, y, z, _ = np.linalg.inv(rig.base_T_camera[n]) @ [*point[:3], 1.0]
                if not 1.0 <= z < 21.0:
                    continue
                u, v, w = rig.intrinsics[n] @ [x, y, z]
                column, row = math.floor((u / w + 0.5) / 8), math.floor((v / w + 0.5) / 8)
                if 0 <= row < 4 and 0 <= column < 8:
                    nearest[b, n, row, column] = min(nearest[b, n, row, column], z)
    wanted = np.where(np.isfinite(nearest), np.floor((np.nan_to_num(nearest, posinf=0) - 1.0) / 2.0), NO_DEPTH)
    assert np.isfinite(nearest).sum() > 50
    assert (found == wanted).all()


def test_depth_targets_are_exact_in_half_precision_training() -> None:
    lidar = np.random.default_rng(7).uniform((-20, -20, 0, 0, 0), (20, 20, 3, 1, 1), (300, 5)).astype(np.float32)
    batch = made_batch(MadeSample(lidar=lidar))
    with torch.autocast("cpu", torch.bfloat16):
        found = depth_targets(batch, SMALL)
    assert torch.equal(found, depth_targets(batch, SMALL))


def test_depth_of_one_point_by_hand() -> None:
    # The front camera is 1 m ahead and 1.5 m up; its middle is the border of four cells, so a point a little to the
    # left and above is in row 1, column 3; 7 m ahead of the camera is bin 3 of 2 m from 1 m on.
    lidar = np.array([[8.0, 0.1, 1.6, 0, 0], [9.5, 0.1, 1.6, 0, 0], [1.5, 0.005, 1.505, 0, 0]], dtype=np.float32)
    found = depth_targets(made_batch(MadeSample(lidar=lidar)), SMALL)
    assert (found != NO_DEPTH).nonzero().tolist() == [[0, 0, 1, 3]]
    assert found[0, 0, 1, 3] == 3
    logits = torch.zeros(1, 6, SMALL.depth_bins, *SMALL.feature_size)
    assert depth_loss(logits, found).item() == pytest.approx(math.log(SMALL.depth_bins))


def test_a_mirrored_world_has_the_same_depths() -> None:
    lidar = np.random.default_rng(5).uniform((-20, -20, 0, 0, 0), (20, 20, 3, 1, 1), (300, 5)).astype(np.float32)
    rig = ring_rig(SMALL.image_size)
    mirror = np.diag([1.0, -1.0, 1.0, 1.0])
    mirrored = dataclasses.replace(rig, base_T_camera=mirror @ rig.base_T_camera)
    seen = depth_targets(made_batch(MadeSample(lidar=lidar)), SMALL)
    turned = lidar * np.array([1, -1, 1, 1, 1], dtype=np.float32)
    assert (depth_targets(made_batch(MadeSample(lidar=turned), rig=mirrored), SMALL) == seen).all()
    assert (seen != NO_DEPTH).any()
