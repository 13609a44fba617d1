"""Masks on the grid, as of the map and of occupied cells: cross entropy for every cell, Dice for thin shapes."""

from __future__ import annotations

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
    overlap_BC = (probability * target).sum(dim=(2, 3))
    area_BC = (probability.square() + target.square()).sum(dim=(2, 3))
    dice_BC = (2 * overlap_BC + _DICE_SMOOTHING) / (area_BC + _DICE_SMOOTHING)
    return masked_mean(entropy_BC + 1 - dice_BC, known_BC)
