"""The two convolutional building blocks that every part of the network shares."""

from __future__ import annotations

from torch import nn

from tinybev.model.torchvision_import import torchvision

BasicBlock = torchvision.models.resnet.BasicBlock

RESIDUAL_START = 0.25
"""Initial scale of every residual branch: blocks start near the identity, so activations keep their size with depth."""


def conv_bn_relu(in_channels: int, out_channels: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    """A convolution that keeps the size (divided by ``stride``), batch normalisation, ReLU."""
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, kernel, stride, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(inplace=True),
    )


def residual_stage(in_channels: int, out_channels: int, blocks: int, stride: int) -> nn.Sequential:
    """A stage of torchvision's residual blocks; the first one changes stride and channels."""
    shortcut = None
    if stride != 1 or in_channels != out_channels:
        shortcut = nn.Sequential(
            nn.Conv2d(in_channels, out_channels, 1, stride, bias=False), nn.BatchNorm2d(out_channels)
        )
    first = BasicBlock(in_channels, out_channels, stride, shortcut)
    return nn.Sequential(first, *(BasicBlock(out_channels, out_channels) for _ in range(blocks - 1)))


def init_convolutions(module: nn.Module) -> None:
    """He initialisation of every convolution below ``module``, and residual branches that start small."""
    for part in module.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.kaiming_normal_(part.weight, mode="fan_out", nonlinearity="relu")
            if part.bias is not None:
                nn.init.zeros_(part.bias)
        elif isinstance(part, BasicBlock):
            nn.init.constant_(part.bn2.weight, RESIDUAL_START)
