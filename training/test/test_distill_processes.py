"""What is learnt from a teacher: two processes make one batch."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from distilled_street import ALL, rows_of, values
from made_batch import SMALL, STREET, MadeSample, made_batch, random_outputs
from made_teacher import TEACHER_CHANNELS, made_teacher
from tinybev_training.distill.distiller import Distiller
from tinybev_training.losses.targets import student_targets
from torch import distributed, multiprocessing

torch.set_num_threads(1)


def test_two_processes_make_one_batch(tmp_path: Path) -> None:
    """The mean of two processes' terms is one process's, and both learn the same importances as it does."""
    context = multiprocessing.get_context("spawn")
    found: multiprocessing.SimpleQueue = context.SimpleQueue()
    processes = [
        context.Process(target=_part_of_a_batch, args=(rank, str(tmp_path / "meet"), found)) for rank in range(2)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(timeout=60)
        assert process.exitcode == 0
    halves = [found.get() for _ in range(2)]
    terms, importances = _distilled_part(slice(0, 4))
    assert {name: (halves[0][0][name] + halves[1][0][name]) / 2 for name in terms} == pytest.approx(terms, rel=1e-4)
    assert halves[0][1] == halves[1][1] == pytest.approx(importances, rel=1e-4)


def _part_of_a_batch(rank: int, meeting_file: str, found: multiprocessing.SimpleQueue) -> None:
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"file://{meeting_file}", rank=rank, world_size=2)
    found.put(_distilled_part(slice(2 * rank, 2 * rank + 2)))
    distributed.destroy_process_group()


def _distilled_part(rows: slice) -> tuple[dict[str, float], tuple[float, ...]]:
    samples = [STREET, MadeSample(), STREET, dataclasses.replace(STREET, lines=(), plan_steps=1)]
    targets = student_targets(made_batch(*samples), SMALL)
    teacher = made_teacher(4)
    assert teacher.agents is not None
    fewer = teacher.agents.mask_BA.clone()
    fewer[1:3, 1:] = False
    teacher = dataclasses.replace(teacher, agents=dataclasses.replace(teacher.agents, mask_BA=fewer))
    torch.manual_seed(0)
    distiller = Distiller(SMALL, ALL, TEACHER_CHANNELS)
    outputs = random_outputs(SMALL, 4, distiller.agents(targets, teacher))
    terms = distiller(rows_of(outputs, rows), rows_of(teacher, rows), rows_of(targets, rows))
    assert distiller.regions is not None
    return values(terms), tuple(distiller.regions.values())
