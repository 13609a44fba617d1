"""A student whose convolutions on images and on the grid compute in bfloat16; what it gives stays float32.

The heads stay in float32: their outputs are metres and logits, and heatmaps with eight bits would have neighbours of
the same height, each of which would count as an object. So does the memory, whose transforms are metres.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from tinybev.model.student import Student
from tinybev.runtime.backends.batch_norm import fold_batch_norms

_REDUCED = ("backbone", "neck", "lift", "bev_stem", "bev_encoder")


def in_bfloat16(student: Student) -> Student:
    """The same student, changed in place: normalisations folded into convolutions, channels last, bfloat16."""
    fold_batch_norms(student)
    for name in _REDUCED:
        setattr(student, name, _InBfloat16(getattr(student, name)))
    return student


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
