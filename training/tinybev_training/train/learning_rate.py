"""The optimizer and its learning rate, a function of the step alone."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.optim import AdamW
from torch.optim.lr_scheduler import LambdaLR

from tinybev_training.train.recipe import Optimization


def make_optimizer(module: nn.Module, options: Optimization) -> AdamW:
    """AdamW over what is trained; weights with fewer than two axes do not decay."""
    trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
    groups = [
        {"params": [one for one in trained if one.ndim >= 2], "weight_decay": options.weight_decay},
        {"params": [one for one in trained if one.ndim < 2], "weight_decay": 0.0},
    ]
    return AdamW(groups, lr=options.learning_rate, betas=options.betas)


def make_schedule(optimizer: torch.optim.Optimizer, options: Optimization, steps: int) -> LambdaLR:
    """The schedule of a run of ``steps``."""
    return LambdaLR(optimizer, lambda step: rate_factor(step, options, steps))


def rate_factor(step: int, options: Optimization, steps: int) -> float:
    """By what the highest learning rate is multiplied in step ``step``, the first being 0.

    It rises linearly over the warm-up and then falls along half a cosine to ``final_fraction``.
    """
    if step < options.warmup_steps:
        return (step + 1) / options.warmup_steps
    done = min(1.0, (step - options.warmup_steps) / max(1, steps - options.warmup_steps - 1))
    return options.final_fraction + (1 - options.final_fraction) * (1 + math.cos(math.pi * done)) / 2
