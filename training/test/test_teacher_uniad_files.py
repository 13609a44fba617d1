"""Dumps that are absent, incomplete, damaged or of another network."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import uniad_results as uniad
from safetensors.torch import save_file
from tiny_nuscenes import VERSION
from tinybev_training.data.bev_augmentation import AS_RECORDED
from tinybev_training.data.dataset import NuScenesDataset, open_dataset
from tinybev_training.teacher.uniad_dump import UniadDumps
from uniad_dumps import FACTS, batch_of, dump, dumper

from tinybev.errors import UserError

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def dataset(tiny_dataroot: Path) -> NuScenesDataset:
    return open_dataset(tiny_dataroot, VERSION)


def test_samples_without_a_dump_or_without_a_head_are_masked(dataset: NuScenesDataset, tmp_path: Path) -> None:
    batch = replace(batch_of(dataset, [AS_RECORDED] * 3), tokens=("a", "b", "c"))
    dump(tmp_path / "d", "a", bev_embed=torch.ones(16, 3), sdc_traj=torch.ones(6, 2))
    nothing_tracked = dumper.pick_track(uniad.track_result([], torch.zeros(1, 4, 4), "length-width", "second")[0])
    del nothing_tracked["bev_embed"]
    dump(tmp_path / "d", "c", sdc_traj=torch.ones(6, 2), **nothing_tracked)
    teacher = UniadDumps(tmp_path / "d", ["a", "b", "c", "d"])
    assert len(teacher.files.absent) == 2
    assert teacher.bev_channels == 3
    outputs = teacher(batch)
    assert outputs.bev is not None
    assert outputs.bev.mask_BC.tolist() == [[True] * 3, [False] * 3, [False] * 3]
    assert not outputs.bev.values_BCXY[1:].any()
    assert outputs.plan is not None
    assert outputs.plan.mask_B.tolist() == [True, False, True]
    assert outputs.map is outputs.occupancy is outputs.heatmap is None
    assert outputs.agents is not None
    assert outputs.agents.known_B is not None
    assert outputs.agents.known_B.tolist() == [False, False, True]  # it found nothing in c; of a it does not speak
    assert outputs.agents.mask_BA.shape == (3, 0)
    unplaced = teacher(replace(batch, sweep_mask_B=torch.tensor([False, True, True])))
    assert unplaced.bev is None
    assert unplaced.plan is not None
    assert unplaced.plan.mask_B.tolist() == [False, False, True]


def test_features_of_another_network_are_refused(dataset: NuScenesDataset, tmp_path: Path) -> None:
    batch = replace(batch_of(dataset, [AS_RECORDED]), tokens=("b",))
    dump(tmp_path / "d", "a", bev_embed=torch.ones(16, 3))
    dump(tmp_path / "d", "b", bev_embed=torch.ones(16, 4))
    with pytest.raises(UserError, match=r"3 channels of features .* got 4"):
        UniadDumps(tmp_path / "d", ["a", "b"])(batch)


def test_not_one_dump_is_one_clear_error(tmp_path: Path) -> None:
    dump(tmp_path / "d", "another", sdc_traj=torch.ones(6, 2))
    with pytest.raises(
        UserError, match=r"dumps of some of the 2 samples .* none is there \(1 files of other samples\)"
    ):
        UniadDumps(tmp_path / "d", ["a", "b"])


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"bev_embed": torch.zeros(17, 3)}, "expected bev_embed of a square grid"),
        ({"bev_embed": torch.zeros(16, 1, 3)}, r"shape \(any, any\) for bev_embed .* got \(16, 1, 3\)"),
        ({"lane_score": torch.zeros(4, 8, 8)}, r"shape \(3, any, any\) for lane_score"),
        ({"sdc_traj": torch.full((6, 2), math.nan)}, "finite numbers"),
        (
            {"track_boxes": torch.ones(2, 9), "track_labels": torch.zeros(3), "track_scores": torch.ones(2)},
            "2 rows of track_l",
        ),
    ],
)
def test_dumps_of_another_shape_are_refused(
    dataset: NuScenesDataset, tmp_path: Path, tensors: dict[str, torch.Tensor], message: str
) -> None:
    dump(tmp_path / "d", "token", **tensors)
    with pytest.raises(UserError, match=message):
        UniadDumps(tmp_path / "d", ["token"])


def test_damaged_and_foreign_files_are_refused(tmp_path: Path) -> None:
    dump(tmp_path / "d", "token", sdc_traj=torch.ones(6, 2))
    file = tmp_path / "d" / "token.safetensors"
    whole = file.read_bytes()
    file.write_bytes(whole[:-7])
    with pytest.raises(UserError, match=r"a whole safetensors file in .*token"):
        UniadDumps(tmp_path / "d", ["token"])
    save_file({"sdc_traj": torch.ones(6, 2)}, file)
    with pytest.raises(UserError, match=r"a dump of format uniad-dump-1 .* got None"):
        UniadDumps(tmp_path / "d", ["token"])
    tracks = {"track_boxes": torch.ones(1, 9), "track_labels": torch.zeros(1), "track_scores": torch.ones(1)}
    save_file(tracks, file, metadata={**FACTS, "format": "uniad-dump-1", "size_order": "hwl"})
    with pytest.raises(UserError, match="expected size_order to be length-width or width-length"):
        UniadDumps(tmp_path / "d", ["token"])
