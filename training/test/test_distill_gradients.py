"""What is learnt from a teacher: where gradients go, and numbers that stay finite and precise."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from distilled_street import ALL, distilled, gradients, street, values
from made_batch import SMALL, random_outputs
from made_teacher import TEACHER_CHANNELS, made_teacher, tensors_of
from student_inputs import student_inputs
from tinybev_training.distill.config import RegionConfig
from tinybev_training.distill.distiller import Distiller
from tinybev_training.losses.terms import weighted_sum

from tinybev.model.student import Student

torch.set_num_threads(1)


@pytest.mark.parametrize("regions", [None, RegionConfig()])
def test_gradients_reach_the_student_and_the_adapter_and_never_the_teacher(regions: RegionConfig | None) -> None:
    teacher = made_teacher(2)
    terms, outputs, distiller = distilled(dataclasses.replace(ALL, regions=regions), teacher, samples=2)
    weighted_sum(terms, ALL.weights).backward()
    assert len(tensors_of(teacher)) == 12
    assert all(tensor.grad is None for tensor in tensors_of(teacher))
    assert set(gradients(outputs)) == {
        "bev_BCXY",
        "heatmap_BKXY",
        "offset_B2XY",
        "height_B1XY",
        "log_size_B3XY",
        "heading_B2XY",
        "velocity_B2XY",
        "map_BKXY",
        "logits_BTXY",
        "position_BT2",
        "offset_BAKT2",
        "logits_BAK",
    }
    assert all(gradient.isfinite().all() and gradient.abs().sum() > 0 for gradient in gradients(outputs).values())
    assert all(parameter.grad is not None for parameter in distiller.parameters())


def test_every_head_gets_a_gradient_from_its_term() -> None:
    student, teacher, targets = Student(SMALL), made_teacher(1), street()
    distiller = Distiller(SMALL, ALL, TEACHER_CHANNELS)
    outputs = student(student_inputs(SMALL), agents=distiller.agents(targets, teacher))
    terms = distiller(outputs, teacher, targets)
    of_term = {
        "feature": "bev_encoder",
        "heatmap": "detection_head.center",
        "box": "detection_head.box",
        "map": "map_head",
        "occupancy": "occupancy_head",
        "motion": "motion_head",
        "plan": "planning_head",
    }
    for name, prefix in of_term.items():
        student.zero_grad()
        getattr(terms, name).backward(retain_graph=True)
        for part in (prefix, "backbone"):
            found = [p.grad for key, p in student.named_parameters() if key.startswith(part) and p.grad is not None]
            assert sum(gradient.abs().sum() for gradient in found) > 0, (name, part)
    assert distiller.adapter is not None
    assert distiller.adapter.project.weight.grad is not None


def test_a_teacher_that_finds_nobody_gives_finite_terms() -> None:
    teacher = made_teacher(1, agents=0)
    terms, _, _ = distilled(ALL, dataclasses.replace(teacher, heatmap=None))
    assert all(math.isfinite(value) for value in values(terms).values())
    assert terms.box.item() == terms.motion.item() == 0
    weighted_sum(terms, ALL.weights).backward()


def test_half_precision_outputs_give_full_precision_terms() -> None:
    teacher = made_teacher(1)
    torch.manual_seed(0)
    distiller, targets = Distiller(SMALL, ALL, TEACHER_CHANNELS).eval(), street()
    outputs = random_outputs(SMALL, 1, distiller.agents(targets, teacher))
    with torch.autocast("cpu", torch.bfloat16):
        found = distiller(outputs, teacher, targets)
    assert {term.dtype for term in found} == {torch.float32}
    assert values(found) == pytest.approx(values(distiller(outputs, teacher, targets)), rel=0.05)
