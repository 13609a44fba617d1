"""What UniAD's decoder sees below the score from which on UniAD tracks is taught too, and nothing besides."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
import torch
import uniad_results as uniad
from made_batch import SMALL
from tiny_nuscenes import VERSION
from tinybev_training.data.bev_augmentation import AS_RECORDED, BevAugmentation
from tinybev_training.data.dataset import NuScenesDataset, open_dataset
from tinybev_training.distill.taught import TaughtGrid, bring_home
from tinybev_training.teacher.uniad_dump import UniadDumps
from uniad_dumps import CAR, EGO_MOTION, FACTS, NUSCENES_MOUNTING, TURNED, WALKER, batch_of, dumper, read

from tinybev.errors import UserError
from tinybev.geometry import transform_points

torch.set_num_threads(1)

ROOM = dataclasses.replace(SMALL, x_bound=(-40.0, 40.0, 0.5), y_bound=(-40.0, 40.0, 0.5))
HOW = ("width-length", "counterclockwise")
UNSURE, UNLIKELY = 0.2, 0.04
"""Of the pedestrian: UniAD does not track it; not even its decoder thinks that it is there."""


@pytest.fixture(scope="module")
def dataset(tiny_dataroot: Path) -> NuScenesDataset:
    return open_dataset(tiny_dataroot, VERSION)


def queries(chances: tuple[float, float]) -> dict[str, torch.Tensor]:
    """The decoder's: a car and a pedestrian with the given chances, and many that mean nothing."""
    probability = torch.full((2, 10), 1e-3)
    probability[0, 0], probability[1, 8] = chances
    result = uniad.decoder_result([CAR, WALKER], probability, *HOW, torch.Generator().manual_seed(1))
    logits = result["all_cls_scores"][-1, 0]
    meaningless = torch.ones(len(logits), dtype=torch.bool)
    meaningless[[7, 18]] = False
    logits[meaningless] = logits[meaningless].clamp(max=math.log(UNLIKELY / (1 - UNLIKELY)))
    return dumper.pick_queries(result)


def tracks(*objects: uniad.LidarObject) -> dict[str, torch.Tensor]:
    found = dumper.pick_track(uniad.track_result(list(objects), torch.zeros(1, 4, 4), *HOW)[0])
    del found["bev_embed"]
    return found


def heatmap_of(
    dataset: NuScenesDataset, folder: Path, world: BevAugmentation, *samples: dict[str, torch.Tensor]
) -> TaughtGrid | None:
    """What the samples teach, each dumped from its tensors."""
    batch = dataclasses.replace(batch_of(dataset, [world] * len(samples)), tokens=tuple("abc"[: len(samples)]))
    folder.mkdir()
    for token, tensors in zip(batch.tokens, samples, strict=True):
        dumper.write_dump(folder, token, tensors, {**FACTS, "size_order": HOW[0]})
    return bring_home(read(folder, batch), ROOM).heatmap


def cell_of(thing: uniad.LidarObject, world: BevAugmentation) -> tuple[int, int]:
    place = transform_points(world.matrix @ EGO_MOTION @ NUSCENES_MOUNTING, np.array([thing.center]))[0, :2]
    row, column = np.floor(ROOM.head_grid.metric_to_cell(place)).astype(int)
    return int(row), int(column)


@pytest.mark.parametrize("world", [AS_RECORDED, TURNED])
def test_an_object_below_the_tracking_score_is_taught_as_likely_as_the_decoder_says(
    dataset: NuScenesDataset, tmp_path: Path, world: BevAugmentation
) -> None:
    heatmap = heatmap_of(dataset, tmp_path / "d", world, {**tracks(CAR), **queries((0.7, UNSURE))})
    assert heatmap is not None
    probability = heatmap.probability_BCXY[0]
    assert probability[0][cell_of(CAR, world)].item() == pytest.approx(0.7, abs=1e-3)
    assert probability[8][cell_of(WALKER, world)].item() == pytest.approx(UNSURE, abs=1e-3)
    assert heatmap.known_BCXY.all()
    assert probability[8].sum() < 2, "it is drawn as wide as a pedestrian, and nothing else is"
    assert probability[[1, 2, 3, 4, 5, 6, 7, 9]].max() < 2e-3


def test_a_sample_without_a_track_is_as_empty_as_its_queries_say(dataset: NuScenesDataset, tmp_path: Path) -> None:
    """Two samples that nothing is tracked of, and one whose queries are not in the dump."""
    samples = ({**tracks(), **queries((0.3, UNSURE))}, {**tracks(), **queries((0.03, UNLIKELY))}, tracks(CAR))
    heatmap = heatmap_of(dataset, tmp_path / "d", AS_RECORDED, *samples)
    assert heatmap is not None
    assert heatmap.probability_BCXY[0, 0][cell_of(CAR, AS_RECORDED)].item() == pytest.approx(0.3, abs=1e-3)
    assert heatmap.probability_BCXY[1].max() < 1e-3
    assert [bool(known.any()) for known in heatmap.known_BCXY] == [True, True, False]
    assert heatmap_of(dataset, tmp_path / "unsaid", AS_RECORDED, tracks(CAR)) is None


def test_queries_that_do_not_fit_each_other_are_refused(tmp_path: Path) -> None:
    tensors = {"query_logits": torch.zeros(4, 10), "query_boxes": torch.zeros(3, 10)}
    tmp_path.joinpath("d").mkdir()
    dumper.write_dump(tmp_path / "d", "a", tensors, FACTS)
    with pytest.raises(UserError, match="4 rows of query_boxes beside 4 query_logits"):
        UniadDumps(tmp_path / "d", ["a"])
