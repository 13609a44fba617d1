"""Output level at the teacher's agents and for the ego, beside plain loops."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
import torch
from made_batch import SMALL, STREET, made_batch, random_outputs
from made_teacher import made_teacher
from tinybev_training.distill.agents import motion_difference, plan_difference
from tinybev_training.distill.config import DistillConfig
from tinybev_training.distill.distiller import Distiller
from tinybev_training.distill.terms import DistillWeights
from tinybev_training.losses.boxes import dense_boxes
from tinybev_training.losses.targets import student_targets
from tinybev_training.teacher.outputs import TeacherOutputs, TeacherPlan

from tinybev.model.heads.motion import MotionOutputs

torch.set_num_threads(1)


def test_the_box_term_equals_a_loop_over_the_teachers_agents() -> None:
    teacher = made_teacher(1, agents=5)
    assert teacher.agents is not None
    centers = teacher.agents.centers_BA3.detach().clone()
    centers[0, 4] = 100.0
    mask = torch.tensor([[True, True, False, True, True]])
    agents = dataclasses.replace(teacher.agents, centers_BA3=centers, mask_BA=mask)
    targets = student_targets(made_batch(STREET), SMALL)
    outputs = random_outputs(SMALL, 1, targets.agents)
    distiller = Distiller(SMALL, DistillConfig(DistillWeights(box=1.0)), None)
    found = distiller(outputs, TeacherOutputs(agents=agents), targets).box
    dense = dense_boxes(outputs.detection).detach()
    total, count = 0.0, 0.0
    for a in (0, 1, 3):
        place = SMALL.head_grid.metric_to_cell(centers[0, a, :2].numpy())
        row, column = np.floor(place).astype(int)
        length, width, height = agents.sizes_BA3[0, a].tolist()
        yaw, probability = agents.yaws_BA[0, a].item(), agents.probability_BAK[0, a].max().item()
        wanted = [
            *(place - np.floor(place)),
            centers[0, a, 2].item(),
            *np.log([length, width, height]),
            math.sin(yaw),
            math.cos(yaw),
            *agents.velocities_BA2[0, a].tolist(),
        ]
        miss = np.abs(dense[0, :, row, column].numpy() - wanted)
        miss[8:] = 0.2 * np.where(miss[8:] < 1, miss[8:] ** 2 / 2, miss[8:] - 0.5)
        total, count = total + probability * miss.sum(), count + probability
    assert found.item() == pytest.approx(total / max(count, 1.0), rel=1e-4)


def made_motion(agents: int, modes: int = 4, steps: int = 5, seed: int = 0) -> tuple[MotionOutputs, Any]:
    generator = torch.Generator().manual_seed(seed)
    offset = torch.randn(1, agents, modes, steps, 2, generator=generator).requires_grad_()
    motion = MotionOutputs(offset, torch.zeros_like(offset), offset[..., 0], torch.randn(1, agents, modes))
    teacher = made_teacher(1, seed, agents=agents).agents
    assert teacher is not None
    futures = torch.randn(1, agents, 3, 7, 2, generator=generator)
    return motion, dataclasses.replace(
        teacher, futures_BAMT2=futures, mode_logits_BAM=torch.randn(1, agents, 3, generator=generator)
    )


def test_the_motion_term_equals_a_loop_over_agents_and_modes() -> None:
    motion, teacher = made_motion(agents=4)
    weights = torch.tensor([[0.9, 0.5, 0.0, 1.3]])
    temperature = 2.0
    total = 0.0
    for a in range(4):
        start = teacher.centers_BA3[0, a, :2]
        p = teacher.mode_logits_BAM[0, a].softmax(0).tolist()
        soft = (teacher.mode_logits_BAM[0, a] / temperature).softmax(0).tolist()
        wanted, each = [0.0] * 4, 0.0
        for m in range(3):
            misses = [
                np.mean(
                    [
                        (teacher.futures_BAMT2[0, a, m, t] - start - motion.offset_BAKT2[0, a, k, t]).norm().item()
                        for t in range(5)
                    ]
                )
                for k in range(4)
            ]
            each += p[m] * min(misses)
            wanted[int(np.argmin(misses))] += soft[m]
        log_q = (motion.logits_BAK[0, a] / temperature).log_softmax(0).tolist()
        each += temperature**2 * sum(w * (math.log(w) - log_q[k]) for k, w in enumerate(wanted) if w > 0)
        total += weights[0, a].item() * each
    found = motion_difference(motion, teacher, temperature, weights)
    assert found.item() == pytest.approx(total / weights.sum().item(), rel=1e-4)


def test_the_order_of_modes_does_not_matter() -> None:
    motion, teacher = made_motion(agents=2)
    order = torch.tensor([2, 0, 1])
    mixed = dataclasses.replace(
        teacher, futures_BAMT2=teacher.futures_BAMT2[:, :, order], mode_logits_BAM=teacher.mode_logits_BAM[..., order]
    )
    found = [motion_difference(motion, agents, 2.0, torch.ones(1, 2)).item() for agents in (teacher, mixed)]
    assert found[0] == pytest.approx(found[1], rel=1e-5)


def test_futures_without_probabilities_teach_positions_alone() -> None:
    motion, teacher = made_motion(agents=2)
    motion.logits_BAK.requires_grad_()
    silent = dataclasses.replace(teacher, mode_logits_BAM=None)
    motion_difference(motion, silent, 2.0, torch.ones(1, 2)).backward()
    assert motion.logits_BAK.grad is None
    assert motion.offset_BAKT2.grad is not None


def test_the_plan_term_is_a_mean_over_samples_that_have_one() -> None:
    student, teacher = torch.randn(3, 6, 2), torch.randn(3, 4, 2)
    mask = torch.tensor([True, False, True])
    wanted = np.mean([(student[b, t] - teacher[b, t]).abs().sum().item() for b in (0, 2) for t in range(4)])
    assert plan_difference(student, TeacherPlan(teacher, mask)).item() == pytest.approx(wanted, rel=1e-5)
