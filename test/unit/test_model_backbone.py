"""The image side: torchvision imports anywhere, its ResNet-18's weights fit, the pyramid ends where it should."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from tinybev.model.backbone import Backbone, Neck
from tinybev.model.torchvision_import import torchvision


def test_torchvision_imports_in_a_fresh_interpreter() -> None:
    code = "from tinybev.model.torchvision_import import torchvision; print(torchvision.models.resnet18)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr
    assert "resnet18" in result.stdout


def test_importing_twice_declares_nothing_twice() -> None:
    code = (
        "import importlib, tinybev.model.torchvision_import as shim; importlib.reload(shim); "
        "from torchvision.ops import box_iou"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr


def test_it_is_torchvisions_resnet18() -> None:
    torch.manual_seed(0)
    reference = torchvision.models.resnet18(weights=None).eval()
    for buffer in reference.buffers():  # trained statistics are not 0 and 1
        if buffer.dtype.is_floating_point:
            buffer.uniform_(0.5, 1.5)
    weights = {name: value for name, value in reference.state_dict().items() if not name.startswith("fc.")}
    backbone = Backbone(width=64).eval()
    backbone.load_state_dict(weights)
    image = torch.randn(2, 3, 64, 96)
    with torch.inference_mode():
        features = reference.maxpool(reference.relu(reference.bn1(reference.conv1(image))))
        for mine, stage in zip(backbone(image), ("layer1", "layer2", "layer3", "layer4"), strict=True):
            features = getattr(reference, stage)(features)
            torch.testing.assert_close(mine, features, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("feature_stride", [4, 8, 16])
def test_the_neck_ends_at_the_feature_stride(feature_stride: int) -> None:
    backbone = Backbone(width=8)
    neck = Neck(backbone.channels, feature_stride, channels=16)
    image = torch.randn(1, 3, 64, 176)  # 176 is no multiple of 32: the coarsest stage rounds up
    assert neck(backbone(image)).shape == (1, 16, 64 // feature_stride, 176 // feature_stride)


def test_every_stage_reaches_the_features() -> None:
    backbone = Backbone(width=8)
    neck = Neck(backbone.channels, 4, channels=16)
    neck(backbone(torch.randn(1, 3, 64, 64))).square().sum().backward()
    assert all(parameter.grad is not None for parameter in (*backbone.parameters(), *neck.parameters()))
