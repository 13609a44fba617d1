"""A random student of a made street, and what a made teacher teaches it."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from made_batch import SMALL, STREET, made_batch, random_outputs
from made_teacher import TEACHER_CHANNELS
from tinybev_training.distill.config import DistillConfig, RegionConfig
from tinybev_training.distill.distiller import Distiller
from tinybev_training.distill.terms import DistillTerms, DistillWeights
from tinybev_training.losses.targets import StudentTargets, student_targets
from tinybev_training.teacher.outputs import TeacherOutputs
from torch import Tensor

from tinybev.geometry import BevGrid
from tinybev.model.student import StudentOutputs

ALL = DistillConfig(DistillWeights(**dict.fromkeys(DistillTerms._fields, 1.0)), regions=RegionConfig())


def values(terms: DistillTerms) -> dict[str, float]:
    """The terms as numbers."""
    return {name: term.item() for name, term in terms._asdict().items()}


def street(samples: int = 1, labelled: bool = True) -> StudentTargets:
    """The targets of some samples of ``STREET``."""
    labelled_B = torch.full((samples,), labelled)
    return student_targets(made_batch(*[STREET] * samples), SMALL, labelled_B=labelled_B)


def distilled(
    config: DistillConfig, teacher: TeacherOutputs, samples: int = 1
) -> tuple[DistillTerms, StudentOutputs, Distiller]:
    """The terms of random outputs, the outputs, and the distiller, always the same."""
    torch.manual_seed(0)
    distiller, targets = Distiller(SMALL, config, TEACHER_CHANNELS), street(samples)
    outputs = random_outputs(SMALL, samples, distiller.agents(targets, teacher))
    return distiller(outputs, teacher, targets), outputs, distiller


def gradients(outputs: Any) -> dict[str, Tensor]:
    """Of the leaves that got one."""
    found = {}
    for name, value in outputs._asdict().items():
        if isinstance(value, Tensor):
            if value.requires_grad and value.grad is not None:
                found[name] = value.grad
        else:
            found |= gradients(value)
    return found


def rows_of(outputs: Any, rows: slice) -> Any:
    """Some samples of nested named tuples and dataclasses of tensors."""
    if isinstance(outputs, Tensor):
        return outputs[rows]
    if isinstance(outputs, tuple):
        return type(outputs)(*(rows_of(output, rows) for output in outputs))
    if dataclasses.is_dataclass(outputs) and not isinstance(outputs, BevGrid):
        return type(outputs)(**{name: rows_of(value, rows) for name, value in vars(outputs).items()})
    return outputs
