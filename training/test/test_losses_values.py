"""The losses that terms are made of, each beside a plain loop or a library's own formula."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from tinybev_training.losses.heatmap import focal_loss
from tinybev_training.losses.masks import mask_loss
from tinybev_training.losses.motion import gaussian_nll, motion_losses
from tinybev_training.losses.reduction import masked_mean, weighted_mean

from tinybev.model.heads.motion import MotionOutputs

torch.set_num_threads(1)


def test_the_focal_loss_equals_a_loop() -> None:
    generator = np.random.default_rng(0)
    logits = generator.normal(size=(2, 3, 4, 5))
    heatmap = generator.uniform(0, 0.9, (2, 3, 4, 5))
    heatmap[0, 1, 2, 3] = heatmap[1, 0, 0, 0] = heatmap[0, 0, 1, 1] = 1.0
    total = 0.0
    for index in np.ndindex(1, 3, 4, 5):
        p, target = 1 / (1 + math.exp(-logits[index])), heatmap[index]
        total += -((1 - p) ** 2) * math.log(p) if target == 1 else -(p**2) * (1 - target) ** 4 * math.log(1 - p)
    found = focal_loss(
        torch.from_numpy(logits), torch.from_numpy(heatmap), torch.tensor(2), torch.tensor([True, False])
    )
    assert found.item() == pytest.approx(total / 2, rel=1e-5)


def test_the_focal_loss_is_finite_for_any_logit() -> None:
    logits = torch.tensor([-1e4, 1e4, -1e4, 1e4]).view(1, 1, 2, 2).requires_grad_()
    heatmap = torch.tensor([1.0, 1.0, 0.3, 0.0]).view(1, 1, 2, 2)
    loss = focal_loss(logits, heatmap, torch.tensor(2), torch.tensor([True]))
    loss.backward()
    assert loss.isfinite()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


def test_the_mask_loss_equals_a_loop() -> None:
    generator = np.random.default_rng(1)
    logits, target = generator.normal(size=(2, 3, 4, 5)), generator.random((2, 3, 4, 5)) < 0.2
    known = np.array([[True, False, True], [False, False, True]])
    each = []
    for b, c in np.argwhere(known):
        p, y = 1 / (1 + np.exp(-logits[b, c])), target[b, c].astype(float)
        entropy = -(y * np.log(p) + (1 - y) * np.log(1 - p)).mean()
        each.append(entropy + 1 - (2 * (p * y).sum() + 1) / ((p**2).sum() + (y**2).sum() + 1))
    found = mask_loss(*(torch.from_numpy(array) for array in (logits, target, known)))
    assert found.item() == pytest.approx(np.mean(each), rel=1e-5)


def test_the_likelihood_is_that_of_a_gaussian_with_correlation() -> None:
    generator = torch.Generator().manual_seed(2)
    error, log_sigma = torch.randn(7, 2, generator=generator), torch.randn(7, 2, generator=generator)
    correlation = torch.randn(7, generator=generator).tanh()
    sigma = log_sigma.exp()
    covariance = torch.diag_embed(sigma**2 + 0.01)
    covariance[:, 0, 1] = covariance[:, 1, 0] = correlation * sigma[:, 0] * sigma[:, 1]
    wanted = -torch.distributions.MultivariateNormal(torch.zeros(7, 2), covariance).log_prob(error)
    assert torch.allclose(gaussian_nll(error, log_sigma, correlation), wanted, atol=1e-4)


@pytest.mark.parametrize("log_sigma", [-30.0, 0.0, 6.0, 15.0])
@pytest.mark.parametrize("correlation", [-1.0, 0.0, 1.0])
def test_the_likelihood_is_finite_at_the_limits(log_sigma: float, correlation: float) -> None:
    inputs = [
        torch.tensor([[3.0, -50.0]], requires_grad=True),
        torch.full((1, 2), log_sigma, requires_grad=True),
        torch.full((1,), correlation, requires_grad=True),
    ]
    nll = gaussian_nll(*inputs).sum()
    nll.backward()
    assert nll.isfinite()
    assert all(tensor.grad is not None and tensor.grad.isfinite().all() for tensor in inputs)


@pytest.mark.parametrize("wild", [12.0, 90.0])
def test_what_is_not_known_of_a_future_has_no_gradient_whatever_the_network_says(wild: float) -> None:
    """Nothing holds the network there: its sigmas may be such that the likelihood is not a number."""
    generator = torch.Generator().manual_seed(4)
    outputs = [
        torch.randn(1, 2, 1, 3, 2, generator=generator),
        torch.full((1, 2, 1, 3, 2), wild),
        torch.full((1, 2, 1, 3), 1.0 - 1e-7),
        torch.randn(1, 2, 1, generator=generator),
    ]
    known = torch.zeros(1, 2, 3, dtype=torch.bool)
    known[0, 0, 0] = True
    outputs[1][0, 0, 0, 0] = outputs[2][0, 0, 0, 0] = 0.0  # of the one step that is known
    outputs = [output.requires_grad_() for output in outputs]
    loss = motion_losses(MotionOutputs(*outputs), torch.zeros(1, 2, 3, 2), known)
    (loss.likelihood + loss.mode).backward()
    for output in outputs[:3]:
        assert output.grad is not None
        assert output.grad.isfinite().all()
        assert not output.grad[0, 1].any()
        assert not output.grad[0, 0, 0, 1:].any()
    assert outputs[1].grad is not None
    assert outputs[1].grad[0, 0, 0, 0].all()


def test_only_the_best_mode_learns_and_is_named() -> None:
    generator = torch.Generator().manual_seed(3)
    offset = torch.randn(2, 3, 4, 5, 2, generator=generator).requires_grad_()
    log_sigma, correlation = torch.randn(2, 3, 4, 5, 2, generator=generator), torch.zeros(2, 3, 4, 5)
    logits = torch.randn(2, 3, 4, generator=generator)
    futures, mask = torch.randn(2, 3, 5, 2, generator=generator), torch.rand(2, 3, 5, generator=generator) < 0.6
    mask[1, 2] = False
    losses = motion_losses(MotionOutputs(offset, log_sigma, correlation, logits), futures, mask)
    nlls, entropies = [], []
    for b in range(2):
        for a in range(3):
            steps = mask[b, a].nonzero()[:, 0].tolist()
            if not steps:
                continue
            misses = [sum((offset[b, a, k, t] - futures[b, a, t]).norm().item() for t in steps) for k in range(4)]
            best = int(np.argmin(misses))
            entropies.append((logits[b, a].logsumexp(dim=0) - logits[b, a, best]).item())
            for t in steps:
                error = (offset[b, a, best, t] - futures[b, a, t])[None]
                nlls.append(gaussian_nll(error, log_sigma[b, a, best, t][None], torch.zeros(1)).item())
    assert losses.likelihood.item() == pytest.approx(np.mean(nlls), rel=1e-4)
    assert losses.mode.item() == pytest.approx(np.mean(entropies), rel=1e-4)
    losses.likelihood.backward()
    assert offset.grad is not None
    touched = offset.grad.abs().sum(dim=(3, 4)) > 0
    assert touched.sum(dim=2).tolist() == mask.any(dim=2).long().tolist()
    assert (offset.grad.abs().sum(dim=(2, 4)) > 0).tolist() == mask.tolist()


def test_a_masked_value_has_no_influence_even_if_it_is_not_finite() -> None:
    values_3 = torch.tensor([1.0, float("nan"), 4.0], requires_grad=True)
    mean = masked_mean(values_3, torch.tensor([True, False, True]))
    mean.backward()
    assert mean.item() == 2.5
    assert values_3.grad is not None
    assert values_3.grad.tolist() == [0.5, 0.0, 0.5]


def test_a_weighted_mean_divides_by_the_weights() -> None:
    assert weighted_mean(torch.tensor([1.0, 4.0]), torch.tensor([3.0, 1.0])).item() == 1.75
    assert weighted_mean(torch.tensor([8.0]), torch.tensor([0.25])).item() == 2.0, "next to nothing stays so"
