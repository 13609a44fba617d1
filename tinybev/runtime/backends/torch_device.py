"""PyTorch's devices: which one is meant, and how tensors get there."""

from __future__ import annotations

from typing import TypeVar, cast

import torch
from torch import Tensor

from tinybev.errors import UserError

_T = TypeVar("_T")


def choose_device(name: str) -> torch.device:
    """The device that ``name`` asks for.

    Raises:
        UserError: cuda is asked for and not there, or the name is none of "auto", "cpu" and "cuda".
    """
    if name not in ("auto", "cpu", "cuda"):
        raise UserError(f"device: expected auto, cpu or cuda, got {name!r}; choose one.")
    if name == "cuda" and not torch.cuda.is_available():
        raise UserError("device: expected a GPU for 'cuda', PyTorch finds none; choose auto or cpu.")
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


def to_device(value: _T, device: torch.device) -> _T:
    """A tensor, None, or any nesting of named tuples of them, on a device."""
    if isinstance(value, Tensor):
        return cast(_T, value.to(device))
    if isinstance(value, tuple):
        return type(value)(*(to_device(part, device) for part in value))
    return value
