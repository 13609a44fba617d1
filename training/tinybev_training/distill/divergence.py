"""How far the student's probabilities are from the teacher's, both softened by a temperature.

All follow Hinton et al.: logits are divided by the temperature, the Kullback-Leibler divergence from teacher to student
is multiplied by its square, so that gradients keep their size. As the temperature grows the divergence becomes a
squared distance of logits.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

_LARGEST_LOGIT = 9.0
"""A teacher's probability is taken to be 0.0001 to 0.9999; surer it cannot be told from rounding."""


def binary_divergence(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """Of each pair of logits, over yes and no; 0 where they are equal, nats times temperature squared."""
    student, teacher = student / temperature, teacher.clamp(-_LARGEST_LOGIT, _LARGEST_LOGIT) / temperature
    # p log(p / q) + (1 - p) log((1 - p) / (1 - q)) with log(1 - q) = log q - z, z the logit of q, and likewise of p
    no = torch.sigmoid(-teacher)
    divergence = functional.logsigmoid(teacher) - functional.logsigmoid(student) + no * (student - teacher)
    return divergence * temperature**2


def categorical_divergence(student: Tensor, teacher_probability: Tensor, temperature: float) -> Tensor:
    """Over the last axis, from the teacher's probabilities (already softened) to the student's logits."""
    log_student = functional.log_softmax(student / temperature, dim=-1)
    cross_entropy = -(teacher_probability * log_student).sum(dim=-1)
    return (cross_entropy - torch.special.entr(teacher_probability).sum(dim=-1)) * temperature**2


def logits_of(probability: Tensor) -> Tensor:
    """The logits of probabilities, as far as ``binary_divergence`` looks at them."""
    return torch.logit(probability.float(), eps=1 / (1 + math.exp(_LARGEST_LOGIT)))
