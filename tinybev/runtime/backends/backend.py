"""The interface of a runtime."""

from __future__ import annotations

from typing import Protocol

from tinybev.model.student import StudentInputs, StudentOutputs
from tinybev.model.temporal import Memory


class Backend(Protocol):
    """Runs one student."""

    @property
    def name(self) -> str:
        """Its name among the choices of the option ``backend``."""

    @property
    def device(self) -> str:
        """Where it runs, for people: "cpu" or "cuda"."""

    @property
    def precision(self) -> str:
        """In which its convolutions are computed: "float32", "bfloat16" or "int8"."""

    @property
    def pooling_ms(self) -> float | None:
        """Wall time of the pooling in the last ``infer``, milliseconds; None where it is not told from the rest."""

    def infer(self, inputs: StudentInputs, memory: Memory | None) -> StudentOutputs:
        """The raw outputs, float32 and on the CPU, which no later call overwrites; ``memory`` as the student's."""
