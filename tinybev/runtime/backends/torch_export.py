"""From PyTorch to a graph: what the exporters to OpenVINO and ONNX start from."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch.export import ExportedProgram

from tinybev.runtime.backends.parts import Part


def exported_program(part: Part) -> ExportedProgram:
    """The part as a graph of PyTorch's operators, in float32 and with fixed shapes."""
    with without_deprecations():
        return torch.export.export(part.module.eval(), part.example)


@contextmanager
def without_deprecations() -> Iterator[None]:
    """Keeps back the warnings that PyTorch and its exporters use what PyTorch has deprecated."""
    with warnings.catch_warnings():
        for category in (FutureWarning, DeprecationWarning):
            warnings.simplefilter("ignore", category)
        yield
