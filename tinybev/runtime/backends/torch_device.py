"""PyTorch's devices: which one is meant, what it computes in, and how tensors get there."""

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


def computes_bfloat16(device: torch.device) -> bool:
    """Whether PyTorch multiplies bfloat16 on ``device`` in other than plain loops, which are ten times slower than
    float32 and more."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    # What PyTorch itself asks before it hands convolutions and products in bfloat16 to oneDNN; it has no public name.
    return torch.backends.mkldnn.is_available() and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def check_bfloat16(device: torch.device, asker: str, instead: str) -> None:
    """Refuses bfloat16 where it would only be slow.

    Args:
        device: to compute on.
        asker: what wants it, as the sentence begins.
        instead: what to choose.

    Raises:
        UserError: ``device`` has no instructions that PyTorch uses for it.
    """
    if not computes_bfloat16(device):
        kind = "GPU" if device.type == "cuda" else "processor"
        raise UserError(
            f"{asker}: expected a {kind} with bfloat16 instructions that PyTorch uses (on x86 AVX-512 or AMX), this "
            f"one has none and would be many times slower than in float32; choose {instead}."
        )


def keep_float32() -> None:
    """Makes convolutions of float32 on a GPU compute in float32, in this whole process; by default PyTorch rounds them
    to TF32, ten bits of it."""
    torch.backends.cudnn.allow_tf32 = False


def to_device(value: _T, device: torch.device) -> _T:
    """A tensor, None, or any nesting of named tuples of them, on a device."""
    if isinstance(value, Tensor):
        return cast(_T, value.to(device))
    if isinstance(value, tuple):
        return type(value)(*(to_device(part, device) for part in value))
    return value
