"""The scale bench: the sizes are those it says, the picture has every axis, and each axis runs."""

from __future__ import annotations

import dataclasses
import math
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest
import torch

from tinybev.bench.made_frame import made_frame, made_ring
from tinybev.bench.made_outputs import outputs_with_agents
from tinybev.bench.scale import Variant, axes, measure
from tinybev.bench.scale_plot import FILE, LABELS, axis_and_size, plot
from tinybev.bench.scale_work import Conclude, Eyes, Look
from tinybev.bench.sizes import parse_image_size, size_text, subjects, with_cells, with_image_size
from tinybev.bench.speed_row import SpeedRow
from tinybev.errors import UserError
from tinybev.model.config import find_variant
from tinybev.runtime.preprocess import Preprocessor

NANO = find_variant("nano")
TINY = dataclasses.replace(with_cells(with_image_size(NANO, (32, 88)), 64), max_agents=50)


def row(variant: str, backend: str, p50_ms: float) -> SpeedRow:
    return SpeedRow("scale", variant, backend, "float32", 1, p50_ms, 2 * p50_ms, None, None, None, 100.0, 3, False)


def test_sizes_change_the_network_and_nothing_else() -> None:
    assert parse_image_size("128x352") == (128, 352)
    larger = with_cells(with_image_size(NANO, (128, 352)), 200)
    assert (larger.image_size, larger.grid.shape) == ((128, 352), (200, 200))
    assert size_text(larger) == "128x352 200x200"
    assert larger.x_bound[:2] == NANO.x_bound[:2]
    assert larger.x_bound[2] == pytest.approx(102.4 / 200)
    assert larger.bev_widths == NANO.bev_widths


@pytest.mark.parametrize("text", ["128", "0x4", "128x352x3", "axb"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="--image-sizes: expected HEIGHTxWIDTH"):
        parse_image_size(text)


def test_every_pair_of_image_size_and_grid_is_a_subject() -> None:
    found = subjects("untrained:nano", ["32x88", "64x176"], [64, 128])
    assert [one.name.removeprefix("tinybev-nano ") for one in found] == [
        "32x88 64x64",
        "32x88 128x128",
        "64x176 64x64",
        "64x176 128x128",
    ]
    assert [one.spec for one in subjects("untrained:nano:3", [], [])] == ["untrained:nano:3"]
    assert found[0].open().config == found[0].config
    with pytest.raises(UserError, match="image_size: expected multiples"):
        subjects("untrained:nano", ["33x88"], [])


def test_a_ring_has_its_cameras_at_equal_angles() -> None:
    ring = list(made_ring(["a", "b", "c", "d"]).values())
    forward = np.array([view.base_T_camera[:3, 2] for view in ring])
    np.testing.assert_allclose(forward[:, :2], [[1, 0], [0, -1], [-1, 0], [0, 1]], atol=1e-12)


def test_six_cameras_are_seen_as_the_runtime_sees_them() -> None:
    ours, theirs = Eyes(NANO, 6).inputs(), Preprocessor(NANO, use_ego_status=False).prepare(made_frame()).inputs
    torch.testing.assert_close(ours.images_BNHW3, theirs.images_BNHW3)
    torch.testing.assert_close(ours.intrinsics_BN4, theirs.intrinsics_BN4)
    for mine, other in zip(ours.splat, theirs.splat, strict=True):
        torch.testing.assert_close(mine, other)


@pytest.mark.parametrize("cameras", [1, 12])
def test_the_student_takes_any_number_of_cameras(cameras: int) -> None:
    outputs = Look(TINY, cameras, "torch", "cpu", threads=1)()()
    assert outputs.depth_logits_BNDHW.shape[1] == cameras  # type: ignore[attr-defined]


def test_an_exported_network_says_that_it_has_six() -> None:
    with pytest.raises(UserError, match="cameras=3: expected a backend of torch, torch-bf16, got 'openvino'"):
        Look(TINY, 3, "openvino", "cpu", threads=1)()


@pytest.mark.parametrize("agents", [0, 7, 80])
def test_as_many_objects_are_found_as_were_made(agents: int) -> None:
    work = Conclude(TINY, agents, threads=1)()
    first, second = work(), work()
    assert len(second.detections) == len(second.trajectories) == agents  # type: ignore[attr-defined]
    ids = first.detections.track_ids  # type: ignore[attr-defined]
    assert len(set(ids.tolist())) == agents
    np.testing.assert_array_equal(second.detections.track_ids, ids)  # type: ignore[attr-defined]
    present = np.unique(second.occupancy.instances[0])  # type: ignore[attr-defined]
    assert len(present[present > 0]) == agents


def test_more_objects_than_the_network_finds_are_refused() -> None:
    with pytest.raises(UserError, match="agents: expected at most 50, got 51"):
        outputs_with_agents(TINY, 51)


def test_every_variant_lies_on_an_axis_of_the_picture() -> None:
    args = Namespace(image_sizes=None, grid_cells=[64, 128], device="cpu")
    names = [[one.name for one in axis.values()] for axis in axes(NANO, args, ["torch", "torch-bf16"], threads=1)]
    assert [axis_and_size(axis[0])[0] for axis in names] == ["cameras", "image", "grid", "agents"]
    assert names[2] == ["grid=64x64", "grid=64x64", "grid=128x128", "grid=128x128"]
    assert axis_and_size("image=256x704") == ("image", math.prod((256, 704)))
    with pytest.raises(UserError, match="expected a variant like cameras=6"):
        axis_and_size("wheels=4")


def test_rows_are_held_against_torch_at_the_same_size() -> None:
    variants = {
        f"cameras=6, {backend}": Variant("cameras=6", backend, Conclude(TINY, agents, threads=1))
        for backend, agents in (("torch", 5), ("torch-bf16", 0))
    }
    rows, absent = measure(variants, rounds=1, threads=1)
    assert not absent
    assert [(one.what, one.variant, one.backend) for one in rows] == [
        ("scale", "cameras=6", "torch"),
        ("scale", "cameras=6", "torch-bf16"),
    ]
    assert rows[0].ratio_to_torch_fp32 == 1.0
    assert rows[1].ratio_to_torch_fp32 == pytest.approx(rows[0].p50_ms / rows[1].p50_ms, rel=0.05)
    assert all(one.peak_memory_mb > 1 for one in rows)


def test_the_picture_is_drawn(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    rows = [row(f"{axis}={size}", "torch", size) for axis in LABELS for size in (4, 1, 2)]
    path = plot(rows, tmp_path / "new", "tinybev-nano")
    assert path == tmp_path / "new" / FILE
    assert path.read_bytes().startswith(b"\x89PNG")
    with pytest.raises(UserError, match="--plot: expected rows to draw"):
        plot([], tmp_path, "tinybev-nano")
