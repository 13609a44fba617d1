"""Means over what is known, the same however a batch is spread over processes.

A mean over the objects of a batch is not the mean of the processes' own means, because each has its own number of
objects. So every process divides its sum by the objects per process on average: the mean of the results over the
processes, which is what data-parallel training takes of gradients, is then the mean over all objects.
"""

from __future__ import annotations

import torch
from torch import Tensor, distributed


def mean_count(count: Tensor) -> Tensor:
    """``count`` () averaged over the processes and at least 1 in all; every process must call it equally often."""
    processes = 1
    total = count.detach().float()
    if distributed.is_available() and distributed.is_initialized():
        processes = distributed.get_world_size()
        total = total.clone()
        distributed.all_reduce(total)
    return total.clamp(min=1.0) / processes


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """The mean of ``values`` where ``mask`` (broadcast to them) is True, over all processes; 0 where it nowhere is.

    A value that is masked has no influence even if it is not finite; its gradient is 0.
    """
    mask = mask.expand_as(values)
    return torch.where(mask, values, torch.zeros_like(values)).sum() / mean_count(mask.sum())


def weighted_mean(values: Tensor, weights: Tensor) -> Tensor:
    """The sum of ``values`` times ``weights`` (broadcast to them) over the sum of the weights, over all processes.

    Where the weights sum to less than 1 it is divided by 1, so a batch in which next to nothing counts is next to
    nothing.
    """
    weights = weights.expand_as(values)
    return (values * weights).sum() / mean_count(weights.sum())
