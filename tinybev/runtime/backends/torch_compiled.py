"""PyTorch's compiler, and CUDA graphs: both parts in bfloat16 with fixed shapes, the pooling between them as it is."""

from __future__ import annotations

import shutil
from collections.abc import Sequence

import torch
from torch import Tensor

from tinybev.errors import UserError
from tinybev.model.student import Student
from tinybev.runtime.backends.parts import Part, student_parts
from tinybev.runtime.backends.parts_runner import PartsBackend
from tinybev.runtime.backends.reduced_precision import in_bfloat16
from tinybev.runtime.backends.torch_device import check_bfloat16

WARM_UP_RUNS = 3
"""Before a graph is recorded: libraries choose their kernels and take their memory in the first runs."""


def open_compiled(name: str, student: Student, device: torch.device) -> PartsBackend:
    """The student through ``torch.compile``; compiling takes from half a minute to minutes, at the first frame.

    Raises:
        UserError: on the CPU, where PyTorch compiles C++, there is no compiler.
    """
    if device.type == "cpu" and not (shutil.which("c++") or shutil.which("g++") or shutil.which("clang++")):
        raise UserError(f"backend {name!r}: expected a C++ compiler, none is on the path; install g++ or choose torch.")
    config, parts = student.config, student_parts(in_bfloat16(student).to(device))
    run_image, run_bev = (_Compiled(part, device) for part in parts)
    return PartsBackend(name, "bfloat16", config, run_image, run_bev, device)


def open_cuda_graphs(name: str, student: Student, device: torch.device) -> PartsBackend:
    """The student as two recorded CUDA graphs.

    Raises:
        UserError: the device is no GPU, or one without bfloat16.
    """
    if device.type != "cuda":
        raise UserError(f"backend {name!r}: expected a GPU, got device {device.type}; choose openvino or torch.")
    check_bfloat16(device, f"backend {name!r}", "torch")
    config, parts = student.config, student_parts(in_bfloat16(student).to(device))
    run_image, run_bev = (_Recorded(part, device) for part in parts)
    return PartsBackend(name, "bfloat16", config, run_image, run_bev, device)


class _Compiled:
    """A part through ``torch.compile``."""

    def __init__(self, part: Part, device: torch.device) -> None:
        self._run = torch.compile(part.module, fullgraph=True, dynamic=False)
        self._device = device

    def __call__(self, arguments: Sequence[Tensor]) -> Sequence[Tensor]:
        """The outputs."""
        return self._run(*(argument.to(self._device) for argument in arguments))


class _Recorded:
    """A part as one CUDA graph, which reads and writes memory of its own."""

    def __init__(self, part: Part, device: torch.device) -> None:
        self._arguments = [one.to(device) for one in part.example]
        with torch.inference_mode():
            aside = torch.cuda.Stream(device)
            aside.wait_stream(torch.cuda.current_stream(device))
            with torch.cuda.stream(aside):
                for _ in range(WARM_UP_RUNS):
                    part.module(*self._arguments)
            torch.cuda.current_stream(device).wait_stream(aside)
            self._graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self._graph):
                self._outputs = part.module(*self._arguments)

    def __call__(self, arguments: Sequence[Tensor]) -> Sequence[Tensor]:
        """The outputs; copies, because the graph's own memory is used again for the next frame."""
        for mine, argument in zip(self._arguments, arguments, strict=True):
            mine.copy_(argument, non_blocking=True)
        self._graph.replay()
        return [output.clone() for output in self._outputs]
