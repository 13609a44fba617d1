"""The interface of a runtime, and the choice of one."""

from __future__ import annotations

from typing import Protocol

from tinybev.model.student import StudentInputs, StudentOutputs
from tinybev.model.temporal import Memory


class Backend(Protocol):
    """Runs one student."""

    @property
    def device(self) -> str:
        """Where it runs, for people: "cpu" or "cuda"."""

    def infer(self, inputs: StudentInputs, memory: Memory | None) -> StudentOutputs:
        """The raw outputs, on the CPU; ``memory`` as ``Student.forward`` takes it."""
