"""Lift-splat against geometry done by hand: a naive loop, real rigs, rotations, permutations, missing cameras."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from rigs import Rig, nuscenes_rigs, ring_rig, yaw_transform

from tinybev.geometry import invert, project, transform_points
from tinybev.model.config import StudentConfig, find_variant
from tinybev.model.lift_geometry import SplatIndices, depth_centers, pixel_rays, splat_indices
from tinybev.model.lift_splat import Lifted, Splat, normalised_intrinsics
from tinybev.runtime.crop import Crop
from tinybev.types import CAMERAS

COARSE = dataclasses.replace(
    find_variant("nano"),
    image_size=(32, 64),
    feature_stride=16,
    context_channels=5,
    d_bound=(2.0, 38.0, 4.0),
    x_bound=(-32.0, 32.0, 4.0),
    y_bound=(-24.0, 24.0, 4.0),
)
"""Few enough pixels and cells for a loop, and a grid whose sides differ."""
FINE = dataclasses.replace(find_variant("base"), feature_stride=4, context_channels=1, d_bound=(1.0, 60.0, 0.5))
"""Pixels and depths fine enough that a point is off its ray's sample by less than a cell."""
POINTS = 5
"""Tried in every camera."""


def lifted(config: StudentConfig, batch: int = 1, seed: int = 0) -> Lifted:
    generator = torch.Generator().manual_seed(seed)
    shape = (batch, len(CAMERAS), *config.feature_size)
    return Lifted(
        depth_logits_BNDHW=torch.randn(
            *shape[:2], config.depth_bins, *shape[2:], generator=generator, dtype=torch.float64
        ),
        context_BNHWC=torch.randn(*shape, config.context_channels, generator=generator, dtype=torch.float64),
    )


def indices(config: StudentConfig, *rigs: Rig) -> SplatIndices:
    return splat_indices(
        config, np.stack([rig.intrinsics for rig in rigs]), np.stack([rig.base_T_camera for rig in rigs])
    )


def splat_by_loops(config: StudentConfig, features: Lifted, rig: Rig) -> torch.Tensor:
    """The definition: every (camera, depth, pixel), one by one, projected with the inverse of what a camera does."""
    rows, columns = config.grid.shape
    bev_CXY = torch.zeros(config.context_channels, rows, columns, dtype=torch.float64)
    probability = features.depth_logits_BNDHW[0].softmax(dim=1)
    height, width = config.feature_size
    for camera in range(len(CAMERAS)):
        for i in range(height):
            for j in range(width):
                u = j * config.feature_stride + (config.feature_stride - 1) / 2
                v = i * config.feature_stride + (config.feature_stride - 1) / 2
                for k in range(config.depth_bins):
                    depth = config.d_bound[0] + (k + 0.5) * config.d_bound[2]
                    matrix = rig.intrinsics[camera]
                    y = (v - matrix[1, 2]) / matrix[1, 1] * depth
                    x = (u - matrix[0, 2]) / matrix[0, 0] * depth
                    point = transform_points(rig.base_T_camera[camera], [[x, y, depth]])[0]
                    row, column = np.floor(config.grid.metric_to_cell(point[:2])).astype(int)
                    if config.z_bound[0] <= point[2] < config.z_bound[1] and 0 <= row < rows and 0 <= column < columns:
                        bev_CXY[:, row, column] += (
                            probability[camera, k, i, j] * features.context_BNHWC[0, camera, i, j]
                        )
    return bev_CXY


def test_the_splat_is_the_naive_loop() -> None:
    rig = ring_rig(COARSE.image_size)
    features = lifted(COARSE)
    bev_BCXY = Splat(COARSE)(features, indices(COARSE, rig))
    expected_CXY = splat_by_loops(COARSE, features, rig)
    assert expected_CXY.abs().sum() > 1
    torch.testing.assert_close(bev_BCXY[0], expected_CXY, rtol=1e-12, atol=1e-12)


def test_depth_and_context_of_different_precision_are_splatted() -> None:
    """As a GPU's autocast hands them over: the softmax in float32, the context in bfloat16."""
    single = lifted(COARSE)
    mixed = Lifted(single.depth_logits_BNDHW.float(), single.context_BNHWC.bfloat16())
    where = indices(COARSE, ring_rig(COARSE.image_size))
    bev = Splat(COARSE)(mixed, where)
    assert bev.dtype == torch.bfloat16
    torch.testing.assert_close(bev.double(), Splat(COARSE)(single, where), rtol=0.05, atol=0.05)


def test_frames_of_a_batch_do_not_mix() -> None:
    rigs = [ring_rig(COARSE.image_size), ring_rig(COARSE.image_size, focal=1.3)]
    features = lifted(COARSE, batch=2)
    together = Splat(COARSE)(features, indices(COARSE, *rigs))
    for n, rig in enumerate(rigs):
        alone = Splat(COARSE)(Lifted(*(part[n : n + 1] for part in features)), indices(COARSE, rig))
        torch.testing.assert_close(together[n : n + 1], alone, rtol=0, atol=0)


def test_gradients_reach_depth_and_context() -> None:
    features = Lifted(*(part.requires_grad_() for part in lifted(COARSE)))
    Splat(COARSE)(features, indices(COARSE, ring_rig(COARSE.image_size))).square().sum().backward()
    assert all(part.grad is not None and part.grad.abs().sum() > 0 for part in features)


def test_no_range_starts_past_the_end() -> None:
    # The ring sees nothing in the corners, so the last cells are empty; some runtimes refuse a start == length.
    found = indices(COARSE, ring_rig(COARSE.image_size))
    assert int(found.start_G.max()) < len(found.pixel_P)
    assert found.depth_P[-1] == len(CAMERAS) * COARSE.depth_bins * np.prod(COARSE.feature_size)


def test_permuting_the_cameras_changes_nothing() -> None:
    rig, features = ring_rig(COARSE.image_size), lifted(COARSE)
    straight = Splat(COARSE)(features, indices(COARSE, rig))
    order = [3, 0, 5, 1, 4, 2]
    permuted_rig = Rig(rig.intrinsics[order], rig.base_T_camera[order], rig.image_size)
    permuted = Splat(COARSE)(Lifted(*(part[:, order] for part in features)), indices(COARSE, permuted_rig))
    torch.testing.assert_close(straight, permuted, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("quarter_turns", [1, 2, 3])
def test_turning_the_rig_turns_the_grid(quarter_turns: int) -> None:
    config = dataclasses.replace(COARSE, y_bound=COARSE.x_bound)
    rig, features = ring_rig(config.image_size), lifted(config)
    turn = yaw_transform(quarter_turns * math.pi / 2)
    turned_rig = Rig(rig.intrinsics, turn @ rig.base_T_camera, rig.image_size)
    straight = Splat(config)(features, indices(config, rig))
    turned = Splat(config)(features, indices(config, turned_rig))
    # A turn by +90 degrees takes x to y, rows to columns, as rot90 does.
    torch.testing.assert_close(turned, torch.rot90(straight, quarter_turns, dims=(2, 3)), rtol=1e-9, atol=1e-9)


def test_a_missing_camera_leaves_no_trace() -> None:
    rig, features = ring_rig(COARSE.image_size), lifted(COARSE)
    without = rig.intrinsics.copy()
    without[2] = np.nan
    masked = indices(COARSE, Rig(without, rig.base_T_camera, rig.image_size))
    bev = Splat(COARSE)(features, masked)
    nonsense = Lifted(*(part.clone() for part in features))
    for part in nonsense:
        part[:, 2] = 1e6
    torch.testing.assert_close(Splat(COARSE)(nonsense, masked), bev, rtol=0, atol=0)
    assert not torch.allclose(bev, Splat(COARSE)(features, indices(COARSE, rig)))
    assert torch.isfinite(normalised_intrinsics(torch.from_numpy(without), COARSE.image_size)).all()


def test_no_camera_at_all_gives_an_empty_grid() -> None:
    rig = ring_rig(COARSE.image_size)
    nothing = indices(COARSE, Rig(np.full_like(rig.intrinsics, np.nan), rig.base_T_camera, rig.image_size))
    assert Splat(COARSE)(lifted(COARSE), nothing).abs().max() == 0


def test_rays_and_depths_are_the_inverse_of_projection() -> None:
    rig = ring_rig(COARSE.image_size)
    points = np.moveaxis(pixel_rays(COARSE, rig.intrinsics)[4], 0, -1) * depth_centers(COARSE)[3]
    pixels, depths = project(points.reshape(-1, 3), rig.intrinsics[4])
    assert depths == pytest.approx(2 + 3.5 * 4)
    assert pixels.reshape(2, 4, 2)[1, 2] == pytest.approx([2 * 16 + 7.5, 1 * 16 + 7.5])


def test_a_point_lights_its_cell_in_every_camera_of_the_real_rigs(nuscenes_dataroot: Path) -> None:
    """A dot is drawn where a point on the ground is seen in the full-size image; what the network makes of it is right.

    From the drawn dot on, only the code under test speaks: it scales and cuts the image, finds the dot, lifts it at the
    point's depth, and the grid lights up at the point.
    """
    rigs = nuscenes_rigs(nuscenes_dataroot)
    assert len(rigs) == 3
    random = np.random.default_rng(0)
    for rig in rigs:
        crop = Crop.fit(rig.image_size, FINE.image_size)
        for camera in range(len(CAMERAS)):
            scaled = crop.intrinsics(rig.intrinsics[camera])
            found = splat_indices(FINE, scaled[None, None], rig.base_T_camera[None, None, camera])
            points = visible_points(rig, camera, crop, random)
            assert len(points) >= POINTS, f"{CAMERAS[camera]} sees too little of the ground"
            for point, pixel, depth in points[:POINTS]:
                lit = light(found, depth, *seen_at(pixel, crop))
                expected = np.floor(FINE.grid.metric_to_cell(point[:2]))
                assert np.abs(lit - expected).max() <= 1, (CAMERAS[camera], point, lit, expected)


def visible_points(rig: Rig, camera: int, crop: Crop, random: np.random.Generator) -> list[tuple]:
    """Points 1 m above the ground, up to 50 m away, each with its full-size pixel and its depth."""
    points = np.column_stack([random.uniform(-50, 50, (4000, 2)), np.ones(4000)])
    pixels, depths = project(transform_points(invert(rig.base_T_camera[camera]), points), rig.intrinsics[camera])
    top = crop.corner[1] / crop.scale[1]
    inside = (depths > 3) & (depths < 50) & (pixels[:, 0] > 30) & (pixels[:, 0] < 1570)
    inside &= (pixels[:, 1] > top + 30) & (pixels[:, 1] < 870)
    return list(zip(points[inside], pixels[inside], depths[inside], strict=True))


def seen_at(pixel: np.ndarray, crop: Crop) -> tuple[int, int]:
    """The cell of the features in which a dot at a full-size pixel ends up, from its pixels' centre of mass."""
    height, width = FINE.image_size
    across, down = (
        np.exp(-((np.arange(n) - at) ** 2) / (2 * 5.0**2)) for n, at in zip((1600, 900), pixel, strict=True)
    )
    blob = np.outer(down, across)
    seen = crop.apply(np.repeat((255 * blob).astype(np.uint8)[:, :, None], 3, axis=2))[:, :, 0].astype(float)
    assert seen.shape == (height, width)
    rows, columns = np.mgrid[0:height, 0:width]
    center = (rows * seen).sum() / seen.sum(), (columns * seen).sum() / seen.sum()
    return int((center[0] + 0.5) // FINE.feature_stride), int((center[1] + 0.5) // FINE.feature_stride)


def light(found: SplatIndices, depth: float, row: int, column: int) -> np.ndarray:
    """The cell that lights up when one pixel of one camera shines at one depth."""
    height, width = FINE.feature_size
    logits = torch.zeros(1, 1, FINE.depth_bins, height, width)
    logits[0, 0, int((depth - FINE.d_bound[0]) / FINE.d_bound[2]), row, column] = 50.0
    context = torch.zeros(1, 1, height, width, 1)
    context[0, 0, row, column] = 1.0
    bev_XY = Splat(FINE)(Lifted(logits, context), found)[0, 0]
    assert bev_XY.max() == pytest.approx(1.0, abs=1e-3)
    return np.array(divmod(int(bev_XY.argmax()), bev_XY.shape[1]))
