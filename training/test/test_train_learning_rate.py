"""The learning rate, weight decay and the average: functions of the step alone."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from tinybev_training.train.average import make_average
from tinybev_training.train.learning_rate import make_optimizer, make_schedule, rate_factor
from tinybev_training.train.recipe import Optimization
from torch import nn

OPTIONS = Optimization(learning_rate=0.1, warmup_steps=4, final_fraction=0.1, weight_decay=0.5)


def test_it_rises_linearly_and_falls_along_a_cosine_to_its_end() -> None:
    factors = [rate_factor(step, OPTIONS, 25) for step in range(25)]
    assert factors[:5] == [0.25, 0.5, 0.75, 1.0, 1.0]
    assert factors[14] == pytest.approx(0.55)  # half way from step 4 to step 24
    assert factors[24] == pytest.approx(0.1)
    assert all(a >= b for a, b in pairwise(factors[3:]))
    assert rate_factor(99, OPTIONS, 25) == pytest.approx(0.1)
    assert rate_factor(0, Optimization(warmup_steps=0), 1) == 1.0


def test_the_schedule_is_the_function_of_the_step() -> None:
    optimizer = make_optimizer(nn.Linear(2, 2), OPTIONS)
    schedule = make_schedule(optimizer, OPTIONS, 10)
    for step in range(10):
        assert [group["lr"] for group in optimizer.param_groups] == [0.1 * rate_factor(step, OPTIONS, 10)] * 2
        optimizer.step()
        schedule.step()


def test_only_weights_with_two_axes_decay_and_frozen_ones_are_left_out() -> None:
    module = nn.Sequential(nn.Conv2d(2, 3, 1), nn.BatchNorm2d(3), nn.Linear(3, 1))
    module[2].requires_grad_(False)
    decaying, others = make_optimizer(module, OPTIONS).param_groups
    assert (decaying["weight_decay"], others["weight_decay"]) == (0.5, 0.0)
    assert [id(one) for one in decaying["params"]] == [id(module[0].weight)]
    assert {id(one) for one in others["params"]} == {id(p) for p in (module[0].bias, *module[1].parameters())}


def test_the_average_follows_weights_and_statistics_as_the_formula_says() -> None:
    network = nn.BatchNorm1d(1)
    average = make_average(network, decay=0.8)
    expected, values = 0.0, [3.0, 5.0, -2.0, 7.0, 1.0, 4.0, 9.0, 2.0, 6.0, 8.0]
    for n, value in enumerate(values):
        with torch.no_grad():
            network.weight.fill_(value)
            network.running_mean.fill_(10 * value)
            network.num_batches_tracked.fill_(n)
        average.update_parameters(network)
        keep = 0.0 if n == 0 else min(0.8, (1 + n) / (10 + n))
        expected = keep * expected + (1 - keep) * value
        assert average.module.weight.item() == pytest.approx(expected, rel=1e-5)
        assert average.module.running_mean.item() == pytest.approx(10 * expected, rel=1e-5)
        assert average.module.num_batches_tracked.item() == n
    assert math.isclose(network.weight.item(), 8.0)
    assert not any(parameter.requires_grad for parameter in average.parameters())
    assert not average.module.training
