"""Futures of agents: the best of the modes is pulled to what happened, and the modes learn to say which it was."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from tinybev.model.heads.motion import MotionOutputs
from tinybev_training.losses.reduction import masked_mean

_ANNOTATION_VARIANCE = 0.1**2
"""Square metres along each axis: annotated positions are no better than a decimetre."""


class MotionLosses(NamedTuple):
    """Scalars: negative log-likelihood per step in nats, and cross entropy per agent."""

    likelihood: Tensor
    mode: Tensor


def motion_losses(motion: MotionOutputs, futures_BAT2: Tensor, mask_BAT: Tensor) -> MotionLosses:
    """Winner takes all.

    The best mode is the one whose mean comes closest to the future on average over the steps that are known; it alone
    is compared with the future, as a Gaussian to which the annotation's own variance is added, so that the likelihood
    is bounded whatever the network says.

    Args:
        motion: of the agents.
        futures_BAT2: their positions less where they are now, metres.
        mask_BAT: which of these are known; an agent without any does not count.
    """
    error_BAKT2 = motion.offset_BAKT2.float() - futures_BAT2[:, :, None]
    distance_BAKT = error_BAKT2.detach().norm(dim=-1) * mask_BAT[:, :, None]
    best_BA = distance_BAKT.sum(dim=3).argmin(dim=2)

    def of_best(values_BAK: Tensor) -> Tensor:
        index = best_BA.reshape(*best_BA.shape, *[1] * (values_BAK.ndim - 2))
        return values_BAK.gather(2, index.expand(-1, -1, 1, *values_BAK.shape[3:]))[:, :, 0]

    # What is not known is set before, not after: nothing bounds it, and the gradient of 0 times infinity is none.
    mask_BAT1 = mask_BAT[..., None]
    nll_BAT = gaussian_nll(
        of_best(error_BAKT2).where(mask_BAT1, 0.0),
        of_best(motion.log_sigma_BAKT2.float()).where(mask_BAT1, 0.0),
        of_best(motion.correlation_BAKT.float()).where(mask_BAT, 0.0),
    )
    mode_F = functional.cross_entropy(motion.logits_BAK.float().flatten(0, 1), best_BA.flatten(), reduction="none")
    return MotionLosses(masked_mean(nll_BAT, mask_BAT), masked_mean(mode_F, mask_BAT.any(dim=2).flatten()))


def gaussian_nll(error: Tensor, log_sigma: Tensor, correlation: Tensor) -> Tensor:
    """-log N(error; 0, S + 0.01 m² I), S of sigmas and correlation: (…, 2), (…, 2), (…) to (…), nats."""
    sigma_x, sigma_y = log_sigma.exp().unbind(-1)
    var_x, var_y = sigma_x.square() + _ANNOTATION_VARIANCE, sigma_y.square() + _ANNOTATION_VARIANCE
    covariance = correlation * sigma_x * sigma_y
    # var_x var_y - covariance², without the difference of two large numbers that are all but equal.
    determinant = (
        (sigma_x * sigma_y).square() * (1 - correlation) * (1 + correlation)
        + _ANNOTATION_VARIANCE * (sigma_x.square() + sigma_y.square())
        + _ANNOTATION_VARIANCE**2
    )
    x, y = error.unbind(-1)
    mahalanobis = (x.square() * var_y - 2 * x * y * covariance + y.square() * var_x) / determinant
    return (mahalanobis + torch.log(determinant)) / 2 + math.log(2 * math.pi)
