"""A student whose convolutions on images and on the grid compute in bfloat16; what it takes and gives stays float32.

The heads stay in float32: their outputs are metres and logits, and heatmaps with eight bits would have neighbours of
the same height, each of which would count as an object. So does the memory, whose transforms are metres.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from tinybev.model.student import Student

_REDUCED = ("backbone", "neck", "lift", "bev_stem", "bev_encoder")


def in_bfloat16(student: Student) -> Student:
    """The same student, changed in place: normalisations folded into convolutions, channels last, bfloat16."""
    fold_batch_norms(student)
    for name in _REDUCED:
        setattr(student, name, _InBfloat16(getattr(student, name)))
    return student


def fold_batch_norms(module: nn.Module) -> None:
    """Folds each batch normalisation into the convolution declared just before it, which is the one it follows."""
    previous: tuple[str, nn.Module] | None = None
    for name, child in list(module.named_children()):
        if isinstance(child, nn.BatchNorm2d) and previous is not None and isinstance(previous[1], nn.Conv2d):
            setattr(module, previous[0], fuse_conv_bn_eval(previous[1], child))
            setattr(module, name, nn.Identity())
        else:
            fold_batch_norms(child)
        previous = name, child


class _InBfloat16(nn.Module):
    """Runs a module in bfloat16 on float32 tensors."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module.to(torch.bfloat16).to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, *arguments: Any) -> Any:
        return _cast(self.module(*_cast(arguments, torch.bfloat16)), torch.float32)


def _cast(value: Any, to: torch.dtype) -> Any:
    """Tensors, or any nesting of tuples and lists of them, in another type; pictures with their channels last."""
    if isinstance(value, Tensor):
        return value.to(to, memory_format=torch.channels_last) if value.dim() == 4 else value.to(to)
    parts = [_cast(part, to) for part in value]
    return type(value)(*parts) if hasattr(value, "_fields") else type(value)(parts)
