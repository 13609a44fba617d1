"""From a teacher's grid to the student's, and how far two sides' logits are from each other."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from made_batch import HALF_GRID, SMALL
from tinybev_training.distill.divergence import binary_divergence, categorical_divergence, logits_of
from tinybev_training.distill.grids import heatmap_divergence, mask_divergence
from tinybev_training.distill.resample import reached, resample
from tinybev_training.distill.taught import TaughtGrid, bring_home
from tinybev_training.teacher.outputs import GridOutput, TeacherAgents, TeacherCenters, TeacherOutputs
from torch import Tensor

from tinybev.geometry import BevGrid

torch.set_num_threads(1)


def plane(grid: BevGrid) -> Tensor:
    """(1, 2, X, Y): 3 x - 2 y + 1 and its negative, which bilinear interpolation carries over exactly."""
    x, y = np.meshgrid(*grid.cell_centers(), indexing="ij")
    values = torch.from_numpy(3 * x - 2 * y + 1).float()
    return torch.stack([values, -values])[None]


@pytest.mark.parametrize("target", [SMALL.grid, SMALL.head_grid, BevGrid((-8.0, 8.0, 4.0), (-12.0, 4.0, 4.0))])
def test_values_stay_where_they_are_in_metres(target: BevGrid) -> None:
    values, inside = resample(plane(HALF_GRID), HALF_GRID, target)
    x, y = np.meshgrid(*target.cell_centers(), indexing="ij")
    covered = (np.abs(x) < 10) & (y > -16) & (y < 8)
    assert (inside.numpy() == covered).all()
    away_from_border = (np.abs(x) <= 9.5) & (y >= -15.5) & (y <= 7.5)
    assert away_from_border.any()
    wanted = plane(target)[0, 0].numpy()
    np.testing.assert_allclose(values[0, 0].numpy()[away_from_border], wanted[away_from_border], atol=1e-4)
    assert (values[:, :, ~inside] == 0).all()


def test_a_single_cell_is_found_at_its_place() -> None:
    values = torch.zeros(1, 1, *HALF_GRID.shape)
    values[0, 0, 30, 44] = 1.0  # around x = 5.25, y = 6.25
    moved, _ = resample(values, HALF_GRID, SMALL.grid)
    (place,) = moved[0, 0].nonzero().tolist()
    assert SMALL.grid.metric_to_cell((5.25, 6.25)).astype(int).tolist() == place
    assert moved.sum().item() == 0.25, "the mean of four cells"


@pytest.mark.parametrize("step", [1.0, 2.0, 4.0, 8.0])
def test_a_coarse_cell_is_the_mean_of_the_fine_cells_in_it(step: float) -> None:
    fine, coarse = BevGrid((-8.0, 8.0, 0.5), (0.0, 8.0, 0.5)), BevGrid((-8.0, 8.0, step), (0.0, 8.0, step))
    values = torch.randn(2, 3, *fine.shape, generator=torch.Generator().manual_seed(0))
    moved, inside = resample(values, fine, coarse)
    assert inside.all()
    ratio = int(step / 0.5)
    assert torch.allclose(moved, torch.nn.functional.avg_pool2d(values, ratio), atol=1e-5)


def test_the_same_grid_changes_nothing_and_another_place_gives_nothing() -> None:
    values = plane(SMALL.grid)
    assert resample(values, SMALL.grid, SMALL.grid).values_BCXY is values
    moved, inside = resample(values, SMALL.grid, BevGrid((100.0, 110.0, 1.0), (0.0, 5.0, 1.0)))
    assert not inside.any()
    assert (moved == 0).all()


def test_the_binary_divergence_equals_its_definition() -> None:
    generator = np.random.default_rng(0)
    student, teacher = generator.normal(0, 3, 50), generator.normal(0, 3, 50)
    for temperature in (0.5, 1.0, 3.0):
        q, p = (1 / (1 + np.exp(-logits / temperature)) for logits in (student, teacher))
        wanted = temperature**2 * (p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q)))
        found = binary_divergence(torch.from_numpy(student), torch.from_numpy(teacher), temperature)
        np.testing.assert_allclose(found.numpy(), wanted, atol=1e-9)


def test_a_high_temperature_makes_the_divergence_a_squared_distance() -> None:
    student, teacher = torch.tensor([1.0, -3.0, 2.0]).double(), torch.tensor([2.0, 1.0, 2.0]).double()
    assert torch.allclose(binary_divergence(student, teacher, 1e3), (student - teacher) ** 2 / 8, atol=1e-4)
    wide = (teacher / 1e3).softmax(dim=0)
    apart = (student - student.mean()) - (teacher - teacher.mean())
    found = categorical_divergence(student[None], wide[None], 1e3)
    assert found.item() == pytest.approx(apart.square().sum().item() / 6, rel=1e-2)


def test_the_divergence_is_zero_and_flat_where_both_agree() -> None:
    logits = torch.linspace(-8, 8, 9, requires_grad=True)
    divergence = binary_divergence(logits, logits.detach(), 2.0).sum()
    divergence.backward()
    assert divergence.item() == pytest.approx(0, abs=1e-5)
    assert logits.grad is not None
    assert logits.grad.abs().max() < 1e-6


def test_the_divergence_is_finite_for_any_logit() -> None:
    student = torch.tensor([-1e4, 1e4, 0.0, 1e4]).requires_grad_()
    teacher = torch.tensor([1e4, -1e4, float("inf"), 1e4])
    divergence = binary_divergence(student, teacher, 1.0)
    divergence.sum().backward()
    assert divergence.isfinite().all()
    assert student.grad is not None
    assert student.grad.isfinite().all()


def test_the_categorical_divergence_equals_its_definition() -> None:
    generator = np.random.default_rng(1)
    student, p = generator.normal(0, 2, (5, 4)), generator.dirichlet(np.ones(4), 5)
    p[0] = [0.0, 1.0, 0.0, 0.0]
    q = np.exp(student / 2) / np.exp(student / 2).sum(axis=1, keepdims=True)
    wanted = 4 * np.where(p > 0, p * np.log(np.where(p > 0, p, 1) / q), 0).sum(axis=1)
    found = categorical_divergence(torch.from_numpy(student), torch.from_numpy(p), 2.0)
    np.testing.assert_allclose(found.numpy(), wanted, atol=1e-9)


def taught(seed: int, shape: tuple[int, ...], known_share: float = 0.7) -> TaughtGrid:
    generator = torch.Generator().manual_seed(seed)
    known = torch.rand(shape, generator=generator) < known_share
    return TaughtGrid(2 * torch.randn(shape, generator=generator) * known, known)


def test_the_mask_divergence_is_a_weighted_mean_over_what_is_known_and_dice_over_each_mask() -> None:
    grid = taught(0, (2, 3, 4, 5))
    generator = torch.Generator().manual_seed(1)
    logits, weights = torch.randn(2, 3, 4, 5, generator=generator), torch.rand(2, 4, 5, generator=generator) + 0.1
    total, count = 0.0, 0.0
    overlap, area = np.zeros((2, 3)), np.zeros((2, 3))
    for b, c, x, y in np.ndindex(2, 3, 4, 5):
        if grid.known_BCXY[b, c, x, y]:
            student, teacher, weight = logits[b, c, x, y], grid.logits_BCXY[b, c, x, y], weights[b, x, y].item()
            total, count = total + weight * binary_divergence(student, teacher, 2.0).item(), count + weight
            q, p = student.sigmoid().item(), teacher.sigmoid().item()
            overlap[b, c] += weight * q * p
            area[b, c] += weight * (q**2 + p**2)
    expected = total / count + np.mean(1 - (2 * overlap + 1) / (area + 1))
    assert mask_divergence(logits, grid, 2.0, weights).item() == pytest.approx(expected, rel=1e-5)
    everywhere = TaughtGrid(grid.logits_BCXY, torch.ones_like(grid.known_BCXY))
    assert mask_divergence(grid.logits_BCXY, everywhere, 2.0, weights).item() == pytest.approx(0, abs=1e-6)


def test_masks_that_cannot_be_placed_do_not_shrink() -> None:
    """A car is in one of three cells and nothing tells in which: divergence alone answers a third, and so no car."""

    def learnt(divergence_alone: bool) -> float:
        logit = torch.zeros(1, requires_grad=True)
        optimizer = torch.optim.Adam([logit], lr=0.1)
        for _ in range(300):
            terms = []
            for place in range(3):
                row = torch.full((1, 1, 1, 3), -6.0)
                row[..., place] = 6.0
                grid = TaughtGrid(row.repeat(1, 1, 30, 1), torch.ones(1, 1, 30, 3, dtype=torch.bool))
                student = logit.expand(1, 1, 30, 3)
                if divergence_alone:
                    terms.append(binary_divergence(student, grid.logits_BCXY, 1.0).mean())
                else:
                    terms.append(mask_divergence(student, grid, 1.0, torch.ones(1, 30, 3)))
            optimizer.zero_grad()
            torch.stack(terms).mean().backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        return float(logit.detach().sigmoid())

    assert learnt(divergence_alone=True) == pytest.approx(1 / 3, abs=0.01)
    assert learnt(divergence_alone=False) > 0.4


def test_of_more_steps_than_the_students_the_first_are_compared() -> None:
    grid = taught(2, (1, 6, 4, 5))
    logits = torch.zeros(1, 5, 4, 5)
    first = TaughtGrid(grid.logits_BCXY[:, :5], grid.known_BCXY[:, :5])
    weights = torch.ones(1, 4, 5)
    assert mask_divergence(logits, grid, 1.0, weights) == mask_divergence(logits, first, 1.0, weights)


def test_the_heatmap_divergence_equals_a_loop_and_ignores_what_both_leave_empty() -> None:
    grid = taught(3, (2, 3, 4, 5))
    generator = torch.Generator().manual_seed(4)
    logits, weights = torch.randn(2, 3, 4, 5, generator=generator), torch.rand(2, 4, 5, generator=generator)
    total, count = 0.0, 0.0
    for b, c, x, y in np.ndindex(2, 3, 4, 5):
        if grid.known_BCXY[b, c, x, y]:
            student, teacher = logits[b, c, x, y], grid.logits_BCXY[b, c, x, y]
            p = teacher.sigmoid().item()
            each = binary_divergence(student, teacher, 1.0).item() * (student.sigmoid().item() - p) ** 2
            weight = weights[b, x, y].item()
            total, count = total + weight * each, count + weight * p**2
    assert heatmap_divergence(logits, grid, 1.0, weights).item() == pytest.approx(total / max(count, 1), rel=1e-5)
    empty = TaughtGrid(torch.full((1, 10, 100, 100), -7.0), torch.ones(1, 10, 100, 100, dtype=torch.bool))
    assert binary_divergence(empty.logits_BCXY + 2, empty.logits_BCXY, 1.0).sum() > 300
    assert heatmap_divergence(empty.logits_BCXY + 2, empty, 1.0, torch.ones(1, 100, 100)) < 0.05


def test_regions_say_which_objects_count_more_and_not_how_much_all_of_them_do() -> None:
    """Two objects, the student wrong about the first: weighing both threefold is nothing, the first alone something."""
    grid = TaughtGrid(torch.full((1, 1, 8, 8), -7.0), torch.ones(1, 1, 8, 8, dtype=torch.bool))
    grid.logits_BCXY[0, 0, 2, 2] = grid.logits_BCXY[0, 0, 5, 6] = 6.0
    logits = grid.logits_BCXY.clone()
    logits[0, 0, 2, 2] = 0.0
    alike, both, first = torch.ones(3, 1, 8, 8).unbind()
    both[0, 2, 2] = both[0, 5, 6] = first[0, 2, 2] = 3.0
    plain, of_both, of_first = (heatmap_divergence(logits, grid, 1.0, weights) for weights in (alike, both, first))
    torch.testing.assert_close(of_both, plain, rtol=1e-3, atol=0)
    torch.testing.assert_close(of_first, 1.5 * plain, rtol=1e-3, atol=0)


def test_nothing_known_gives_zero() -> None:
    grid = taught(5, (1, 3, 4, 5), known_share=0.0)
    logits = torch.randn(1, 3, 4, 5, requires_grad=True)
    for loss in (mask_divergence, heatmap_divergence):
        value = loss(logits, grid, 2.0, torch.ones(1, 4, 5))
        assert value.item() == 0
        value.backward()
    assert logits.grad is not None
    assert (logits.grad == 0).all()


def test_a_teacher_of_centers_gets_a_soft_heatmap_of_them_and_not_of_its_agents() -> None:
    probability = torch.zeros(1, 3, 10)
    probability[0, 0, 2], probability[0, 1, 8], probability[0, 2, 0] = 0.8, 0.3, 0.9
    agents = TeacherAgents(
        mask_BA=torch.tensor([[True, True, False]]),
        probability_BAK=probability,
        centers_BA3=torch.tensor([[[5.3, 3.2, 0.0], [-6.4, -5.1, 0.0], [0.0, 0.0, 0.0]]]),
        sizes_BA3=torch.tensor([[[4.0, 2.0, 1.5], [0.6, 0.6, 1.7], [4.0, 2.0, 1.5]]]),
        yaws_BA=torch.zeros(1, 3),
        velocities_BA2=torch.zeros(1, 3, 2),
    )
    assert bring_home(TeacherOutputs(agents=agents), SMALL).heatmap is None
    centers = TeacherCenters(
        agents.mask_BA, probability, agents.centers_BA3, agents.sizes_BA3, known_B=torch.ones(1, dtype=torch.bool)
    )
    home = bring_home(TeacherOutputs(agents=agents, centers=centers), SMALL)
    assert home.heatmap is not None
    heatmap = home.heatmap.probability_BCXY
    assert heatmap[0, 2, 10, 7].item() == pytest.approx(0.8, rel=1e-4)
    assert heatmap[0, 8, 4, 3].item() == pytest.approx(0.3, rel=1e-4)
    assert heatmap[0, 0].max() < 2e-4, "the third row is padding"
    assert 0.1 < heatmap[0, 2, 11, 7].item() < 0.8
    assert home.agents is not None
    assert home.agents.peaks.score_BA[0].tolist() == pytest.approx([0.8, 0.3, 0.0])
    assert home.agents.peaks.class_BA.tolist() == [[2, 8, 0]]


def test_an_empty_street_is_taught_where_it_is_known_to_be_empty() -> None:
    nobody = TeacherCenters(
        mask_BA=torch.zeros(2, 0, dtype=torch.bool),
        probability_BAK=torch.zeros(2, 0, 10),
        centers_BA3=torch.zeros(2, 0, 3),
        sizes_BA3=torch.zeros(2, 0, 3),
        known_B=torch.tensor([True, False]),
    )
    heatmap = bring_home(TeacherOutputs(centers=nobody), SMALL).heatmap
    assert heatmap is not None
    assert (heatmap.probability_BCXY < 1e-3).all()
    assert heatmap.known_BCXY[0].all()
    assert not heatmap.known_BCXY[1].any()


def test_cells_that_the_teacher_did_not_see_are_masked_with_all_that_is_mixed_with_them() -> None:
    seen = torch.ones(1, *HALF_GRID.shape, dtype=torch.bool)
    seen[:, :6] = False
    target = BevGrid((-10.0, 10.0, 0.25), (-16.0, 8.0, 0.25))  # each cell is cut in four
    output = GridOutput(torch.ones(1, 4, *HALF_GRID.shape), torch.ones(1, 4, dtype=torch.bool), HALF_GRID, seen)
    known = reached(output, target)[0]
    x = torch.from_numpy(target.cell_centers()[0])
    first_seen = HALF_GRID.cell_centers()[0][6]  # a point before this centre is interpolated from an unseen cell
    assert known[x >= first_seen].all()
    assert not known[x < first_seen - 1e-6].any()


def test_logits_of_probabilities_come_back_as_probabilities() -> None:
    probability = torch.tensor([0.0, 1e-3, 0.5, 1.0])
    logits = logits_of(probability)
    assert torch.allclose(logits.sigmoid(), probability, atol=2e-4)
    assert logits.abs().max().item() == pytest.approx(9.0, abs=0.01)
    assert math.isfinite(logits.sum().item())


def test_what_a_teacher_lacks_of_a_sample_or_outside_its_grid_is_masked() -> None:
    mask = torch.tensor([[True, False, True, True], [False, False, False, True]])
    teacher = TeacherOutputs(map=GridOutput(torch.full((2, 4, *HALF_GRID.shape), 3.0), mask, HALF_GRID))
    home = bring_home(teacher, SMALL).map
    assert home is not None
    assert (home.known_BCXY.flatten(2).any(dim=2) == mask).all()
    # x from -10 to 10 and y from -12 to 8 are covered: 20 x 20 of the student's cells of 1 m
    assert home.known_BCXY.sum(dim=(2, 3))[mask].tolist() == [400] * 4
    assert (home.probability_BCXY[~home.known_BCXY] == 0).all()
