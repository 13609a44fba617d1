"""Images to image features: ResNet-18 and a small feature pyramid."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from tinybev.model.layers import conv_bn_relu, init_convolutions, residual_stage

FINEST_STRIDE = 4
"""Pixels per cell of the first residual stage."""


class Backbone(nn.Module):
    """The trunk of torchvision's ResNet-18, at ``width`` channels in its first stage instead of 64.

    Its parameters have torchvision's names, so at ``width`` 64 the weights of ``torchvision.models.resnet18`` load
    unchanged, less the classifier's ``fc``.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.layer1 = residual_stage(width, width, blocks=2, stride=1)
        self.layer2 = residual_stage(width, 2 * width, blocks=2, stride=2)
        self.layer3 = residual_stage(2 * width, 4 * width, blocks=2, stride=2)
        self.layer4 = residual_stage(4 * width, 8 * width, blocks=2, stride=2)
        self.channels = (width, 2 * width, 4 * width, 8 * width)
        init_convolutions(self)

    def forward(self, images_N3HW: Tensor) -> tuple[Tensor, ...]:
        """The outputs of the four stages, at strides 4, 8, 16 and 32."""
        stem = functional.relu(self.bn1(self.conv1(images_N3HW)), inplace=True)
        stem = functional.max_pool2d(stem, kernel_size=3, stride=2, padding=1)
        stage1 = self.layer1(stem)
        stage2 = self.layer2(stage1)
        stage3 = self.layer3(stage2)
        return stage1, stage2, stage3, self.layer4(stage3)


class Neck(nn.Module):
    """A feature pyramid that ends at ``feature_stride``: coarse stages are added to finer ones, one convolution."""

    def __init__(self, stage_channels: tuple[int, ...], feature_stride: int, channels: int) -> None:
        super().__init__()
        self._finest = (feature_stride // FINEST_STRIDE).bit_length() - 1
        self.lateral = nn.ModuleList(nn.Conv2d(width, channels, 1) for width in stage_channels[self._finest :])
        self.smooth = conv_bn_relu(channels, channels)
        init_convolutions(self)

    def forward(self, stages: tuple[Tensor, ...]) -> Tensor:
        """Features (N, C, h, w) at ``feature_stride``."""
        laterals = [lateral(stage) for lateral, stage in zip(self.lateral, stages[self._finest :], strict=True)]
        top = laterals.pop()
        while laterals:
            finer = laterals.pop()
            top = finer + functional.interpolate(top, size=finer.shape[-2:], mode="nearest")
        return self.smooth(top)
