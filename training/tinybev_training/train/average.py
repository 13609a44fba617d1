"""The exponential moving average of the weights."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

Lists = tuple[Tensor, ...] | list[Tensor]


def make_average(network: nn.Module, decay: float) -> AveragedModel:
    """A copy of ``network`` in evaluation mode, whose ``update_parameters`` follows it; buffers are averaged too.

    After n updates the decay is the smaller one of ``decay`` and (1 + n) / (10 + n).
    """
    average = AveragedModel(network, multi_avg_fn=_follow(decay), use_buffers=True)
    average.requires_grad_(False)
    return average.eval()


def _follow(decay: float) -> Callable[[Lists, Lists, Tensor | int], None]:
    @torch.no_grad()
    def follow(averages: Lists, news: Lists, updates: Tensor | int) -> None:
        n = int(updates)
        keep = min(decay, (1 + n) / (10 + n))
        if averages[0].is_floating_point():
            torch._foreach_lerp_(averages, news, 1 - keep)
        else:  # counters, as of the batches that a normalisation has seen
            torch._foreach_copy_(averages, news)

    return follow
