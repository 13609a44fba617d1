"""The BEV memory: moved exactly, empty where nothing is known, and the same frame by frame as in one batch."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from rigs import ring_rig, yaw_transform
from student_inputs import random_images

from tinybev.geometry import BevGrid, invert
from tinybev.model.config import find_variant
from tinybev.model.heads.planning import PlanConditions
from tinybev.model.lift_geometry import splat_indices
from tinybev.model.lift_splat import normalised_intrinsics
from tinybev.model.student import Student, StudentInputs, seeded_student
from tinybev.model.temporal import Memory, TemporalFusion, cell_points, move
from tinybev.runtime.bev_memory import BevMemory, planar

GRID = BevGrid((-8.0, 8.0, 1.0), (-6.0, 6.0, 1.0))
CONFIG = dataclasses.replace(find_variant("nano"), memory_frames=2)
HALF_SECOND_NS = 500_000_000


def moved(feat: torch.Tensor, now_T_past: np.ndarray) -> torch.Tensor:
    past_T_now = torch.from_numpy(planar(invert(now_T_past)))[None]
    return move(feat[None, None], past_T_now, cell_points(GRID), GRID)[0, 0]


def test_standing_still_moves_nothing() -> None:
    feat = torch.randn(GRID.shape, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(moved(feat, np.eye(4)), feat)


def test_driving_forward_moves_the_past_backward() -> None:
    feat = torch.zeros(GRID.shape)
    feat[10, 4] = 1.0  # at x = 2.5 m then; after driving 3 m it is 3 cells nearer
    expected = torch.zeros(GRID.shape)
    expected[7, 4] = 1.0
    torch.testing.assert_close(moved(feat, invert(yaw_transform(0.0, x=3.0))), expected)


def test_the_cells_lie_where_the_network_does_and_in_no_bundle(monkeypatch: pytest.MonkeyPatch) -> None:
    fusion = TemporalFusion(CONFIG)
    assert "cells_3XY" not in fusion.state_dict()
    assert fusion.to("meta").cells_3XY.device.type == "meta"
    fusion, shape = TemporalFusion(CONFIG), (1, 2, CONFIG.bev_widths[0], *CONFIG.head_grid.shape)
    memory = Memory(torch.ones(shape), torch.eye(3).repeat(1, 2, 1, 1), torch.ones(1, 2))

    def never(*_arguments: object, **_keywords: object) -> torch.Tensor:
        raise AssertionError("copied from the host, which a CUDA graph cannot record")

    for name in ("as_tensor", "tensor", "from_numpy"):
        monkeypatch.setattr(torch, name, never)
    assert fusion(torch.ones(shape[0], *shape[2:]), memory).shape == (shape[0], *shape[2:])


def test_half_a_cell_is_shared_by_two() -> None:
    feat = torch.zeros(GRID.shape)
    feat[10, 4] = 1.0
    out = moved(feat, invert(yaw_transform(0.0, x=0.5)))
    assert out[9, 4] == pytest.approx(0.5)
    assert out[10, 4] == pytest.approx(0.5)


def test_turning_left_moves_the_past_to_the_right() -> None:
    feat = torch.zeros(GRID.shape)
    feat[12, 6] = 1.0  # x = 4.5, y = 0.5; seen after a left turn by 90 degrees it is at x = 0.5, y = -4.5
    out = moved(feat, invert(yaw_transform(math.pi / 2)))
    assert out[8, 1] == pytest.approx(1.0)
    assert out.sum() == pytest.approx(1.0)


@settings(max_examples=30)
@given(
    st.floats(-math.pi, math.pi),
    # So near that nothing leaves the grid, beyond whose last centres the edge mixes with what was never seen.
    st.tuples(st.floats(-1.9, 1.9), st.floats(-1.9, 1.9)),
    st.tuples(st.floats(-2.5, 2.5), st.floats(-2.5, 2.5)),
)
def test_a_feature_comes_from_where_the_transform_takes_its_cell(
    yaw: float, moved_by: tuple[float, float], cell: tuple[float, float]
) -> None:
    past_T_now = yaw_transform(yaw, *moved_by)
    cells_3XY = torch.tensor([*cell, 1.0])[:, None, None]
    # The features are their own places, x and y, so that what is sampled says where.
    places = move(cell_points(GRID)[None, :2], torch.from_numpy(planar(past_T_now))[None], cells_3XY, GRID)
    np.testing.assert_allclose(places[0, :, 0, 0], (past_T_now @ [*cell, 0, 1])[:2], atol=1e-5)


def test_half_precision_features_keep_their_places() -> None:
    """As under autocast: a quarter of a metre at the edge would move the feature to the next cell's share."""
    config = find_variant("nano")
    feat = torch.zeros(1, 1, *config.head_grid.shape)
    feat[0, 0, 60, 50] = 1.0
    past_T_now = torch.eye(3)[None]
    past_T_now[0, 0, 2] = 0.4
    cells = cell_points(config.head_grid)
    exact = move(feat, past_T_now, cells, config.head_grid)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = move(feat.bfloat16(), past_T_now, cells, config.head_grid)
    assert half.dtype == torch.bfloat16
    torch.testing.assert_close(half.float(), exact, atol=5e-3, rtol=0)


def test_what_was_never_seen_is_zero() -> None:
    out = moved(torch.ones(GRID.shape), invert(yaw_transform(0.0, x=4.0)))
    assert torch.equal(out[-4:], torch.zeros(4, 12))
    torch.testing.assert_close(out[:-4], torch.ones(12, 12))


def sequence(frames: int) -> tuple[StudentInputs, list[np.ndarray]]:
    """A batch of ``frames`` frames in a row, with poses 1 m and 5 degrees apart."""
    generator = torch.Generator().manual_seed(1)
    rig = ring_rig(CONFIG.image_size)
    intrinsics = np.stack([rig.intrinsics] * frames)
    inputs = StudentInputs(
        images_BNHW3=random_images(frames, 6, CONFIG.image_size, generator),
        intrinsics_BN4=normalised_intrinsics(torch.from_numpy(intrinsics), CONFIG.image_size),
        splat=splat_indices(CONFIG, intrinsics, np.stack([rig.base_T_camera] * frames)),
        conditions=PlanConditions(torch.eye(3)[[2] * frames], torch.zeros(frames, 3), torch.zeros(frames, 4)),
    )
    return inputs, [yaw_transform(math.radians(5.0 * t), x=1.0 * t) for t in range(frames)]


def frame_of(inputs: StudentInputs, t: int) -> StudentInputs:
    rig = ring_rig(CONFIG.image_size)
    return StudentInputs(
        inputs.images_BNHW3[t : t + 1],
        inputs.intrinsics_BN4[t : t + 1],
        splat_indices(CONFIG, rig.intrinsics[None], rig.base_T_camera[None]),
        PlanConditions(*(part[t : t + 1] for part in inputs.conditions)),
    )


def batch_memory(student: Student, inputs: StudentInputs, poses: list[np.ndarray]) -> Memory:
    """What each frame of a sequence remembers, from the features of all frames at once, as training has them."""
    stem, _ = student.look(inputs)
    frames, count = len(poses), CONFIG.memory_frames
    known = torch.tensor([[float(t - m - 1 >= 0) for m in range(count)] for t in range(frames)])
    past = [[max(t - m - 1, 0) for m in range(count)] for t in range(frames)]
    transforms = [[planar(invert(poses[p]) @ poses[t]) for p in row] for t, row in enumerate(past)]
    return Memory(stem[torch.tensor(past)], torch.from_numpy(np.array(transforms)).float(), known)


def test_frame_by_frame_equals_one_batch() -> None:
    student = seeded_student(CONFIG, 0)
    inputs, poses = sequence(4)
    with torch.inference_mode():
        together = student(inputs, batch_memory(student, inputs, poses))
        memory = BevMemory(CONFIG)
        for t, pose in enumerate(poses):
            stamp_ns = t * HALF_SECOND_NS
            alone = student(frame_of(inputs, t), memory.recall(stamp_ns, pose))
            memory.remember(stamp_ns, pose, alone.stem_BCXY)
            for name in ("bev_BCXY", "map_BKXY", "stem_BCXY"):
                torch.testing.assert_close(getattr(alone, name)[0], getattr(together, name)[t], rtol=1e-4, atol=1e-4)
            torch.testing.assert_close(alone.plan.position_BT2[0], together.plan.position_BT2[t], rtol=1e-4, atol=1e-4)


def test_the_memory_matters_and_an_empty_one_is_no_memory() -> None:
    student = seeded_student(CONFIG, 0)
    inputs, poses = sequence(1)
    memory = BevMemory(CONFIG)
    with torch.inference_mode():
        first = student(inputs, memory.recall(0, poses[0]))
        memory.remember(0, poses[0], first.stem_BCXY)
        second = student(inputs, memory.recall(HALF_SECOND_NS, poses[0]))
        memory.clear()
        again = student(inputs, memory.recall(HALF_SECOND_NS, poses[0]))
    assert not torch.allclose(first.bev_BCXY, second.bev_BCXY)
    torch.testing.assert_close(first.bev_BCXY, again.bev_BCXY, rtol=0, atol=0)


def test_the_memory_recalls_by_time_at_any_frame_rate() -> None:
    memory = BevMemory(CONFIG)
    shape = (1, CONFIG.bev_widths[0], *CONFIG.head_grid.shape)
    for n in range(15):  # 12 Hz; each frame's features are its number
        memory.remember(n * 83_000_000, np.eye(4), torch.full(shape, float(n)))
    recalled = memory.recall(15 * 83_000_000, np.eye(4))
    assert recalled.known_BM.tolist() == [[1.0, 1.0]]
    assert recalled.feat_BMCXY[0, :, 0, 0, 0].tolist() == [9.0, 3.0]  # 0.5 s and 1 s before


def test_without_a_pose_nothing_is_remembered() -> None:
    memory = BevMemory(CONFIG)
    stem = torch.ones(1, CONFIG.bev_widths[0], *CONFIG.head_grid.shape)
    memory.remember(0, np.eye(4), stem)
    assert memory.recall(HALF_SECOND_NS, None).known_BM.sum() == 0
    memory.remember(HALF_SECOND_NS // 2, None, stem)
    assert memory.recall(HALF_SECOND_NS, np.eye(4)).known_BM.sum() == 0


def test_a_network_without_memory_refuses_one() -> None:
    inputs, poses = sequence(1)
    memory = BevMemory(CONFIG).recall(0, poses[0])
    with pytest.raises(ValueError, match="0 memory_frames"):
        seeded_student(find_variant("nano"), 0)(inputs, memory)
