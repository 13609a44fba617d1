"""Weighted sums of rows, bag by bag, with gradients that cost a third of PyTorch's own on a CPU.

PyTorch's gradient of ``embedding_bag`` for the rows is built for tables of which a step touches a few rows: it sorts,
counts and adds row by row. In the splat every row is touched some thirty times, and the gradient of a row is again a
weighted sum, of the bags that the row is in: the same fast sum with the roles exchanged.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

_SUM = 0
"""PyTorch's number of the mode."""


def weighted_bags(rows_VC: Tensor, weight_P: Tensor, row_P: Tensor, start_G: Tensor) -> Tensor:
    """The sums (G, C) over each bag's pairs of the pair's weight times the pair's row.

    Args:
        rows_VC: the rows, of the weights' type.
        weight_P: of the pairs.
        row_P: which row a pair is of.
        start_G: the first pair of each bag, ascending from 0; it ends where the next begins.
    """
    if torch.is_grad_enabled() and rows_VC.device.type == "cpu" and (rows_VC.requires_grad or weight_P.requires_grad):
        return _WeightedBags.apply(rows_VC, weight_P, row_P, start_G)
    return _sums(rows_VC, weight_P, row_P, start_G)


def _sums(rows_VC: Tensor, weight_P: Tensor, row_P: Tensor, start_G: Tensor) -> Tensor:
    return functional.embedding_bag(row_P, rows_VC, start_G, mode="sum", per_sample_weights=weight_P)


class _WeightedBags(torch.autograd.Function):
    """The sums, and their gradients in float32 at least."""

    @staticmethod
    def forward(ctx: Any, rows_VC: Tensor, weight_P: Tensor, row_P: Tensor, start_G: Tensor) -> Tensor:
        ctx.save_for_backward(rows_VC, weight_P, row_P, start_G)
        return _sums(rows_VC, weight_P, row_P, start_G)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        rows_VC, weight_P, row_P, start_G = ctx.saved_tensors
        exact = torch.promote_types(rows_VC.dtype, torch.float32)
        grad_GC = grads[0].to(exact).contiguous()
        bag_P = _bags(start_G, len(row_P))
        grad_rows_VC = grad_weight_P = None
        if ctx.needs_input_grad[0]:
            order_P = torch.sort(row_P.int(), stable=True).indices
            count_V = torch.bincount(row_P, minlength=len(rows_VC))
            start_V = count_V.cumsum(0) - count_V
            grad_rows_VC = _sums(grad_GC, weight_P.to(exact)[order_P], bag_P[order_P], start_V).to(rows_VC.dtype)
        if ctx.needs_input_grad[1]:
            grad_weight_P = torch.ops.aten._embedding_bag_per_sample_weights_backward(
                grad_GC, rows_VC.to(exact), row_P, start_G, bag_P, _SUM
            ).to(weight_P.dtype)
        return grad_rows_VC, grad_weight_P, None, None


def _bags(start_G: Tensor, pairs: int) -> Tensor:
    """(P,): which bag each pair is in."""
    length_G = torch.cat([start_G[1:], start_G.new_tensor([pairs])]) - start_G
    return torch.repeat_interleave(torch.arange(len(start_G), device=start_G.device), length_G)
