"""How much each cell counts in distillation: more where it matters, and most where the student still has to learn."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, distributed, nn

from tinybev_training.distill.config import RegionConfig
from tinybev_training.distill.region_masks import Region

_EMPTY_CELLS = 1e-3
"""A region kind of which a batch has fewer cells tells nothing about the disagreement there."""


class RegionImportances(NamedTuple):
    """How much each region kind counts relative to the others; the mean is 1."""

    agents: float
    map: float
    occupancy: float
    plan: float
    disagreement: float


class RegionWeights(nn.Module):
    """Weights of cells, adapted to where student and teacher disagree; the running disagreements are buffers.

    With the mask M_r of region kind r and the disagreement E_r of a batch, d_r = sum(M_r E_r) / sum(M_r) is how much
    the two differ in that kind of region. A running mean of d_r is kept, of the batches in which the kind occurs; the
    importance i_r is that mean over the mean of all kinds. A kind in which the student has caught up thus fades, and
    one in which it lags grows. A cell's weight is 1 + strength * sum_r(i_r M_r), divided by its mean over the sample.
    """

    def __init__(self, config: RegionConfig) -> None:
        super().__init__()
        self.config = config
        self.disagreement_R: Tensor
        self.updates_R: Tensor
        self.register_buffer("disagreement_R", torch.zeros(len(Region)))
        self.register_buffer("updates_R", torch.zeros(len(Region), dtype=torch.int64))

    def forward(self, masks_BRXY: Tensor) -> Tensor:
        """The weights (B, X, Y) of the cells: finite, not negative, of mean 1 in every sample."""
        importance_R11 = self.importance_R[:, None, None]
        weights_BXY = 1 + self.config.strength * (importance_R11 * masks_BRXY).sum(dim=1)
        return weights_BXY / weights_BXY.mean(dim=(1, 2), keepdim=True)

    @torch.no_grad()
    def update(self, masks_BRXY: Tensor, disagreements_BRXY: Tensor) -> None:
        """Takes a batch into the running disagreements; every process must call it equally often."""
        sums_2R = torch.stack([masks_BRXY * disagreements_BRXY, masks_BRXY]).sum(dim=(1, 3, 4))
        if distributed.is_available() and distributed.is_initialized():
            distributed.all_reduce(sums_2R)
        seen_R = sums_2R[1] > _EMPTY_CELLS
        now_R = sums_2R[0] / sums_2R[1].clamp(min=_EMPTY_CELLS)
        # A plain mean at first, so that the start at 0 does not linger.
        rate_R = (1 / (self.updates_R + 1)).clamp(min=1 - self.config.momentum)
        self.disagreement_R += torch.where(seen_R, rate_R * (now_R - self.disagreement_R), 0.0)
        self.updates_R += seen_R

    @property
    def importance_R(self) -> Tensor:
        """(R,) of mean 1; a kind that has not occurred yet, or all of them where nothing adapts, is 1."""
        seen_R = self.updates_R > 0
        total = (self.disagreement_R * seen_R).sum()
        relative_R = self.disagreement_R * seen_R.sum() / total
        return torch.where(seen_R & (total > 0) & self.config.adaptive, relative_R, 1.0)

    def values(self) -> RegionImportances:
        """The importances as numbers, for a curve."""
        return RegionImportances(*self.importance_R.tolist())
