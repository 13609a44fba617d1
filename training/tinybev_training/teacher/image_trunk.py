"""Image backbones of torchvision as the teacher uses them: what the four stages say, at strides 4, 8, 16 and 32."""

from __future__ import annotations

import re

from torch import Tensor, nn

from tinybev.errors import UserError
from tinybev.model.torchvision_import import torchvision

_RESNET = re.compile(r"(resnet|resnext|wide_resnet)\d+\w*")
_CONVNEXT_STAGES = (1, 3, 5, 7)
"""Of ``ConvNeXt.features``; the others make the grid coarser."""


class ImageTrunk(nn.Module):
    """The trunk of a torchvision network, its classifier removed; the parameters below ``model`` keep torchvision's
    names, so ImageNet weights load with ``strict=False``."""

    def __init__(self, name: str) -> None:
        """
        Args:
            name: torchvision's, of a ResNet, ResNeXt or ConvNeXt.

        Raises:
            UserError: it is none of these, or torchvision has no such network.
        """
        super().__init__()
        if name not in torchvision.models.list_models(torchvision.models):
            raise UserError(f"image_backbone: expected a network of torchvision, got {name!r}; choose one of its list.")
        self.model = torchvision.models.get_model(name, weights=None)
        if _RESNET.fullmatch(name):
            self.model.fc = nn.Identity()
            self._is_resnet = True
        elif name.startswith("convnext_"):
            self.model.classifier = nn.Identity()
            self._is_resnet = False
        else:
            raise UserError(
                f"image_backbone: expected a ResNet, ResNeXt or ConvNeXt, whose stages have strides 4 to 32, got "
                f"{name!r}; choose one."
            )
        self.channels = tuple(_last_width(stage) for stage in self._stages())

    def forward(self, images_N3HW: Tensor) -> tuple[Tensor, ...]:
        """The outputs of the four stages."""
        if self._is_resnet:
            feat = self.model.maxpool(self.model.relu(self.model.bn1(self.model.conv1(images_N3HW))))
            outputs = []
            for stage in self._stages():
                feat = stage(feat)
                outputs.append(feat)
            return tuple(outputs)
        outputs, feat = [], images_N3HW
        for number, part in enumerate(self.model.features):
            feat = part(feat)
            if number in _CONVNEXT_STAGES:
                outputs.append(feat)
        return tuple(outputs)

    def _stages(self) -> list[nn.Module]:
        if self._is_resnet:
            return [self.model.layer1, self.model.layer2, self.model.layer3, self.model.layer4]
        return [self.model.features[number] for number in _CONVNEXT_STAGES]


def _last_width(stage: nn.Module) -> int:
    """Output channels of a stage: those of its last convolution or linear layer."""
    layers = [part for part in stage.modules() if isinstance(part, nn.Conv2d | nn.Linear)]
    last = layers[-1]
    return last.out_channels if isinstance(last, nn.Conv2d) else last.out_features
