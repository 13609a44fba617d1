"""Weighted sums of rows: the sums and their gradients are those of a loop and of PyTorch, empty bags included."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from tinybev.model.weighted_bags import weighted_bags

torch.set_num_threads(1)


def pairs(seed: int, rows: int, bags: int, count: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Random rows (3 channels), weights, rows of the pairs and starts, float64."""
    draw = torch.Generator().manual_seed(seed)
    bag_P = torch.randint(0, bags, (count,), generator=draw)
    length_G = torch.bincount(bag_P, minlength=bags)
    return (
        torch.randn(rows, 3, generator=draw, dtype=torch.float64).requires_grad_(),
        torch.rand(count, generator=draw, dtype=torch.float64).requires_grad_(),
        torch.randint(0, rows, (count,), generator=draw),
        length_G.cumsum(0) - length_G,
    )


def test_sums_equal_a_loop() -> None:
    rows, weights, row, start = pairs(0, 5, 7, 20)
    found = weighted_bags(rows, weights, row, start)
    ends = [*start[1:].tolist(), 20]
    for bag, (first, end) in enumerate(zip(start.tolist(), ends, strict=True)):
        wanted = sum((weights[p] * rows[row[p]] for p in range(first, end)), torch.zeros(3))
        torch.testing.assert_close(found[bag], wanted, check_dtype=False)


@settings(max_examples=40)
@given(seed=st.integers(0, 10_000), rows=st.integers(1, 9), bags=st.integers(1, 9), count=st.integers(1, 30))
def test_gradients_are_pytorchs(seed: int, rows: int, bags: int, count: int) -> None:
    rows_VC, weights, row, start = pairs(seed, rows, bags, count)
    upstream = torch.randn(bags, 3, generator=torch.Generator().manual_seed(seed + 1), dtype=torch.float64)
    found = torch.autograd.grad(weighted_bags(rows_VC, weights, row, start), (rows_VC, weights), upstream)
    plain = functional.embedding_bag(row, rows_VC, start, mode="sum", per_sample_weights=weights)
    for mine, theirs in zip(found, torch.autograd.grad(plain, (rows_VC, weights), upstream), strict=True):
        torch.testing.assert_close(mine, theirs)


def test_gradients_are_finite_differences() -> None:
    rows, weights, row, start = pairs(3, 4, 6, 15)
    assert torch.autograd.gradcheck(lambda a, b: weighted_bags(a, b, row, start), (rows, weights))


@pytest.mark.parametrize("wanted", [(True, False), (False, True)])
def test_a_gradient_that_nobody_asks_for_is_not_made(wanted: tuple[bool, bool]) -> None:
    rows, weights, row, start = pairs(1, 5, 7, 20)
    rows.requires_grad_(wanted[0])
    weights.requires_grad_(wanted[1])
    weighted_bags(rows, weights, row, start).sum().backward()  # type: ignore[no-untyped-call]
    assert (rows.grad is not None, weights.grad is not None) == wanted


def test_bfloat16_sums_its_gradients_in_float32() -> None:
    rows, weights, row, start = (part for part in pairs(2, 3, 400, 5000))
    halves = [tensor.detach().bfloat16().requires_grad_() for tensor in (rows, weights)]
    exact = [tensor.detach().float().requires_grad_() for tensor in halves]
    for tensors in (halves, exact):
        weighted_bags(tensors[0], tensors[1], row, start).float().sum().backward()  # type: ignore[no-untyped-call]
    for half, single in zip(halves, exact, strict=True):
        assert half.grad is not None
        assert single.grad is not None
        torch.testing.assert_close(half.grad.float(), single.grad, rtol=2**-8, atol=0)
