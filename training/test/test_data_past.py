"""Earlier keyframes of a sample: the right ones, in the same augmented world, and only where they are asked for."""

from __future__ import annotations

import math
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_data_loading import same
from tiny_nuscenes import SCENES, VERSION
from tinybev_training.data.batch import PastInputs, collate
from tinybev_training.data.bev_augmentation import BevAugmentation
from tinybev_training.data.camera_inputs import camera_inputs
from tinybev_training.data.dataset import NuScenesDataset, open_dataset
from tinybev_training.data.training_set import Augmentation, TrainingSet, make_loader

torch.set_num_threads(1)
SIZE = (48, 80)
PARKED_CAR, CONE = 0, 2
"""Rows of the objects that stand still; between them is the walker."""


@pytest.fixture(scope="module")
def dataset(tiny_dataroot: Path) -> NuScenesDataset:
    return open_dataset(tiny_dataroot, VERSION)


def tensors(past: PastInputs) -> dict[str, torch.Tensor]:
    return {field.name: getattr(past, field.name) for field in fields(past)}


def test_the_past_is_the_keyframes_before(dataset: NuScenesDataset) -> None:
    """Newest first, each as it would be as a sample of its own."""
    batch = collate([TrainingSet(dataset, SIZE, past_frames=2)[index] for index in (5, 7)])
    assert len(batch.previous) == 2
    for steps, past in enumerate(batch.previous, start=1):
        alone = collate([TrainingSet(dataset, SIZE)[index - steps] for index in (5, 7)])
        assert past.known_B.all()
        for name in (
            "images_BNCHW",
            "camera_mask_BN",
            "intrinsics_BN33",
            "base_T_camera_BN44",
            "lidar_P5",
            "lidar_sample_P",
        ):
            torch.testing.assert_close(getattr(past, name), getattr(alone, name), equal_nan=True)


@settings(max_examples=30)
@given(
    index=st.integers(2, 15),
    steps=st.integers(1, 2),
    turn=st.floats(-math.pi, math.pi),
    flip_x=st.booleans(),
    flip_y=st.booleans(),
)
def test_what_stands_still_is_found_in_the_past_by_the_egos_way(
    dataset: NuScenesDataset, index: int, steps: int, turn: float, flip_x: bool, flip_y: bool
) -> None:
    """In any turned or mirrored world a standing object's place now, moved by ``past_T_now``, is its place then; and
    the cameras then are those of the sample then in the same world."""
    world = BevAugmentation(turn, flip_x, flip_y)

    class OneWorld:
        """The dataset in one world."""

        def __len__(self) -> int:
            return len(dataset)

        def sample(self, number: int, _augmentation: BevAugmentation):  # type: ignore[no-untyped-def]
            return dataset.sample(number, world)

        def past(self, number: int, count: int, _augmentation: BevAugmentation):  # type: ignore[no-untyped-def]
            return dataset.past(number, count, world)

    batch = collate([TrainingSet(OneWorld(), SIZE, past_frames=2)[index]])
    then = dataset.sample(index - steps, world)
    past = batch.previous[steps - 1]
    for row in (PARKED_CAR, CONE):
        now = np.append(batch.agents.centers_BA3[0, row, :2].double().numpy(), 1.0)
        moved = past.past_T_now_B33[0].double().numpy() @ now
        np.testing.assert_allclose(moved[:2], then.agents.boxes.centers[row, :2], atol=1e-3)
    mountings = camera_inputs(then.frame, SIZE).base_T_camera_N44
    np.testing.assert_allclose(past.base_T_camera_BN44[0], mountings, atol=1e-5)
    np.testing.assert_allclose(past.lidar_P5, then.lidar_points, atol=1e-4)
    walker = np.append(batch.agents.centers_BA3[0, 1, :2].double().numpy(), 1.0)
    moved = past.past_T_now_B33[0].double().numpy() @ walker
    assert np.linalg.norm(moved[:2] - then.agents.boxes.centers[1, :2]) > 0.4 * steps  # it has walked meanwhile


def test_a_scene_starts_without_a_past(dataset: NuScenesDataset) -> None:
    first_of_second = next(n for n, where in enumerate(dataset.keyframes) if where.scene.name == SCENES[1])
    batch = collate([TrainingSet(dataset, SIZE, past_frames=2)[index] for index in (0, first_of_second, 1)])
    newest, oldest = batch.previous
    assert newest.known_B.tolist() == [False, False, True]
    assert oldest.known_B.tolist() == [False, False, False]
    assert not newest.camera_mask_BN[:2].any()
    assert not newest.images_BNCHW[:2].any()
    assert newest.intrinsics_BN33[:2].isnan().all()
    assert torch.equal(newest.base_T_camera_BN44[0, 0], torch.eye(4))
    assert torch.equal(newest.past_T_now_B33[1], torch.eye(3))
    assert newest.lidar_sample_P.unique().tolist() == [2]
    assert len(oldest.lidar_P5) == 0


def test_a_gap_is_a_gap_and_not_an_older_keyframe(dataset: NuScenesDataset) -> None:
    """As in the runtime's memory: the frame nearest to each half second ago, none where it is more than 0.25 s off."""
    gap = replace(dataset, keyframes=tuple(where for n, where in enumerate(dataset.keyframes) if n != 4))
    known = [past is not None for past in gap.past(4, 3)]  # keyframe 5, and 4 is gone
    assert known == [False, True, True]
    assert gap.past(4, 3)[1].frame.stamp_ns == dataset.surroundings(3).frame.stamp_ns  # type: ignore[union-attr]


def test_a_sample_looks_the_same_with_and_without_its_past(dataset: NuScenesDataset) -> None:
    with_past = TrainingSet(dataset, SIZE, Augmentation(), seed=4, past_frames=1)
    without = TrainingSet(dataset, SIZE, Augmentation(), seed=4)
    a, b = (collate([chosen[(2, index)] for index in (3, 6)]) for chosen in (with_past, without))
    assert same(replace(a, previous=()), b)
    assert b.previous == ()


def test_what_is_drawn_for_the_past_does_not_depend_on_workers(dataset: NuScenesDataset) -> None:
    def previous(workers: int) -> list[dict[str, torch.Tensor]]:
        training_set = TrainingSet(dataset, SIZE, Augmentation(), seed=9, past_frames=1)
        return [tensors(batch.previous[0]) for batch in make_loader(training_set, 8, workers)]

    for here, elsewhere in zip(previous(0), previous(2), strict=True):
        assert all(torch.allclose(here[name], elsewhere[name], rtol=0, atol=0, equal_nan=True) for name in here)


def test_the_past_moves_with_its_batch(dataset: NuScenesDataset) -> None:
    batch = collate([TrainingSet(dataset, SIZE, past_frames=1)[3]])
    assert all(tensor.device.type == "meta" for tensor in tensors(batch.to("meta").previous[0]).values())


def test_where_the_lidar_was_is_carried_into_the_augmented_world(dataset: NuScenesDataset) -> None:
    """Points of the sweep as the file has them, moved by the batch's own poses, are the batch's points."""
    world = BevAugmentation(0.4, True, False)
    sample = dataset.sample(4, world)
    recorded = dataset.keyframes[4].keyframe.lidar
    raw = np.fromfile(recorded.path, dtype=np.float32).reshape(-1, 5)[:, :3].astype(np.float64)
    assert sample.sweep is not None
    moved = sample.sweep.base_T_sweep @ sample.sweep.sweep_T_lidar @ np.column_stack([raw, np.ones(len(raw))]).T
    np.testing.assert_allclose(moved[:3].T, sample.lidar_points[:, :3], atol=1e-4)
    np.testing.assert_allclose(sample.augmented_T_base, world.matrix)
    np.testing.assert_array_equal(dataset[4].augmented_T_base, np.eye(4))
