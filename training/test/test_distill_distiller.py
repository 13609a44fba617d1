"""What is learnt from a teacher: each term's minimum, and what a teacher lacks or speaks of."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest
import torch
from distilled_street import ALL, distilled, gradients, rows_of, street, values
from made_batch import SMALL, STREET, made_batch, random_outputs
from made_teacher import TEACHER_CHANNELS, agreeing_teacher, made_teacher
from tinybev_training.distill.distiller import Distiller
from tinybev_training.distill.taught import taught_agents
from tinybev_training.distill.terms import DistillTerms
from tinybev_training.losses.targets import student_targets
from tinybev_training.losses.terms import weighted_sum
from tinybev_training.teacher.outputs import TeacherCenters
from torch import Tensor

from tinybev.geometry import BevGrid

torch.set_num_threads(1)


def test_a_student_that_agrees_with_its_teacher_loses_nothing() -> None:
    targets = street()
    distiller = Distiller(SMALL, ALL, TEACHER_CHANNELS)
    first = made_teacher(1)
    outputs = random_outputs(SMALL, 1, distiller.agents(targets, first))
    with torch.no_grad():
        outputs.detection.offset_B2XY.sigmoid_()  # an offset beyond its cell is another cell's
        outputs.detection.heading_B2XY.div_(outputs.detection.heading_B2XY.norm(dim=1, keepdim=True))
    assert first.agents is not None
    assert distiller.adapter is not None
    teacher = agreeing_teacher(outputs, first.agents.centers_BA3, distiller.adapter(outputs.bev_BCXY))
    found = values(distiller(outputs, teacher, targets))
    assert found == pytest.approx(dict.fromkeys(found, 0.0), abs=1e-4)
    other = values(distiller(outputs, made_teacher(1, seed=5), targets))
    assert all(value > 0.01 for value in other.values())


@pytest.mark.parametrize(
    ("lacks", "silent"),
    [
        (("bev",), {"feature"}),
        (("heatmap",), {"heatmap"}),
        (("agents",), {"box", "motion"}),
        (("heatmap", "agents"), {"heatmap", "box", "motion"}),
        (("map",), {"map"}),
        (("occupancy",), {"occupancy"}),
        (("plan",), {"plan"}),
        (("bev", "heatmap", "agents", "map", "occupancy", "plan"), set(DistillTerms._fields)),
    ],
)
def test_what_a_teacher_lacks_is_zero_and_said_so(lacks: tuple[str, ...], silent: set[str]) -> None:
    teacher = dataclasses.replace(made_teacher(1), **dict.fromkeys(lacks))
    terms, _, distiller = distilled(ALL, teacher)
    assert {name for name, live in distiller.live(teacher)._asdict().items() if not live} == silent
    assert {name for name, value in values(terms).items() if value == 0} == silent


def test_a_teacher_without_futures_says_nothing_of_motion() -> None:
    teacher = made_teacher(1)
    assert teacher.agents is not None
    agents = dataclasses.replace(teacher.agents, futures_BAMT2=None, mode_logits_BAM=None)
    terms, outputs, distiller = distilled(ALL, dataclasses.replace(teacher, agents=agents))
    assert not distiller.live(dataclasses.replace(teacher, agents=agents)).motion
    assert terms.motion.item() == 0
    assert terms.box.item() > 0
    assert outputs.agents.cell_BA.shape == (1, 3), "none but the annotated agents are asked for"


@pytest.mark.parametrize("draws_heatmap", [False, True])
def test_what_a_teacher_lacks_of_one_sample_is_left_out_whatever_it_holds(draws_heatmap: bool) -> None:
    """Two samples of which the teacher knows one give what that one gives alone."""
    teacher = made_teacher(2)
    assert teacher.agents is not None
    agents = dataclasses.replace(teacher.agents, known_B=torch.ones(2, dtype=torch.bool))
    teacher = dataclasses.replace(teacher, agents=agents)
    if draws_heatmap:
        centers = TeacherCenters(
            agents.mask_BA,
            agents.probability_BAK,
            agents.centers_BA3,
            agents.sizes_BA3,
            torch.ones_like(agents.known_B),
        )
        teacher = dataclasses.replace(teacher, heatmap=None, centers=centers)
    half = _known_first(teacher)
    config = dataclasses.replace(ALL, regions=None)
    torch.manual_seed(0)
    distiller, targets = Distiller(SMALL, config, TEACHER_CHANNELS), street(2)
    outputs = random_outputs(SMALL, 2, distiller.agents(targets, half))
    terms = distiller(outputs, half, targets)
    alone = distiller(rows_of(outputs, slice(0, 1)), rows_of(half, slice(0, 1)), street(1))
    assert values(terms) == pytest.approx(values(alone), rel=1e-4)
    weighted_sum(terms, config.weights).backward()
    assert all(gradient.isfinite().all() for gradient in gradients(outputs).values())


def _known_first(outputs: Any) -> Any:
    """The first of two samples as it is; all masks of the second are False, all numbers not numbers."""
    if isinstance(outputs, Tensor):
        nothing = torch.zeros_like(outputs[1]) if outputs.dtype == torch.bool else torch.full_like(outputs[1], math.nan)
        return torch.stack([outputs[0], nothing])
    if dataclasses.is_dataclass(outputs) and not isinstance(outputs, BevGrid):
        return type(outputs)(**{name: _known_first(value) for name, value in vars(outputs).items()})
    return outputs


@pytest.mark.parametrize("labelled", [True, False])
def test_annotations_of_unlabelled_samples_do_not_matter(labelled: bool) -> None:
    teacher = made_teacher(1)
    torch.manual_seed(0)
    distiller = Distiller(SMALL, ALL, TEACHER_CHANNELS).eval()
    found = []
    for sample in (STREET, dataclasses.replace(STREET, occupied=((2, 30, 3, 5),), lines=(), plan_steps=0)):
        targets = student_targets(made_batch(sample), SMALL, labelled_B=torch.tensor([labelled]))
        outputs = random_outputs(SMALL, 1, distiller.agents(targets, teacher))
        found.append(values(distiller(outputs, teacher, targets)))
    assert (found[0] == found[1]) is not labelled
    assert all(value > 0 for value in found[0].values()), "the teacher speaks either way"


def test_futures_are_asked_for_annotated_agents_then_the_teachers() -> None:
    teacher, targets = made_teacher(1), street()
    peaks = Distiller(SMALL, ALL, TEACHER_CHANNELS).agents(targets, teacher)
    assert teacher.agents is not None
    theirs = taught_agents(teacher.agents, SMALL.head_grid).peaks
    assert torch.equal(peaks.cell_BA[:, :3], targets.agents.cell_BA)
    assert torch.equal(peaks.cell_BA[:, 3:], theirs.cell_BA)
    assert torch.equal(peaks.class_BA[:, 3:], theirs.class_BA)


def test_a_student_that_was_not_asked_is_refused() -> None:
    teacher, targets = made_teacher(1), street()
    distiller = Distiller(SMALL, ALL, TEACHER_CHANNELS)
    with pytest.raises(ValueError, match=r"give the student what Distiller\.agents returns"):
        distiller(random_outputs(SMALL, 1, targets.agents), teacher, targets)
