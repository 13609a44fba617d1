"""What the student's targets are, cell by cell, and that nothing masked gets into them."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from made_batch import CAR, PEDESTRIAN, SMALL, STREET, MadeAgent, MadeSample, made_batch, perfect_outputs
from tinybev_training.losses.boxes import grid_places
from tinybev_training.losses.heatmap import center_radius, draw_heatmap
from tinybev_training.losses.targets import AgentFilter, student_targets

from tinybev.errors import UserError
from tinybev.model.heads.peaks import PeakFinder
from tinybev.runtime.decode.detection import decode_detections
from tinybev.runtime.decode.motion import decode_motion
from tinybev.runtime.decode.occupancy import decode_occupancy
from tinybev.types import DETECTION_CLASSES


def test_agents_lie_in_the_cells_of_the_heads_grid() -> None:
    targets = student_targets(made_batch(STREET), SMALL)
    # 2 m cells from (-16, -12): (5.3, 3.2) is (10.65, 7.6), (-6.4, -5.1) is (4.8, 3.45), (10.2, -3.6) is (13.1, 4.2)
    assert targets.agents.cell_BA.tolist() == [[10 * 12 + 7, 4 * 12 + 3, 13 * 12 + 4]]
    assert targets.agents.class_BA.tolist() == [[0, 1, 8]]
    assert targets.agents.score_BA.tolist() == [[1.0, 1.0, 1.0]]
    box = targets.boxes_BAC[0, 0]
    assert box.tolist() == pytest.approx(
        [0.65, 0.6, 0.7, math.log(4), math.log(2), math.log(1.5), math.sin(0.4), math.cos(0.4), 2, -1], abs=1e-5
    )
    assert targets.known_BAC[0].sum(dim=1).tolist() == [10, 10, 8], "a pedestrian of unknown velocity"


@pytest.mark.parametrize(
    ("agent", "counts"),
    [
        (MadeAgent(0.0, 0.0), True),
        (MadeAgent(-16.0, -12.0), True),
        (MadeAgent(24.0, 0.0), False),
        (MadeAgent(0.0, 12.0), False),
        (MadeAgent(-16.1, 0.0), False),
        (MadeAgent(0.0, 0.0, lidar_points=0), False),
        (MadeAgent(0.0, 0.0, lidar_points=-1), True),
        (MadeAgent(0.0, 0.0, visibility=0), True),
        (MadeAgent(0.0, 0.0, visibility=1), True),
    ],
)
def test_which_agents_count(agent: MadeAgent, counts: bool) -> None:
    targets = student_targets(made_batch(MadeSample((agent,))), SMALL)
    assert targets.counted_BA.tolist() == [[counts]]
    assert targets.heatmap_BKXY.max().item() == float(counts)
    assert targets.known_BAC.any().item() == counts
    assert targets.futures_mask_BAT.any().item() == counts
    assert (targets.attributes_BA[0, 0] >= 0).item() == counts
    assert targets.agents.score_BA.item() == float(counts)


def test_the_filter_is_the_callers_choice() -> None:
    batch = made_batch(MadeSample((MadeAgent(0, 0, lidar_points=2, visibility=1), MadeAgent(4, 0, lidar_points=9))))
    assert student_targets(batch, SMALL, AgentFilter(min_lidar_points=3)).counted_BA.tolist() == [[False, True]]
    assert student_targets(batch, SMALL, AgentFilter(min_visibility=2)).counted_BA.tolist() == [[False, True]]


def test_of_two_agents_in_one_cell_the_first_of_a_class_counts() -> None:
    near = [MadeAgent(1.0, 1.0), MadeAgent(1.5, 1.5), MadeAgent(1.2, 1.2, PEDESTRIAN), MadeAgent(3.0, 1.0)]
    off = MadeAgent(1.1, 1.1, lidar_points=0)
    targets = student_targets(made_batch(MadeSample((off, *near)), MadeSample(())), SMALL)
    assert targets.counted_BA.tolist() == [[False, True, False, True, True], [False] * 5]


def test_an_unlabelled_sample_has_no_target_at_all() -> None:
    targets = student_targets(made_batch(STREET, STREET), SMALL, labelled_B=torch.tensor([True, False]))
    for name in (
        "counted_BA",
        "known_BAC",
        "futures_mask_BAT",
        "map_mask_BC",
        "occupancy_mask_BT",
        "flow_mask_BTXY",
        "plan_mask_BT",
    ):
        mask = getattr(targets, name)
        assert mask[0].any(), name
        assert not mask[1].any(), name
    assert targets.heatmap_BKXY[1].max() == 0
    assert (targets.attributes_BA[1] == -1).all()


def test_the_runtimes_decoders_read_the_targets_back() -> None:
    batch = made_batch(STREET)
    targets = student_targets(batch, SMALL)
    outputs = perfect_outputs(targets, batch, SMALL)
    boxes, rows = decode_detections(outputs.detection, outputs.agents, SMALL.head_grid, 0.5, 10)
    assert rows.tolist() == [0, 1, 2]
    assert boxes.class_ids.tolist() == [agent.class_id for agent in STREET.agents]
    assert boxes.attribute_ids.tolist() == [agent.attribute_id for agent in STREET.agents]
    for n, agent in enumerate(STREET.agents):
        np.testing.assert_allclose(boxes.centers[n], (agent.x, agent.y, agent.z), atol=1e-4)
        np.testing.assert_allclose(boxes.sizes[n], agent.size, rtol=1e-5)
        assert boxes.yaws[n] == pytest.approx(agent.yaw, abs=1e-5)
    futures = decode_motion(outputs.motion, boxes, rows, SMALL.time_step_s)
    np.testing.assert_allclose(futures.positions[0, 0], batch.agents.futures_BAT2[0, 0], atol=1e-4)
    tracked = dataclasses.replace(boxes, track_ids=np.array([agent.track_id for agent in STREET.agents]))
    occupancy = decode_occupancy(outputs.occupancy, tracked, SMALL.grid, SMALL.time_step_s, 0.5)
    assert occupancy.instances[0, 21, 15] == occupancy.instances[1, 22, 14] == 7
    assert occupancy.instances[0, 9, 6] == 9


def test_futures_are_offsets_and_masked_where_not_annotated() -> None:
    targets = student_targets(made_batch(STREET), SMALL)
    steps = 0.5 * torch.arange(1, 13)
    assert torch.allclose(targets.futures_BAT2[0, 0], torch.stack([2 * steps, -steps], dim=1), atol=1e-5)
    assert targets.futures_mask_BAT[0].sum(dim=1).tolist() == [12, 4, 12]
    assert (targets.futures_BAT2[0, 1, 4:] == 0).all()


def test_flow_points_to_the_centre_one_step_before() -> None:
    targets = student_targets(made_batch(STREET), SMALL)
    agents = {agent.track_id: agent for agent in STREET.agents}
    wanted = np.zeros(targets.flow_BT2XY.shape[1:])
    mask = np.zeros(targets.flow_mask_BTXY.shape[1:], dtype=bool)
    for step, row, column, track in STREET.occupied:
        agent, before = agents[track], 0.5 * max(step - 1, 0)
        centre = np.array([agent.x, agent.y]) + before * np.array(agent.velocity)
        wanted[step, :, row, column] = centre - [-16 + row + 0.5, -12 + column + 0.5]
        mask[step, row, column] = True
    assert (targets.flow_mask_BTXY[0].numpy() == mask).all()
    np.testing.assert_allclose(targets.flow_BT2XY[0].numpy(), wanted, atol=1e-5)


def test_flow_is_unknown_for_vehicles_that_are_not_annotated_now_or_then() -> None:
    agents = (MadeAgent(0, 0, track_id=3, known_steps=1),)
    occupied = ((0, 5, 5, 3), (1, 5, 5, 3), (2, 5, 5, 3), (3, 5, 5, 3), (1, 6, 6, 99))
    targets = student_targets(made_batch(MadeSample(agents, occupied), MadeSample((), occupied)), SMALL)
    assert targets.flow_mask_BTXY.nonzero().tolist() == [[0, 0, 5, 5], [0, 1, 5, 5], [0, 2, 5, 5]]


def test_without_any_agent_the_targets_are_empty() -> None:
    targets = student_targets(made_batch(MadeSample(occupied=((0, 5, 5, 3),))), SMALL)
    assert targets.agents.cell_BA.shape == (1, 0)
    assert targets.heatmap_BKXY.max() == 0
    assert not targets.flow_mask_BTXY.any()
    assert targets.occupied_BTXY.sum() == 1


def test_plan_targets_are_masked_where_the_recording_ends() -> None:
    targets = student_targets(made_batch(dataclasses.replace(STREET, plan_steps=2)), SMALL)
    assert targets.plan_mask_BT.tolist() == [[True, True, False, False, False, False]]
    assert targets.headings_BT2[0, 1].tolist() == pytest.approx([math.sin(0.1), math.cos(0.1)])


def test_a_batch_on_another_grid_is_refused() -> None:
    batch = made_batch(STREET, config=dataclasses.replace(SMALL, x_bound=(-16.0, 16.0, 1.0)))
    with pytest.raises(UserError, match=r"map targets: expected \(40, 24\).*got \(32, 24\)"):
        student_targets(batch, SMALL)


def test_longer_horizons_than_the_datas_are_refused() -> None:
    with pytest.raises(UserError, match="horizons: expected at most 12"):
        student_targets(made_batch(STREET), dataclasses.replace(SMALL, motion_steps=13))


def test_the_radius_is_where_the_iou_of_a_moved_box_is_a_tenth() -> None:
    lengths, widths = torch.tensor([4.5, 0.6, 12.0]), torch.tensor([1.9, 0.7, 2.9])
    radius = center_radius(lengths, widths)
    overlap = (lengths - radius) * (widths - radius)
    assert torch.allclose(overlap / (2 * lengths * widths - overlap), torch.full((3,), 0.1), atol=1e-5)


def test_the_heatmap_equals_a_loop_over_agents_and_cells() -> None:
    generator = np.random.default_rng(3)
    count, grid = 12, SMALL.head_grid
    xy = torch.from_numpy(generator.uniform((-20, -15), (28, 15), (2, count, 2))).float()
    sizes = torch.from_numpy(generator.uniform(0.3, 30.0, (2, count, 3))).float()
    heights = torch.from_numpy(generator.uniform(0, 1, (2, count, 3)) * (generator.random((2, count, 3)) < 0.5)).float()
    drawn = draw_heatmap(grid_places(xy, grid), sizes, heights, grid).numpy()
    wanted = np.zeros_like(drawn)
    for b in range(2):
        for a in range(count):
            row, column = np.floor(grid.metric_to_cell(xy[b, a].numpy()))
            if not (0 <= row < 20 and 0 <= column < 12):
                continue
            length, width = sizes[b, a, :2].tolist()
            half = (length + width) / 2
            radius = half - math.sqrt(half**2 - length * width * 0.9 / 1.1)
            sigma = (2 * min(max(radius / 2.0, 2.0), 6.0) + 1) / 6
            for r in range(20):
                for c in range(12):
                    if max(abs(r - row), abs(c - column)) > 6:
                        continue
                    bump = math.exp(-((r - row) ** 2 + (c - column) ** 2) / (2 * sigma**2))
                    for k in range(3):
                        wanted[b, k, r, c] = max(wanted[b, k, r, c], bump * heights[b, a, k].item())
    np.testing.assert_allclose(drawn, wanted, atol=1e-5)


@given(st.sampled_from(["barrier", "traffic_cone"]), st.sets(st.integers(0, 20 * 12 - 1), max_size=40))
def test_of_what_training_asks_for_all_of_a_row_is_found(name: str, cells: set[int]) -> None:
    grid = SMALL.head_grid
    corner = np.stack(np.divmod(sorted(cells), grid.shape[1]), axis=1).reshape(-1, 2)
    xy = torch.from_numpy(grid.cell_to_metric(corner + 0.5)).float()[None]
    sizes = torch.tensor([0.5, 2.5, 1.0]).expand(1, len(cells), 3)
    heights = torch.zeros(1, len(cells), len(DETECTION_CLASSES))
    heights[:, :, DETECTION_CLASSES.index(name)] = 0.9
    asked = draw_heatmap(grid_places(xy, grid), sizes, heights, grid).clamp(min=1e-6)
    found = PeakFinder(60)(asked.logit())
    seen = (found.score_BA[0] > 0.1) & (found.class_BA[0] == DETECTION_CLASSES.index(name))
    assert sorted(found.cell_BA[0, seen].tolist()) == sorted(cells)


def test_a_larger_box_has_a_wider_gaussian() -> None:
    def mass(size: tuple[float, float, float]) -> float:
        batch = made_batch(MadeSample((MadeAgent(0, 0, CAR, size),)))
        return student_targets(batch, SMALL).heatmap_BKXY[0, CAR].sum().item()

    assert mass((0.5, 0.5, 1.7)) == mass((2.0, 2.0, 1.7)) < mass((20.0, 20.0, 3.0)), "never less than two cells"
    assert len(DETECTION_CLASSES) == student_targets(made_batch(STREET), SMALL).heatmap_BKXY.shape[1]
