"""Output level on grids: object centres, map classes and occupied cells, logit by logit."""

from __future__ import annotations

from torch import Tensor

from tinybev_training.distill.divergence import binary_divergence
from tinybev_training.distill.taught import TaughtGrid
from tinybev_training.losses.masks import dice
from tinybev_training.losses.reduction import masked_mean, mean_count, weighted_mean

_CENTER_FOCUS = 2
"""Power of the difference of probabilities by which a cell of the heatmap counts."""


def heatmap_divergence(logits_BKXY: Tensor, taught: TaughtGrid, temperature: float, weights_BXY: Tensor) -> Tensor:
    """The divergence of the object centres, focused on the cells in which the two differ, per object.

    The factor is that of the quality focal loss; with it the thousands of empty cells on which both agree add up to
    nothing. The objects are counted as the sum of the teacher's squared probabilities, which is a few for each clear
    centre and next to nothing for background, and by the same weights: regions say which objects count more than
    others, and the term's own weight how much all of them do.
    """
    logits = logits_BKXY.float()
    difference_BKXY = (logits.sigmoid() - taught.logits_BCXY.sigmoid()).abs() ** _CENTER_FOCUS
    divergence_BKXY = binary_divergence(logits, taught.logits_BCXY, temperature)
    weights_BKXY = weights_BXY[:, None] * taught.known_BCXY
    count = (taught.probability_BCXY.square() * weights_BKXY).sum()
    return (difference_BKXY * divergence_BKXY * weights_BKXY).sum() / mean_count(count)


def mask_divergence(logits_BCXY: Tensor, taught: TaughtGrid, temperature: float, weights_BXY: Tensor) -> Tensor:
    """The weighted mean divergence over cells and channels of which the teacher speaks, plus 1 - Dice of the two masks.

    Divergence alone makes a student that cannot tell where a car is give every cell the probability that it is there,
    and that is below a half everywhere: its masks shrink. Dice, of the teacher's probabilities in place of an annotated
    mask, asks for an area of the right size, as it does of annotated masks. It is 0 where the two agree, like the rest.

    Where one side has more channels (steps of occupancy) than the other, the first ones are compared.
    """
    channels = min(logits_BCXY.shape[1], taught.logits_BCXY.shape[1])
    logits, taught_logits = logits_BCXY[:, :channels].float(), taught.logits_BCXY[:, :channels]
    known_BCXY = taught.known_BCXY[:, :channels]
    weights_BCXY = weights_BXY[:, None] * known_BCXY
    divergence = weighted_mean(binary_divergence(logits, taught_logits, temperature), weights_BCXY)
    dice_BC = dice(logits.sigmoid(), taught_logits.sigmoid(), weights_BCXY)
    return divergence + masked_mean(1 - dice_BC, known_BCXY.flatten(2).any(dim=2))
