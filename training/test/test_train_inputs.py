"""What training shows the network is what the vehicle shows it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from rigs import ring_rig
from tiny_nuscenes import VERSION
from tinybev_training.data.batch import Batch, collate
from tinybev_training.data.dataset import NuScenesDataset, open_dataset
from tinybev_training.data.targets import TargetGrids
from tinybev_training.data.training_set import TrainingSet
from tinybev_training.train.inputs import Told, inputs_of_views, plan_conditions
from tinybev_training.train.network import StudentNetwork
from tinybev_training.train.recipe import Telling
from tinybev_training.train.splat_on_device import splat_indices_on_device
from train_runs import MICRO

from tinybev.model.config import StudentConfig, find_variant
from tinybev.model.lift_geometry import SplatIndices, splat_indices
from tinybev.model.student import seeded_student
from tinybev.runtime.bev_memory import BevMemory
from tinybev.runtime.preprocess import Preprocessor
from tinybev.types import Command


@pytest.fixture(scope="module")
def dataset(tiny_dataroot: Path) -> NuScenesDataset:
    return open_dataset(tiny_dataroot, VERSION, grids=_grids(MICRO))


def _grids(config: StudentConfig) -> TargetGrids:
    return TargetGrids(map=config.grid, occupancy=config.grid)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize("ego_status", [False, True])
@pytest.mark.parametrize("index", [0, 3, 20])
def test_training_and_vehicle_make_the_same_inputs_of_a_sample(
    dataset: NuScenesDataset, index: int, ego_status: bool
) -> None:
    """Sample 0 has no ego status yet; the geometry differs by the float32 of a batch, at the cells' edges only."""
    frame = dataset[index].frame
    images = dict(frame.images)
    if index == 3:
        del images["CAM_BACK"]
    there = Preprocessor(MICRO, ego_status).prepare(dataclasses.replace(frame, images=images)).inputs

    batch = collate([TrainingSet(_without_camera(dataset, index == 3), MICRO.image_size)[index]])
    told = Told.everything(batch, ego_status)
    here = inputs_of_views(batch, MICRO, plan_conditions(batch, told))
    assert torch.equal(here.images_BNHW3, there.images_BNHW3)
    torch.testing.assert_close(here.intrinsics_BN4, there.intrinsics_BN4)
    for ours, theirs in zip(here.conditions, there.conditions, strict=True):
        torch.testing.assert_close(ours, theirs)
    assert bool(here.conditions.ego_B4.any()) == (ego_status and index > 0)
    lifted_here, lifted_there = (_pairs(inputs.splat) for inputs in (here, there))
    assert len(lifted_here ^ lifted_there) < 1e-3 * len(lifted_there)
    assert len(lifted_there) > 1000


def _without_camera(dataset: NuScenesDataset, really: bool) -> NuScenesDataset:
    if not really:
        return dataset
    keyframes = [
        dataclasses.replace(where, cameras=tuple(c for c in where.cameras if c.camera != "CAM_BACK"))
        for where in dataset.keyframes
    ]
    return dataclasses.replace(dataset, keyframes=tuple(keyframes))


def _pairs(splat: SplatIndices) -> set[tuple[int, int]]:
    """Which depth of which pixel goes into which cell."""
    counts = torch.diff(splat.start_G, append=torch.tensor([len(splat.depth_P) - 1]))
    cells = torch.repeat_interleave(torch.arange(len(counts)), counts)
    return set(zip(splat.depth_P[:-1].tolist(), cells.tolist(), strict=True))


@pytest.mark.parametrize("name", ["nano", "base"])
def test_indices_on_the_device_are_those_of_the_runtime(name: str) -> None:
    """Random mountings and general intrinsics, as augmentation makes them; a missing camera; two frames."""
    config, rng = find_variant(name), np.random.default_rng(0)
    rig = ring_rig(config.image_size)
    intrinsics = np.stack([rig.intrinsics, rig.intrinsics])
    mountings = np.stack([rig.base_T_camera, rig.base_T_camera])
    intrinsics[:, :, :2] += rng.normal(0, 3, intrinsics[:, :, :2].shape)
    mountings[:, :, :3, 3] += rng.normal(0, 0.5, mountings[:, :, :3, 3].shape)
    intrinsics[1, 2] = np.nan
    runtime = splat_indices(config, intrinsics, mountings)
    here = splat_indices_on_device(config, torch.from_numpy(intrinsics), torch.from_numpy(mountings))
    for ours, theirs in zip(here, runtime, strict=True):
        assert ours.dtype == theirs.dtype
        assert torch.equal(ours, theirs)


def test_indices_of_no_camera_at_all_are_empty() -> None:
    intrinsics, mountings = np.full((1, 6, 3, 3), np.nan), np.tile(np.eye(4), (1, 6, 1, 1))
    here = splat_indices_on_device(MICRO, torch.from_numpy(intrinsics), torch.from_numpy(mountings))
    for ours, theirs in zip(here, splat_indices(MICRO, intrinsics, mountings), strict=True):
        assert torch.equal(ours, theirs)


def test_a_memory_in_training_is_the_memory_that_the_vehicle_keeps(tiny_dataroot: Path) -> None:
    """Frames fed one at a time through the runtime's memory, against the earlier keyframes of a batch."""
    config = dataclasses.replace(MICRO, memory_frames=2)
    student = seeded_student(config, 0)
    source = open_dataset(tiny_dataroot, VERSION, grids=_grids(config))
    preprocessor, memory = Preprocessor(config, use_ego_status=False), BevMemory(config)
    batch = collate([TrainingSet(source, config.image_size, past_frames=2)[2]])
    with torch.no_grad():
        for index in range(3):
            frame = source[index].frame
            outputs = student(preprocessor.prepare(frame).inputs, memory.recall(frame.stamp_ns, frame.map_T_base))
            memory.remember(frame.stamp_ns, frame.map_T_base, outputs.stem_BCXY)
        here = StudentNetwork(student)(batch, Told.everything(batch, ego_status=False))
    torch.testing.assert_close(here.bev_BCXY, outputs.bev_BCXY, atol=0.05, rtol=0.05)
    assert (here.bev_BCXY - outputs.bev_BCXY).abs().mean() < 1e-3 * outputs.bev_BCXY.abs().mean()


def batch_of(dataset: NuScenesDataset, count: int) -> Batch:
    training_set = TrainingSet(dataset, MICRO.image_size)
    return collate([training_set[index] for index in range(1, 1 + count)])


def test_withheld_conditions_are_zeros_and_told_ones_the_values(dataset: NuScenesDataset) -> None:
    batch = batch_of(dataset, 2)
    yes_no, no_yes = torch.tensor([True, False]), torch.tensor([False, True])
    conditions = plan_conditions(batch, Told(yes_no, no_yes, yes_no))
    assert conditions.command_B3.tolist() == [[float(batch.command_B[0] == one) for one in Command], [0.0] * 3]
    torch.testing.assert_close(conditions.goal_B3[1, :2], batch.goal_B2[1] / 50.0)
    assert (conditions.goal_B3[0].tolist(), conditions.goal_B3[1, 2].item()) == ([0.0] * 3, 1.0)
    torch.testing.assert_close(conditions.ego_B4[0, :3], batch.ego_B3[0] / torch.tensor([10.0, 1.0, 1.0]))
    assert (conditions.ego_B4[0, 3].item(), conditions.ego_B4[1].tolist()) == (1.0, [0.0] * 4)
    nothing = plan_conditions(batch, Told.nothing(batch))
    assert not any(bool(part.any()) for part in nothing)


def test_a_draw_depends_on_seed_step_and_row_alone_and_comes_as_often_as_asked() -> None:
    telling = Telling(command_dropout=0.25, goal_dropout=0.5, ego_status=True, ego_status_dropout=0.75)
    whole = Told.draw(telling, 1, 7, 4000, list(range(4000)))
    some = Told.draw(telling, 1, 7, 4000, [5, 4, 3999])
    for all_rows, rows in zip(vars(whole).values(), vars(some).values(), strict=True):
        assert rows.tolist() == [all_rows[5].item(), all_rows[4].item(), all_rows[3999].item()]
    shares = [told.float().mean().item() for told in vars(whole).values()]
    assert shares == pytest.approx([0.75, 0.5, 0.25], abs=0.03)
    other = Told.draw(telling, 1, 8, 4000, list(range(4000)))
    assert not torch.equal(other.command_B, whole.command_B)
    assert not Told.draw(Telling(), 1, 7, 4000, list(range(4000))).ego_B.any()
