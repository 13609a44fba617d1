"""Batches, the loader's determinism, and the image cache."""

from __future__ import annotations

import os
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_nuscenes import VERSION
from tinybev_training.data.batch import AgentBatch, Batch, collate
from tinybev_training.data.cache import ImageCache
from tinybev_training.data.dataset import NuScenesDataset, open_dataset
from tinybev_training.data.sample import MOTION_STEPS, OCCUPANCY_STEPS, PLAN_STEPS
from tinybev_training.data.training_set import Augmentation, EpochSampler, TrainingSet, make_loader

from tinybev.errors import UserError
from tinybev.geometry import project
from tinybev.types import CAMERAS, MapClass

SIZE = (96, 160)


@pytest.fixture(scope="module")
def dataset(tiny_dataroot: Path) -> NuScenesDataset:
    return open_dataset(tiny_dataroot, VERSION)


def tensors(batch: Batch | AgentBatch) -> dict[str, torch.Tensor]:
    """Every tensor of a batch by name."""
    found = {}
    for field in fields(batch):
        value = getattr(batch, field.name)
        if isinstance(value, AgentBatch):
            found |= tensors(value)
        elif isinstance(value, torch.Tensor):
            found[field.name] = value
    return found


def same(a: Batch, b: Batch) -> bool:
    """Whether two batches are equal to the last bit, NaN included."""
    pairs = zip(tensors(a).items(), tensors(b).items(), strict=True)
    equal = all(n == m and torch.allclose(x, y, rtol=0, atol=0, equal_nan=True) for (n, x), (m, y) in pairs)
    return equal and a.tokens == b.tokens


def test_shapes_types_and_padding(dataset: NuScenesDataset) -> None:
    examples = [TrainingSet(dataset, SIZE)[index] for index in (0, 15)]
    batch = collate(examples)
    assert batch.images_BNCHW.shape == (2, 6, 3, *SIZE)
    assert batch.images_BNCHW.dtype == torch.uint8
    assert batch.intrinsics_BN33.dtype == batch.base_T_camera_BN44.dtype == torch.float32
    assert batch.occupancy_BTXY.shape == (2, OCCUPANCY_STEPS, 200, 200)
    assert batch.map_BCXY.shape == (2, len(MapClass), 200, 200)
    assert batch.plan_BT2.shape == (2, PLAN_STEPS, 2)
    assert batch.agents.futures_BAT2.shape == (2, 3, MOTION_STEPS, 2)
    assert batch.agents.mask_BA.all()
    assert batch.occupancy_mask_BT[1].tolist() == [True] + [False] * 4  # the scene's last keyframe
    assert not batch.plan_mask_BT[1].any()
    assert batch.ego_mask_B.tolist() == [False, True]  # nothing is known before the first keyframe
    assert len(batch) == 2
    sizes = [len(example.sample.lidar_points) for example in examples]
    assert torch.bincount(batch.lidar_sample_P).tolist() == sizes


def test_samples_with_fewer_agents_are_padded(dataset: NuScenesDataset) -> None:
    example = TrainingSet(dataset, SIZE)[0]
    agents = example.sample.agents
    boxes = replace(agents.boxes, **{f.name: getattr(agents.boxes, f.name)[:1] for f in fields(agents.boxes)})
    one = replace(
        agents,
        boxes=replace(boxes, velocities=np.full((1, 2), np.nan, dtype=np.float32)),
        lidar_points=agents.lidar_points[:1],
        visibility=agents.visibility[:1],
        futures=agents.futures[:1],
        futures_valid=agents.futures_valid[:1],
    )
    batch = collate([replace(example, sample=replace(example.sample, agents=one)), example])
    assert batch.agents.mask_BA.tolist() == [[True, False, False], [True, True, True]]
    assert batch.agents.velocity_mask_BA[0].tolist() == [False, False, False]
    assert not batch.agents.velocities_BA2[0].any()
    assert not batch.agents.futures_mask_BAT[0, 1:].any()
    assert torch.equal(batch.agents.centers_BA3[0, 0], batch.agents.centers_BA3[1, 0])


def test_moving_a_batch_keeps_it_whole(dataset: NuScenesDataset) -> None:
    batch = collate([TrainingSet(dataset, SIZE)[0]])
    assert same(batch.to("cpu"), batch)
    assert all(tensor.device.type == "meta" for tensor in tensors(batch.to("meta")).values())


def test_what_is_drawn_depends_on_seed_epoch_and_index_only(dataset: NuScenesDataset) -> None:
    def batches(workers: int, seed: int = 7, epoch: int = 1) -> list[Batch]:
        loader = make_loader(TrainingSet(dataset, SIZE, Augmentation(), seed), 8, workers)
        loader.sampler.set_epoch(epoch)  # type: ignore[attr-defined]
        return list(loader)

    here, elsewhere = batches(0), batches(2)
    assert len(here) == 4
    assert all(same(a, b) for a, b in zip(here, elsewhere, strict=True))
    assert not same(here[0], batches(0, epoch=2)[0])
    assert not same(here[0], batches(0, seed=8)[0])
    examples = TrainingSet(dataset, SIZE, Augmentation(), 7)
    assert same(collate([examples[(1, 5)]]), collate([examples[(1, 5)]]))
    assert not same(collate([examples[(1, 5)]]), collate([examples[(2, 5)]]))


def test_every_sample_comes_once_an_epoch() -> None:
    sampler = EpochSampler(20, seed=3)
    first = list(sampler)
    sampler.set_epoch(1)
    second = list(sampler)
    assert sorted(index for _, index in first) == list(range(20)) == sorted(index for _, index in second)
    assert [index for _, index in first] != [index for _, index in second]
    assert {epoch for epoch, _ in second} == {1}
    assert list(EpochSampler(3, shuffle=False)) == [(0, 0), (0, 1), (0, 2)]


def test_calibration_of_the_batch_projects_the_walker_as_the_tables_do(dataset: NuScenesDataset) -> None:
    """The network's matrices against devkit-style steps through the map: full-size pixel, then scaled and cut."""
    sample = dataset[2]
    batch = collate([TrainingSet(dataset, SIZE)[2]])
    n = CAMERAS.index("CAM_FRONT")
    camera = sample.frame.images["CAM_FRONT"]
    assert camera.map_T_base is not None
    assert sample.frame.map_T_base is not None
    center = sample.agents.boxes.centers[1].astype(np.float64)
    in_map = sample.frame.map_T_base @ np.append(center, 1.0)
    in_camera = np.linalg.inv(camera.map_T_base @ camera.base_T_camera) @ in_map
    u, v = project(in_camera[None, :3], camera.intrinsics)[0][0]
    camera_T_base = torch.linalg.inv(batch.base_T_camera_BN44[0, n].double()).numpy()
    found, depth = project((camera_T_base @ np.append(center, 1.0))[None, :3], batch.intrinsics_BN33[0, n].numpy())
    assert depth[0] > 1
    # 320x180 fills 160x96 by its height: 170.67x96, 5 pixels off the left.
    expected = [(u + 0.5) * 171 / 320 - 0.5 - 5, (v + 0.5) * 96 / 180 - 0.5]
    np.testing.assert_allclose(found[0], expected, atol=1e-2)


def test_cached_images_are_the_decoded_ones_with_their_calibration(tiny_dataroot: Path, tmp_path: Path) -> None:
    cache = ImageCache(tmp_path, (90, 160))
    cached = open_dataset(tiny_dataroot, VERSION, cache=cache)
    plain = open_dataset(tiny_dataroot, VERSION)
    first, again = (TrainingSet(cached, (90, 160))[3] for _ in range(2))
    direct = TrainingSet(plain, (90, 160))[3]
    np.testing.assert_array_equal(first.cameras.images_NHWC, again.cameras.images_NHWC)
    np.testing.assert_array_equal(first.cameras.images_NHWC, direct.cameras.images_NHWC)
    np.testing.assert_allclose(first.cameras.intrinsics_N33, direct.cameras.intrinsics_N33)
    assert len(list(cache.folder.rglob("*.npy"))) == 6
    assert not list(cache.folder.rglob("*.partial"))


def test_cache_is_remade_for_another_size_another_source_and_damage(tiny_dataroot: Path, tmp_path: Path) -> None:
    view = open_dataset(tiny_dataroot, VERSION)[0].frame.images["CAM_FRONT"]
    source = tmp_path / "image.jpg"
    assert isinstance(view.image, bytes)
    source.write_bytes(view.image.ljust(20_000, b"\0"))
    cache = ImageCache(tmp_path / "cache", (90, 160))
    before = cache.frame(view, source).image
    (file,) = cache.folder.rglob("*.npy")
    file.write_bytes(file.read_bytes()[:100])
    np.testing.assert_array_equal(cache.frame(view, source).image, before)
    assert file.stat().st_size > 90 * 160 * 3
    np.save(file, np.zeros((3, 3), dtype=np.uint8))  # whole, but not what belongs there
    np.testing.assert_array_equal(cache.frame(view, source).image, before)
    other = open_dataset(tiny_dataroot, VERSION)[1].frame.images["CAM_BACK"].image
    assert isinstance(other, bytes)
    source.write_bytes(other.ljust(20_000, b"\0"))  # as many bytes: only its time tells that it is another
    os.utime(source, ns=(1, 1))
    assert not np.array_equal(cache.frame(view, source).image, before)
    assert ImageCache(tmp_path / "cache", (45, 80)).folder != cache.folder


def test_a_damaged_image_is_named(tiny_dataroot: Path, tmp_path: Path) -> None:
    view = open_dataset(tiny_dataroot, VERSION)[0].frame.images["CAM_FRONT"]
    assert isinstance(view.image, bytes)
    source = tmp_path / "cut.jpg"
    source.write_bytes(view.image[:-50])
    with pytest.raises(UserError, match=r"cut\.jpg: expected a whole image file"):
        ImageCache(tmp_path, (90, 160)).frame(view, source)
    assert not list(tmp_path.rglob("*.npy"))
    with pytest.raises(UserError, match="name another folder"):
        ImageCache(source / "inside", (90, 160))
