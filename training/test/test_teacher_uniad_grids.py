"""UniAD's features, map and occupancy land where they belong in base_link: known places, a loop, random worlds."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
import uniad_results as uniad
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation
from tiny_nuscenes import VERSION
from tinybev_training.data.bev_augmentation import AS_RECORDED, BevAugmentation
from tinybev_training.data.dataset import NuScenesDataset, open_dataset
from tinybev_training.teacher.lidar_frame import resample
from uniad_dumps import EGO_MOTION, NUSCENES_MOUNTING, TURNED, batch_of, dump, read

from tinybev.geometry import Array, BevGrid, invert, transform_points
from tinybev.types import MapClass

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def dataset(tiny_dataroot: Path) -> NuScenesDataset:
    return open_dataset(tiny_dataroot, VERSION)


def to_lidar(points_base: Array) -> Array:
    """Points (N, 3) of base_link as recorded, in the lidar's axes; on the ground plane of the lidar's frame."""
    return transform_points(invert(EGO_MOTION @ NUSCENES_MOUNTING), points_base)


def to_world(world: BevAugmentation, points: Array) -> Array:
    """Points (..., 2) of base_link as recorded, in the augmented base_link."""
    return points @ world.matrix[:2, :2].T


def centroid(values_XY: torch.Tensor, grid: BevGrid) -> Array:
    """The middle of what is in the cells, metres in base_link."""
    x, y = (torch.as_tensor(axis) for axis in grid.cell_centers())
    weight = values_XY.double() / values_XY.sum()
    return np.array([(weight.sum(dim=1) * x).sum(), (weight.sum(dim=0) * y).sum()])


def bev_embed(value_YX: torch.Tensor, channels: int = 1) -> torch.Tensor:
    """A (1, Y, X) feature as ``pick_track`` leaves it."""
    return value_YX.reshape(-1, 1).repeat(1, channels)


@pytest.mark.parametrize("world", [AS_RECORDED, TURNED, BevAugmentation(0.0, True, False)])
def test_a_blob_at_a_known_place_of_base_link_lands_there(
    dataset: NuScenesDataset, tmp_path: Path, world: BevAugmentation
) -> None:
    batch = batch_of(dataset, [world])
    place = np.array([[23.4, 7.9]])
    (x, y, _) = to_lidar(np.array([[23.4, 7.9, 1.84]]))[0]
    assert x < -7  # left of the ego is at negative x
    assert y > 22
    ahead_left = uniad.blob(x, y, uniad.BEV_HALF_M)
    occupied = uniad.blob(x, y, uniad.OCCUPANCY_HALF_M)
    dump(
        tmp_path / "d",
        batch.tokens[0],
        bev_embed=bev_embed(ahead_left),
        occ_score=torch.stack([occupied, *[torch.zeros_like(occupied)] * 4]),
        drivable_score=ahead_left,
    )
    outputs = read(tmp_path / "d", batch)
    assert outputs.bev is not None
    assert outputs.occupancy is not None
    assert outputs.map is not None
    expected = to_world(world, place)[0]
    np.testing.assert_allclose(centroid(outputs.bev.values_BCXY[0, 0], outputs.bev.grid), expected, atol=0.05)
    occupancy = outputs.occupancy.values_BCXY[0, 0]
    rows_columns = np.argwhere((occupancy > 0).numpy())
    middle = outputs.occupancy.grid.cell_to_metric(rows_columns + 0.5).mean(axis=0)
    np.testing.assert_allclose(middle, expected, atol=0.1)
    drivable = outputs.map.values_BCXY[0, MapClass.DRIVABLE]
    middle = outputs.map.grid.cell_to_metric(np.argwhere((drivable > 0).numpy()) + 0.5).mean(axis=0)
    np.testing.assert_allclose(middle, expected, atol=0.1)
    assert outputs.map.mask_BC.tolist() == [[False, False, False, True]]
    assert (outputs.occupancy.values_BCXY[0, 1] < 0).sum() > 30_000


def test_lines_are_around_the_ego_and_the_drivable_area_around_the_lidar(
    dataset: NuScenesDataset, tmp_path: Path
) -> None:
    """UniAD draws its two kinds of map labels in two frames, 0.94 m apart; both come out where they are."""
    batch = batch_of(dataset, [AS_RECORDED])
    place = np.array([12.0, -9.0, 1.84])
    in_sweep = transform_points(invert(EGO_MOTION), place[None])[0]
    x, y, _ = to_lidar(place[None])[0]
    lines = torch.stack([torch.zeros(200, 200), uniad.blob(-in_sweep[1], in_sweep[0], 51.2), torch.zeros(200, 200)])
    dump(tmp_path / "d", batch.tokens[0], lane_score=lines, drivable_score=uniad.blob(x, y, 51.2))
    found = read(tmp_path / "d", batch).map
    assert found is not None
    for map_class in (MapClass.CROSSING, MapClass.DRIVABLE):
        assert found.reach_BXY is not None
        probability = (torch.sigmoid(found.values_BCXY[0, map_class]) - 0.02) * found.reach_BXY[0]
        np.testing.assert_allclose(centroid(probability.clamp(min=0), found.grid), place[:2], atol=0.05)
    assert not (found.values_BCXY[0, [MapClass.DIVIDER, MapClass.BOUNDARY]] > 0).any()
    assert found.mask_BC.all()


@settings(max_examples=25)
@given(
    x=st.floats(-30, 30),
    y=st.floats(-30, 30),
    turn=st.floats(-math.pi, math.pi),
    flip_x=st.booleans(),
    flip_y=st.booleans(),
    yaw=st.floats(-math.pi, math.pi),
    side=st.sampled_from([100, 200]),
)
def test_resampling_moves_a_point_as_the_matrices_do(
    x: float, y: float, turn: float, flip_x: bool, flip_y: bool, yaw: float, side: int
) -> None:
    """Any place, any turned or mirrored world, any mounting, both resolutions."""
    mounting = np.eye(4)
    mounting[:3, :3] = Rotation.from_euler("z", yaw).as_matrix()
    mounting[:3, 3] = [0.94, -0.2, 1.84]
    matrix = BevAugmentation(turn, flip_x, flip_y).matrix @ EGO_MOTION @ mounting
    values = uniad.blob(x, y, 51.2, side, spread_m=1.5)[None, None]
    grid = BevGrid((-50.0, 50.0, 0.4), (-48.0, 48.0, 0.8))
    moved, reach = resample(values, torch.from_numpy(matrix)[None], 51.2, grid)
    expected = (matrix @ [x, y, 0.0, 1.0])[:2]
    assert moved.shape == (1, 1, *grid.shape)
    np.testing.assert_allclose(centroid(moved[0, 0], grid), expected, atol=0.05)
    row, column = np.floor(grid.metric_to_cell(expected)).astype(int)
    assert reach[0, row, column]


def test_resampling_equals_a_loop_over_cells() -> None:
    """Bilinear between cell centres, cell by cell, in plain arithmetic; 0 and out of reach outside."""
    rng = np.random.default_rng(5)
    values = rng.normal(size=(3, 20, 20))
    base_T_lidar = BevAugmentation(0.4, False, True).matrix @ EGO_MOTION @ NUSCENES_MOUNTING
    base_T_lidar[:3, :3] = np.round(base_T_lidar[:3, :3], 12)
    grid = BevGrid((-12.0, 12.0, 1.0), (-8.0, 8.0, 2.0))
    found, reach = resample(torch.from_numpy(values)[None], torch.from_numpy(base_T_lidar)[None], 10.0, grid)
    flat = np.eye(3)
    flat[:2, :2], flat[:2, 2] = base_T_lidar[:2, :2], base_T_lidar[:2, 3]
    for row, x in enumerate(grid.cell_centers()[0]):
        for column, y in enumerate(grid.cell_centers()[1]):
            lidar_x, lidar_y, _ = np.linalg.inv(flat) @ [x, y, 1.0]
            inside = max(abs(lidar_x), abs(lidar_y)) <= 10.0
            assert reach[0, row, column] == inside
            expected = np.zeros(3)
            if inside:
                i, j = (np.clip(lidar_y + 10.0 - 0.5, 0, 19), np.clip(lidar_x + 10.0 - 0.5, 0, 19))
                i0, j0 = min(int(i), 18), min(int(j), 18)
                a, b = i - i0, j - j0
                expected = (
                    (1 - a) * (1 - b) * values[:, i0, j0]
                    + (1 - a) * b * values[:, i0, j0 + 1]
                    + a * (1 - b) * values[:, i0 + 1, j0]
                    + a * b * values[:, i0 + 1, j0 + 1]
                )
            np.testing.assert_allclose(found[0, :, row, column], expected, atol=1e-9)
    assert 0.3 < reach.float().mean() < 1


def test_far_corners_are_out_of_reach_once_the_world_is_turned(dataset: NuScenesDataset, tmp_path: Path) -> None:
    batch = batch_of(dataset, [BevAugmentation(math.pi / 4)])
    dump(tmp_path / "d", batch.tokens[0], bev_embed=torch.ones(200 * 200, 2))
    bev = read(tmp_path / "d", batch).bev
    assert bev is not None
    assert bev.reach_BXY is not None
    assert not bev.reach_BXY[0, [0, 0, -1, -1], [0, -1, 0, -1]].any()
    assert bev.reach_BXY[0, 50:150, 50:150].all()
    assert torch.equal((bev.values_BCXY[0, 0] - 1).abs() < 1e-5, bev.reach_BXY[0])
    assert torch.equal(bev.values_BCXY[0, 1] == 0, ~bev.reach_BXY[0])
