"""A small student in training: every term falls, and the regions follow what it has learnt."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import torch
from made_batch import SMALL, STREET, made_batch, perfect_outputs
from made_teacher import TEACHER_CHANNELS, agreeing_teacher
from student_inputs import student_inputs
from tinybev_training.distill.config import JOINT, DistillConfig
from tinybev_training.distill.distiller import Distiller
from tinybev_training.distill.regions import RegionImportances
from tinybev_training.distill.terms import DistillTerms, DistillWeights
from tinybev_training.losses.supervised import supervised_terms
from tinybev_training.losses.targets import student_targets
from tinybev_training.losses.terms import SupervisedWeights, weighted_sum
from torch.optim import AdamW

from tinybev.model.student import Student

torch.set_num_threads(1)
STEPS = 60


def test_every_supervised_term_falls() -> None:
    torch.manual_seed(0)
    student, inputs, batch, weights = Student(SMALL), student_inputs(SMALL), made_batch(STREET), SupervisedWeights()
    targets = student_targets(batch, SMALL)
    optimizer = AdamW(student.parameters(), lr=3e-3)
    seen = []
    for _ in range(STEPS):
        terms = supervised_terms(student(inputs, agents=targets.agents), targets, batch, SMALL, weights)
        seen.append({name: term.item() for name, term in terms._asdict().items()})
        optimizer.zero_grad()
        weighted_sum(terms, weights).backward()
        optimizer.step()
    for name, start in seen[0].items():
        assert seen[-1][name] < 0.9 * start, name


def distil(config: DistillConfig) -> Iterator[tuple[DistillTerms, RegionImportances]]:
    """The terms and importances of the steps of a training in which a teacher that knows the answers speaks alone."""
    torch.manual_seed(0)
    student, inputs, batch = Student(SMALL), student_inputs(SMALL), made_batch(STREET)
    answers = student_targets(batch, SMALL)
    bev_BCXY = torch.randn(1, TEACHER_CHANNELS, *SMALL.head_grid.shape)
    teacher = agreeing_teacher(perfect_outputs(answers, batch, SMALL), batch.agents.centers_BA3, bev_BCXY)
    targets = student_targets(batch, SMALL, labelled_B=torch.tensor([False]))
    distiller = Distiller(SMALL, config, TEACHER_CHANNELS)
    assert distiller.regions is not None
    optimizer = AdamW([*student.parameters(), *distiller.parameters()], lr=3e-3)
    agents = distiller.agents(targets, teacher)
    for _ in range(STEPS):
        terms = distiller(student(inputs, agents=agents), teacher, targets)
        yield terms, distiller.regions.values()
        optimizer.zero_grad()
        weighted_sum(terms, config.weights).backward()
        optimizer.step()


def test_every_distilled_term_falls_without_a_label() -> None:
    seen = [(terms._asdict(), importances) for terms, importances in distil(JOINT)]
    for name, start in seen[0][0].items():
        assert seen[-1][0][name].item() < 0.9 * start.item(), name
    assert seen[-1][1].agents < 0.9 * seen[0][1].agents, "agents are learnt fastest here"


def test_the_importance_of_what_is_not_learnt_grows() -> None:
    """Of a student that learns nothing but the teacher's map, the other regions gain on the map's."""
    assert JOINT.regions is not None
    weights = DistillWeights(map=1.0)
    regions = dataclasses.replace(JOINT.regions, momentum=0.8)
    ratios = [
        importances.map / importances.agents
        for _, importances in distil(dataclasses.replace(JOINT, weights=weights, regions=regions))
    ]
    assert ratios[-1] < 0.97 * ratios[0]
