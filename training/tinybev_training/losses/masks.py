"""Masks on the grid, as of the map and of occupied cells: cross entropy for every cell, Dice for thin shapes."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from tinybev_training.losses.reduction import masked_mean

_DICE_SMOOTHING = 1.0
"""Cells; makes an empty mask a target like any other."""


def mask_loss(logits_BCXY: Tensor, target_BCXY: Tensor, known_BC: Tensor) -> Tensor:
    """The mean, over the masks that are known, of the mean cross entropy of their cells plus 1 - Dice.

    Cross entropy keeps the probabilities honest; Dice (with squares in the denominator, as in V-Net) does not let a
    line that takes one cell in a hundred drown.
    """
    logits = logits_BCXY.float()
    target = target_BCXY.to(logits)
    entropy_BC = functional.binary_cross_entropy_with_logits(logits, target, reduction="none").mean(dim=(2, 3))
    probability = logits.sigmoid()
    return masked_mean(entropy_BC + 1 - dice(probability, target, torch.ones_like(target)), known_BC)


def dice(first_BCXY: Tensor, second_BCXY: Tensor, weights_BCXY: Tensor) -> Tensor:
    """(B, C): how much two soft masks overlap, 1 where they are equal; cells count by their weights."""
    overlap_BC = (weights_BCXY * first_BCXY * second_BCXY).sum(dim=(2, 3))
    area_BC = (weights_BCXY * (first_BCXY.square() + second_BCXY.square())).sum(dim=(2, 3))
    return (2 * overlap_BC + _DICE_SMOOTHING) / (area_BC + _DICE_SMOOTHING)
