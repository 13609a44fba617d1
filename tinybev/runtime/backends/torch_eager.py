"""PyTorch as it is, operator by operator: in float32 the reference of every other backend."""

from __future__ import annotations

import torch

from tinybev.model.student import Student, StudentInputs, StudentOutputs
from tinybev.model.temporal import Memory
from tinybev.runtime.backends.torch_device import to_device


class TorchEager:
    """Runs a student with PyTorch.

    Args:
        name: of the backend.
        precision: of the student's convolutions.
        student: in evaluation mode; it is moved to the device.
        device: where it runs.
    """

    def __init__(self, name: str, precision: str, student: Student, device: torch.device) -> None:
        self.name, self.precision = name, precision
        self.pooling_ms: float | None = None  # one module among the others
        self._device = device
        self._student = student.to(device)

    @property
    def device(self) -> str:
        """Where it runs."""
        return self._device.type

    @torch.inference_mode()
    def infer(self, inputs: StudentInputs, memory: Memory | None) -> StudentOutputs:
        """The raw outputs, on the CPU."""
        outputs = self._student(to_device(inputs, self._device), to_device(memory, self._device))
        return to_device(outputs, torch.device("cpu"))
