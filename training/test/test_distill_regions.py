"""Which cells count how much, and that it changes with what the student has learnt."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from made_batch import SMALL, STREET, MadeSample, made_batch, perfect_outputs, random_outputs
from tinybev_training.distill.config import RegionConfig
from tinybev_training.distill.distiller import RegionView
from tinybev_training.distill.region_masks import Region, corridor, disagreements, region_masks
from tinybev_training.distill.region_picture import region_picture
from tinybev_training.distill.regions import RegionImportances, RegionWeights
from tinybev_training.distill.taught import Taught, TaughtGrid
from tinybev_training.losses.targets import student_targets
from tinybev_training.teacher.outputs import TeacherPlan
from torch import Tensor

from tinybev.errors import UserError

torch.set_num_threads(1)
NO_TEACHER = Taught(heatmap=None, agents=None, map=None, occupancy=None, plan=None)
REGIONS = len(Region)


def everything_known(logits_BCXY: Tensor) -> TaughtGrid:
    return TaughtGrid(logits_BCXY, torch.ones_like(logits_BCXY, dtype=torch.bool))


def made_teacher(seed: int, samples: int) -> Taught:
    """Random logits on every grid, and a plan to the right."""
    generator = torch.Generator().manual_seed(seed)
    grids = [
        everything_known(3 * torch.randn(samples, count, *shape, generator=generator))
        for count, shape in ((10, SMALL.head_grid.shape), (4, SMALL.grid.shape), (5, SMALL.grid.shape))
    ]
    plan = torch.arange(1, 7)[:, None] * torch.tensor([1.0, -1.5])
    mask = torch.ones(samples, dtype=torch.bool)
    return Taught(grids[0], None, grids[1], grids[2], TeacherPlan(plan.expand(samples, -1, -1), mask))


@st.composite
def masks_and_disagreements(draw: st.DrawFn) -> tuple[Tensor, Tensor]:
    """Random masks, some empty or full, and disagreements."""
    seed, samples = draw(st.integers(0, 10_000)), draw(st.integers(1, 3))
    generator = torch.Generator().manual_seed(seed)
    masks = torch.rand(samples, REGIONS, 6, 5, generator=generator) ** draw(st.sampled_from([0.2, 1.0, 30.0]))
    for region in draw(st.lists(st.integers(0, REGIONS - 1), max_size=REGIONS)):
        masks[:, region] = draw(st.sampled_from([0.0, 1.0]))
    return masks, torch.rand(masks.shape, generator=generator) * draw(st.sampled_from([0.0, 1e-6, 1.0]))


@settings(max_examples=60)
@given(st.lists(masks_and_disagreements(), min_size=1, max_size=4), st.sampled_from([0.0, 0.5, 2.0, 100.0]))
def test_weights_are_finite_not_negative_and_of_mean_one(batches: list[tuple[Tensor, Tensor]], strength: float) -> None:
    regions = RegionWeights(RegionConfig(strength=strength, momentum=0.9))
    for masks, apart in batches:
        weights = regions(masks)
        assert weights.isfinite().all()
        assert (weights >= 0).all()
        assert torch.allclose(weights.mean(dim=(1, 2)), torch.ones(len(weights)), atol=1e-5)
        regions.update(masks, apart)
        importances = regions.importance_R
        assert importances.isfinite().all()
        assert (importances >= 0).all()
        assert importances.mean().item() == pytest.approx(1.0, abs=1e-5)


def two_masks() -> Tensor:
    """Agents in the left half, map in the right, the others nowhere."""
    masks = torch.zeros(1, REGIONS, 2, 4)
    masks[0, Region.AGENTS, :, 2:] = 1
    masks[0, Region.MAP, :, :2] = 1
    return masks


def test_importances_follow_the_disagreement_by_known_numbers() -> None:
    regions = RegionWeights(RegionConfig(strength=1.0, momentum=0.5))
    masks, apart = two_masks(), torch.full((1, REGIONS, 2, 4), 0.9)
    apart[0, Region.AGENTS], apart[0, Region.MAP] = 0.6, 0.2
    regions.update(masks, apart)
    assert regions.values() == pytest.approx((1.5, 0.5, 1.0, 1.0, 1.0))
    weights = regions(masks)[0]
    assert (weights[0] / weights[0, 0]).tolist() == pytest.approx([1, 1, 2.5 / 1.5, 2.5 / 1.5])
    apart[0, Region.AGENTS] = 0.0  # the student catches up on agents
    regions.update(masks, apart)
    assert regions.disagreement_R[:2].tolist() == pytest.approx([0.3, 0.2])
    for _ in range(20):
        regions.update(masks, apart)
    importances = regions.values()
    assert importances.agents < 0.01
    assert importances.map == pytest.approx(2.0, abs=0.01)


def test_a_region_that_does_not_occur_keeps_its_importance() -> None:
    regions = RegionWeights(RegionConfig())
    regions.update(two_masks(), torch.rand(1, REGIONS, 2, 4) + 0.1)
    before = regions.disagreement_R.clone(), regions.updates_R.clone()
    regions.update(torch.zeros(1, REGIONS, 2, 4), torch.ones(1, REGIONS, 2, 4))
    assert torch.equal(regions.disagreement_R, before[0])
    assert torch.equal(regions.updates_R, before[1])
    assert before[1].tolist() == [1, 1, 0, 0, 0]


def test_the_first_updates_are_a_plain_mean() -> None:
    regions = RegionWeights(RegionConfig(momentum=0.99))
    for value in (0.1, 0.4, 0.7):
        regions.update(two_masks(), torch.full((1, REGIONS, 2, 4), value))
    assert regions.disagreement_R[0].item() == pytest.approx(0.4)


def test_fixed_importances_stay_one() -> None:
    regions = RegionWeights(RegionConfig(adaptive=False))
    regions.update(two_masks(), torch.tensor([0.0, 0.1, 0.6, 0.9]).expand(1, REGIONS, 2, 4))
    assert regions.values() == RegionImportances(1.0, 1.0, 1.0, 1.0, 1.0)


def test_a_strength_of_zero_weights_all_cells_alike() -> None:
    assert (RegionWeights(RegionConfig(strength=0.0))(two_masks()) == 1).all()


def test_the_state_is_kept_by_a_checkpoint() -> None:
    first, second = RegionWeights(RegionConfig()), RegionWeights(RegionConfig())
    first.update(two_masks(), torch.tensor([0.0, 0.1, 0.6, 0.9]).expand(1, REGIONS, 2, 4))
    second.load_state_dict(first.state_dict())
    assert second.values() == first.values() != RegionWeights(RegionConfig()).values()
    assert not list(first.parameters())


def test_masks_are_where_the_annotations_are() -> None:
    targets = student_targets(made_batch(STREET), SMALL)
    masks = region_masks(targets, NO_TEACHER, torch.zeros(1, 40, 24), SMALL, corridor_m=2.0)[0]
    # The car at (5.3, 3.2) is in cell (10, 7) of the heads, which are cells 20 to 21 by 14 to 15 of the fine grid.
    assert (masks[Region.AGENTS, 20:22, 14:16] == 1).all()
    assert masks[Region.MAP, 29:33, 9:12].all(), "two cells of a divider and their neighbours"
    assert masks[Region.MAP, 20, 12] == 0, "the drivable area is no region"
    assert masks[Region.OCCUPANCY].nonzero().tolist() == [[11, 6], [22, 14], [23, 14]], "later steps only"
    assert masks[Region.PLAN, 16 + 3, 12] == 1
    assert masks[Region.PLAN, 16 + 3, 16] == 0
    assert (masks[Region.DISAGREEMENT] == 0).all()


@pytest.mark.parametrize("seed", [0, 1])
def test_unlabelled_samples_are_weighted_without_their_annotations(seed: int) -> None:
    """The masks of an unlabelled sample are the same whatever its annotations are, and are the teacher's."""
    taught = made_teacher(seed, 2)
    labelled = torch.tensor([True, False])
    other = dataclasses.replace(STREET, agents=(), occupied=((1, 3, 3, 5),), lines=((1, 2, 2),), plan_steps=1)
    apart = torch.rand(2, 40, 24, generator=torch.Generator().manual_seed(seed))
    found = [
        region_masks(student_targets(made_batch(STREET, second), SMALL, labelled_B=labelled), taught, apart, SMALL, 2.0)
        for second in (STREET, other, MadeSample())
    ]
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])
    assert taught.occupancy is not None
    assert torch.equal(found[0][1, Region.OCCUPANCY], taught.occupancy.probability_BCXY[1, 1:].amax(dim=0))
    assert found[0][1, Region.PLAN, 16 + 3, 12 - 5] == 1, "the teacher's plan turns right"
    assert found[0][1, Region.PLAN, 16 + 6, 12] == 0
    assert found[0][0, Region.PLAN, 16 + 6, 12] == 1, "the ego drove straight on"


def test_a_teacher_without_heads_leaves_unlabelled_regions_empty() -> None:
    targets = student_targets(made_batch(STREET), SMALL, labelled_B=torch.tensor([False]))
    assert region_masks(targets, NO_TEACHER, torch.zeros(1, 40, 24), SMALL, 2.0).sum() == 0


def test_the_corridor_equals_a_loop_over_cells_and_stretches() -> None:
    generator = np.random.default_rng(6)
    positions = generator.uniform((-5, -8), (20, 8), (2, 4, 2)).astype(np.float32)
    known = np.array([[True, True, True, True], [True, False, True, True]])
    found = corridor(torch.from_numpy(positions), torch.from_numpy(known), SMALL.grid, 1.7).numpy()
    x, y = SMALL.grid.cell_centers()
    wanted = np.zeros_like(found)
    for b, row, column in np.ndindex(2, 40, 24):
        nodes = np.vstack([[0.0, 0.0], positions[b]])
        for t in range(4):
            if not (known[b, t] and (t == 0 or known[b, t - 1])):
                continue
            way, cell = nodes[t + 1] - nodes[t], np.array([x[row], y[column]]) - nodes[t]
            share = min(max(cell @ way / (way @ way), 0), 1)
            if math.dist(cell, share * way) <= 1.7:
                wanted[b, row, column] = 1
    assert (found == wanted).all()
    assert 0 < wanted.mean() < 1


def test_standing_still_has_a_corridor_about_the_ego() -> None:
    found = corridor(torch.zeros(1, 6, 2), torch.ones(1, 6, dtype=torch.bool), SMALL.grid, 2.0)
    assert found.sum().item() == 12, "the cells within 2 m of a corner of cells"


def test_disagreements_are_the_largest_differences_of_probabilities_of_a_head() -> None:
    targets = student_targets(made_batch(STREET), SMALL)
    outputs = random_outputs(SMALL, 1, targets.agents)
    taught = made_teacher(0, 1)
    found = disagreements(outputs, taught, SMALL)
    assert not found.requires_grad
    for row, column in ((0, 0), (17, 5), (39, 23)):
        pairs = [
            (outputs.detection.heatmap_BKXY[0, :, row // 2, column // 2], taught.heatmap, (row // 2, column // 2)),
            (outputs.map_BKXY[0, :, row, column], taught.map, (row, column)),
            (outputs.occupancy.logits_BTXY[0, :, row, column], taught.occupancy, (row, column)),
        ]
        wanted = [
            (mine.sigmoid() - grid.logits_BCXY[0, :, r, c].sigmoid()).abs().max().item()
            for mine, grid, (r, c) in pairs
            if grid is not None
        ]
        assert found[0, :, row, column].tolist() == pytest.approx([*wanted, max(wanted), max(wanted)])


def test_a_head_that_the_teacher_lacks_is_stood_in_for_by_the_others() -> None:
    targets = student_targets(made_batch(STREET), SMALL)
    outputs = random_outputs(SMALL, 1, targets.agents)
    everything = disagreements(outputs, dataclasses.replace(made_teacher(0, 1), occupancy=None), SMALL)
    assert torch.equal(everything[:, Region.OCCUPANCY], everything[:, Region.DISAGREEMENT])
    assert not torch.equal(everything[:, Region.MAP], everything[:, Region.DISAGREEMENT])
    assert (disagreements(outputs, NO_TEACHER, SMALL) == 0).all()


def test_a_student_that_agrees_has_no_disagreement() -> None:
    batch = made_batch(STREET)
    targets = student_targets(batch, SMALL)
    outputs = perfect_outputs(targets, batch, SMALL)
    taught = Taught(everything_known(outputs.detection.heatmap_BKXY), None, None, None, None)
    assert (disagreements(outputs, taught, SMALL) == 0).all()


def test_the_picture_shows_the_weights_from_above(tmp_path: Path) -> None:
    masks = torch.zeros(1, REGIONS, 40, 24)
    masks[0, Region.AGENTS, 39, 23] = 1  # in front, to the left: the upper left corner
    regions = RegionWeights(RegionConfig())
    view = RegionView(masks, regions(masks), torch.zeros_like(masks))
    picture = region_picture(view, regions.values(), height=240)
    assert picture.shape == (240, 6 * 144 + 5 * 4, 3)
    assert cv2.imwrite(str(tmp_path / "regions.png"), picture)
    corners = [picture[y, x].astype(int).sum() for y, x in ((1, 1), (1, 142), (238, 1), (238, 142))]
    assert corners[0] > max(corners[1:])


@pytest.mark.parametrize("wrong", [{"strength": -1.0}, {"momentum": 1.5}, {"corridor_m": 0.0}])
def test_impossible_regions_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(UserError, match="regions: expected strength of 0 or more"):
        RegionConfig(**wrong)
