"""PyTorch as it is: no compilation, the reference of every other runtime."""

from __future__ import annotations

from typing import TypeVar, cast

import torch
from torch import Tensor

from tinybev.errors import UserError
from tinybev.model.student import Student, StudentInputs, StudentOutputs
from tinybev.model.temporal import Memory

_T = TypeVar("_T")


class TorchEager:
    """Runs a student with PyTorch.

    Args:
        student: in evaluation mode.
        device: "cpu", "cuda", or "auto": cuda where PyTorch finds it.
        threads: on the CPU; 0 leaves PyTorch's choice.

    Raises:
        UserError: cuda is asked for and not there, or the device is none of the three.
    """

    def __init__(self, student: Student, device: str, threads: int) -> None:
        self._device = choose_device(device)
        self._student = student.to(self._device)
        if threads:
            torch.set_num_threads(threads)

    @property
    def device(self) -> str:
        """Where it runs."""
        return self._device.type

    @torch.inference_mode()
    def infer(self, inputs: StudentInputs, memory: Memory | None) -> StudentOutputs:
        """The raw outputs, on the CPU."""
        outputs = self._student(to_device(inputs, self._device), to_device(memory, self._device))
        return to_device(outputs, torch.device("cpu"))


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
