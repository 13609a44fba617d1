"""Rounding in training: what it rounds to, that gradients pass, and that the int8 backend rounds the same layers."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from made_batch import MadeSample, made_batch
from tinybev_training.train.first_weights import first_network
from tinybev_training.train.inputs import Told
from tinybev_training.train.recipe import Recipe
from tinybev_training.train.recipes import find_recipe
from tinybev_training.train.rounded_network import RoundedStudentNetwork, rounded_input, rounded_weight
from tinybev_training.train.run import train
from torch import nn
from torch.nn.utils import fuse_conv_bn_eval
from train_runs import MICRO, RECIPE, place

from tinybev.errors import UserError
from tinybev.runtime.backends.int8_layers import int8_layers
from tinybev.runtime.backends.openvino_int8 import KEPT
from tinybev.runtime.bundle import read_bundle

ROUNDED = dataclasses.replace(RECIPE, int8=True)

numbers = st.floats(-100, 100, width=32)


@given(st.lists(numbers, min_size=1, max_size=50))
def test_inputs_are_rounded_to_the_nearest_of_256_steps_and_zero_stays_zero(values: list[float]) -> None:
    given_F = torch.tensor([*values, 0.0])
    got_F = rounded_input(given_F)
    step = (max(*values, 0.0) - min(*values, 0.0)) / 255
    assert (got_F - given_F).abs().max() <= 1.001 * step + 1e-6  # half of one, and half of one that zero is moved by
    assert got_F[-1] == 0
    assert len(got_F.unique()) <= 256


@given(st.lists(st.lists(numbers, min_size=6, max_size=6), min_size=1, max_size=4))
def test_weights_are_rounded_channel_by_channel_as_a_loop_would(rows: list[list[float]]) -> None:
    weight_OI = torch.tensor(rows)
    got_OI = rounded_weight(weight_OI)
    for row, got in zip(weight_OI.double().tolist(), got_OI.tolist(), strict=True):
        step = max(max(abs(value) for value in row) / 127, 1e-8)
        for value, rounded in zip(row, got, strict=True):
            assert abs(rounded / step - round(rounded / step)) < 1e-3
            assert abs(rounded - value) <= 0.501 * step + 1e-9


def test_gradients_pass_as_if_nothing_were_rounded() -> None:
    values_F = torch.linspace(-1, 2, 50, requires_grad=True)
    rounded_input(values_F).sum().backward()
    weight_OI = torch.randn(4, 9, generator=torch.Generator().manual_seed(0)).requires_grad_()
    rounded_weight(weight_OI).sum().backward()
    assert values_F.grad is not None
    assert weight_OI.grad is not None
    assert torch.equal(values_F.grad, torch.ones(50))
    assert torch.equal(weight_OI.grad, torch.ones(4, 9))


def test_rounding_before_normalisation_is_folded_in_is_rounding_after() -> None:
    torch.manual_seed(0)
    conv, norm = nn.Conv2d(3, 8, 3, bias=False).eval(), nn.BatchNorm2d(8).eval()
    nn.init.uniform_(norm.weight, -2, 2)
    nn.init.uniform_(norm.running_var, 0.1, 3)
    folded = rounded_weight(fuse_conv_bn_eval(conv, norm).weight)
    conv.weight = nn.Parameter(rounded_weight(conv.weight))
    assert torch.allclose(fuse_conv_bn_eval(conv, norm).weight, folded, atol=1e-6)


@pytest.mark.usefixtures("micro")
def test_every_layer_that_the_backend_quantizes_is_rounded() -> None:
    network = first_network(ROUNDED)
    assert isinstance(network, RoundedStudentNetwork)
    student, batch = network.student, made_batch(MadeSample(), MadeSample(), config=MICRO)
    told = Told.everything(batch, ego_status=False)
    rounded = set(int8_layers(first_network(RECIPE).student, KEPT))  # type: ignore[arg-type]
    assert not any(name.startswith(KEPT) for name in rounded)
    given: dict[str, int] = {}
    for name, layer in student.named_modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            layer.register_forward_hook(
                lambda layer, inputs, output, name=name: given.update({name: len(inputs[0].unique())})
            )
    outputs = network(batch, told)
    assert {name for name, values in given.items() if values <= 256} >= rounded
    assert max(values for name, values in given.items() if name not in rounded) > 256
    exact = first_network(RECIPE)(batch, told)
    assert not torch.equal(outputs.map_BKXY, exact.map_BKXY)
    assert torch.isclose(outputs.map_BKXY, exact.map_BKXY, atol=0.2).float().mean() > 0.9
    outputs.map_BKXY.sum().backward()
    gradient = student.backbone.conv1.weight.grad
    assert gradient is not None
    assert gradient.abs().sum() > 0


@pytest.mark.usefixtures("micro")
def test_a_run_starts_from_a_bundle_and_leaves_an_ordinary_one(split_dataroot: Path, tmp_path: Path) -> None:
    train(RECIPE, place(split_dataroot, tmp_path / "exact"), resume=False)
    start = tmp_path / "exact" / "bundle"
    recipe = dataclasses.replace(
        find_recipe("int8", str(start)),
        start=str(start),
        **{name: getattr(RECIPE, name) for name in ("network", "split", "validation_split", "samples", "rhythm")},
        steps=2,
    )
    train(recipe, place(split_dataroot, tmp_path / "rounded"), resume=False)
    before, after = read_bundle(start), read_bundle(tmp_path / "rounded" / "bundle")
    assert before.weights.keys() == after.weights.keys()
    name = "backbone.conv1.weight"
    assert 0 < (before.weights[name] - after.weights[name]).abs().max() < 0.01
    assert torch.equal(before.weights["backbone.bn1.running_mean"], after.weights["backbone.bn1.running_mean"])
    assert after.manifest.training["recipe"]["int8"] is True  # type: ignore[index]


@pytest.mark.usefixtures("micro")
@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"memory_frames": 1}, "int8: expected a network without memory"),
        ({"network": "teacher-nano"}, "int8: expected false for a teacher"),
    ],
)
def test_what_no_backend_quantizes_is_refused(settings: dict[str, object], complaint: str) -> None:
    recipe: Recipe = dataclasses.replace(ROUNDED, **settings)  # type: ignore[arg-type]
    with pytest.raises(UserError, match=complaint):
        first_network(recipe)
