"""The whole network: its size and budget, the shapes of what it says, and that everything in it learns and is told."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from rigs import Rig, ring_rig
from student_inputs import flat, student_inputs

from tinybev.errors import UserError
from tinybev.model.config import VARIANTS, StudentConfig, find_variant
from tinybev.model.heads.peaks import PeakFinder, Peaks
from tinybev.model.heads.planning import STEP_SCALE_M
from tinybev.model.student import seeded_student
from tinybev.model.summary import summarize
from tinybev.types import ATTRIBUTES, CAMERAS, DETECTION_CLASSES

NANO = find_variant("nano")


def test_base_has_the_papers_size_within_three_per_cent() -> None:
    assert summarize(find_variant("base")).parameters == pytest.approx(28e6, rel=0.03)


def test_bev_encoder_and_heads_of_base_stay_within_25_gflop() -> None:
    macs = {part.name: part.macs for part in summarize(find_variant("base")).parts}
    on_the_grid = [name for name in macs if name.startswith("bev_") or name.endswith("_head")]
    assert len(on_the_grid) == 7
    assert 2 * sum(macs[name] for name in on_the_grid) <= 25e9


@pytest.mark.parametrize("name", VARIANTS)
def test_every_variant_says_what_its_configuration_says(name: str) -> None:
    config = VARIANTS[name]
    with torch.inference_mode():
        shapes = {
            key: tuple(value.shape) for key, value in flat(seeded_student(config, 0)(student_inputs(config))).items()
        }
    heads, grid, agents = config.head_grid.shape, config.grid.shape, config.max_agents
    futures = (1, agents, config.motion_modes, config.motion_steps)
    assert shapes == {
        "depth_logits_BNDHW": (1, len(CAMERAS), config.depth_bins, *config.feature_size),
        "bev_BCXY": (1, config.bev_channels, *heads),
        "detection.heatmap_BKXY": (1, len(DETECTION_CLASSES), *heads),
        "detection.offset_B2XY": (1, 2, *heads),
        "detection.height_B1XY": (1, 1, *heads),
        "detection.log_size_B3XY": (1, 3, *heads),
        "detection.heading_B2XY": (1, 2, *heads),
        "detection.velocity_B2XY": (1, 2, *heads),
        "detection.attribute_BAXY": (1, len(ATTRIBUTES), *heads),
        "map_BKXY": (1, 4, *grid),
        "occupancy.logits_BTXY": (1, config.occupancy_steps, *grid),
        "occupancy.flow_BT2XY": (1, config.occupancy_steps, 2, *grid),
        "plan.position_BT2": (1, config.plan_steps, 2),
        "plan.heading_BT2": (1, config.plan_steps, 2),
        "agents.score_BA": (1, agents),
        "agents.class_BA": (1, agents),
        "agents.cell_BA": (1, agents),
        "motion.offset_BAKT2": (*futures, 2),
        "motion.log_sigma_BAKT2": (*futures, 2),
        "motion.correlation_BAKT": futures,
        "motion.logits_BAK": futures[:3],
        "stem_BCXY": (1, config.bev_widths[0], *heads),
    }


def test_every_parameter_learns() -> None:
    student = seeded_student(NANO, 0).train()
    outputs = flat(student(student_inputs(NANO, ring_rig(NANO.image_size), ring_rig(NANO.image_size))))
    sum(value.square().mean() for value in outputs.values() if value.requires_grad).backward()
    idle = [name for name, parameter in student.named_parameters() if not parameter.grad.abs().sum() > 0]
    assert idle == []


def test_the_same_seed_gives_the_same_weights_and_leaves_the_global_state() -> None:
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    one, two, other = (seeded_student(NANO, seed).state_dict() for seed in (3, 3, 4))
    assert torch.equal(before, torch.random.get_rng_state())
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert any(not torch.equal(one[name], other[name]) for name in one)
    with pytest.raises(UserError, match=r"seed: expected 0 to [0-9]+, got -1"):
        seeded_student(NANO, -1)


def outputs_of(config: StudentConfig, rig: Rig, images: torch.Tensor, **conditions: list[list[float]]) -> dict:
    inputs = student_inputs(config, rig)._replace(images_BNHW3=images)
    told = {name: torch.tensor(value) for name, value in conditions.items()}
    with torch.inference_mode():
        return flat(seeded_student(config, 0)(inputs._replace(conditions=inputs.conditions._replace(**told))))


def test_permuting_the_cameras_permutes_nothing() -> None:
    rig, order = ring_rig(NANO.image_size), [5, 2, 0, 4, 1, 3]
    images = student_inputs(NANO).images_BNHW3
    permuted_rig = Rig(rig.intrinsics[order], rig.base_T_camera[order], rig.image_size)
    straight, permuted = outputs_of(NANO, rig, images), outputs_of(NANO, permuted_rig, images[:, order])
    for name, value in straight.items():
        expected = value[:, order] if name == "depth_logits_BNDHW" else value
        torch.testing.assert_close(permuted[name], expected, rtol=1e-3, atol=1e-4)


def test_a_missing_cameras_pixels_do_not_matter() -> None:
    rig = ring_rig(NANO.image_size)
    without = rig.intrinsics.copy()
    without[1] = np.nan
    images = student_inputs(NANO).images_BNHW3
    other = images.clone()
    other[:, 1] = 7
    masked = Rig(without, rig.base_T_camera, rig.image_size)
    one, two = outputs_of(NANO, masked, images), outputs_of(NANO, masked, other)
    for name in one.keys() - {"depth_logits_BNDHW"}:
        torch.testing.assert_close(one[name], two[name], rtol=0, atol=0)


def test_a_changed_calibration_changes_what_is_seen_where() -> None:
    images = student_inputs(NANO).images_BNHW3
    wide, long = (outputs_of(NANO, ring_rig(NANO.image_size, focal), images) for focal in (0.6, 1.2))
    assert not torch.allclose(wide["bev_BCXY"], long["bev_BCXY"])


@pytest.mark.parametrize(
    "told", [{"command_B3": [[1.0, 0, 0]]}, {"goal_B3": [[0.4, -0.2, 1.0]]}, {"ego_B4": [[1.0, 0.1, 0.0, 1.0]]}]
)
def test_what_the_planner_is_told_moves_the_plan_and_nothing_else(told: dict) -> None:
    rig, images = ring_rig(NANO.image_size), student_inputs(NANO).images_BNHW3
    usual, changed = outputs_of(NANO, rig, images), outputs_of(NANO, rig, images, **told)
    for name, value in usual.items():
        assert torch.equal(value, changed[name]) != name.startswith("plan."), name


def test_futures_can_be_asked_for_given_agents() -> None:
    student, inputs = seeded_student(NANO, 0), student_inputs(NANO)
    columns = NANO.head_grid.shape[1]
    wanted = Peaks(torch.ones(1, 2), torch.tensor([[0, 8]]), torch.tensor([[10 * columns + 3, 50 * columns + 40]]))
    with torch.inference_mode():
        own, given = student(inputs), student(inputs, agents=wanted)
        swapped = student(inputs, agents=Peaks(*(part.flip(1) for part in wanted)))
    assert given.motion.offset_BAKT2.shape[1] == 2
    assert torch.equal(given.detection.heatmap_BKXY, own.detection.heatmap_BKXY)
    torch.testing.assert_close(swapped.motion.offset_BAKT2, given.motion.offset_BAKT2.flip(1))
    assert not torch.allclose(given.motion.offset_BAKT2[:, 0], given.motion.offset_BAKT2[:, 1])


def test_futures_start_from_constant_velocity() -> None:
    student, inputs = seeded_student(NANO, 0), student_inputs(NANO)
    with torch.inference_mode():
        student.motion_head.predict.weight.zero_()
        student.motion_head.predict.bias.zero_()
        outputs = student(inputs)
    cell = outputs.agents.cell_BA[0, 0]
    velocity = outputs.detection.velocity_B2XY[0].flatten(1)[:, cell]
    torch.testing.assert_close(outputs.motion.offset_BAKT2[0, 0, 2, 11], 6.0 * velocity)


def test_metres_add_up_in_float32_where_the_layers_before_compute_in_bfloat16() -> None:
    student, inputs = seeded_student(NANO, 0), student_inputs(NANO)
    step = torch.tensor(1.01).bfloat16().float()  # whose twelfth multiple bfloat16 would round
    for head in (student.motion_head, student.planning_head):
        torch.nn.init.zeros_(head.predict.weight)
        torch.nn.init.constant_(head.predict.bias, 1.01)
    for parameter in student.detection_head.box.parameters():  # nothing moves
        torch.nn.init.zeros_(parameter)
    with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16):
        outputs = student(inputs)
    assert outputs.plan.position_BT2.dtype == outputs.motion.offset_BAKT2.dtype == torch.float32
    for steps_T2 in (outputs.plan.position_BT2[0] / STEP_SCALE_M, outputs.motion.offset_BAKT2[0, 0, 0]):
        torch.testing.assert_close(steps_T2[:, 0], step * torch.arange(1, len(steps_T2) + 1), rtol=1e-6, atol=0)


def test_peaks_are_the_cells_that_no_neighbour_exceeds() -> None:
    heatmap = torch.full((1, len(DETECTION_CLASSES), 7, 6), -9.0)
    heatmap[0, 0, 2, 2], heatmap[0, 0, 2, 3], heatmap[0, 1, 2, 3], heatmap[0, 1, 6, 5] = 2.0, 1.0, 0.5, 3.0
    peaks = PeakFinder(3)(heatmap)
    assert peaks.class_BA.tolist() == [[1, 0, 1]]
    assert peaks.cell_BA.tolist() == [[6 * 6 + 5, 2 * 6 + 2, 2 * 6 + 3]]
    torch.testing.assert_close(peaks.score_BA, torch.tensor([[3.0, 2.0, 0.5]]).sigmoid())


@pytest.mark.parametrize(
    ("name", "columns"), [("barrier", [5, 4, 0, 1]), ("traffic_cone", [5, 4, 0, 1]), ("car", [5, 0])]
)
def test_in_a_row_of_barriers_or_cones_a_cell_near_the_highest_is_a_peak(name: str, columns: list[int]) -> None:
    score = torch.full((1, len(DETECTION_CLASSES), 7, 6), 1e-4)
    score[0, DETECTION_CLASSES.index(name), 3] = torch.tensor([0.4, 0.3, 0.2, 0.4, 0.6, 0.8])
    peaks = PeakFinder(5)(score.logit())
    assert peaks.cell_BA[0, peaks.score_BA[0] > 0.1].tolist() == [3 * 6 + column for column in columns]


def test_the_grid_need_not_be_square() -> None:
    config = dataclasses.replace(NANO, y_bound=(-25.6, 25.6, 0.8))
    with torch.inference_mode():
        assert seeded_student(config, 0)(student_inputs(config)).map_BKXY.shape == (1, 4, 128, 64)
