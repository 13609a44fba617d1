"""One part of the student, compiled by OpenVINO as one model or as several that follow each other."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

_TYPES = {"f32": torch.float32, "i64": torch.int64}


class CompiledPart:
    """Runs the models of one part on tensors of PyTorch, without copying them.

    Args:
        core: an ``openvino.Core``.
        models: with the settings of each; the inputs of the second are the last outputs of the first.
        output_names: of the part's outputs, each of one of the models.
    """

    def __init__(self, core: Any, models: Sequence[tuple[Any, dict[str, Any]]], output_names: Sequence[str]) -> None:
        self._tensor = importlib.import_module("openvino").Tensor
        compiled = [core.compile_model(model, "CPU", settings) for model, settings in models]
        self._requests = [one.create_infer_request() for one in compiled]
        for before, after, (first, second) in zip(
            compiled[:-1], compiled[1:], zip(self._requests[:-1], self._requests[1:], strict=True), strict=True
        ):
            for index, port in enumerate(after.inputs):
                between = self._tensor(port.get_element_type(), port.get_shape())
                first.set_output_tensor(len(before.outputs) - len(after.inputs) + index, between)
                second.set_input_tensor(index, between)
        self._outputs = [self._find(compiled, name) for name in output_names]

    def __call__(self, arguments: Sequence[Tensor]) -> list[Tensor]:
        """The outputs, in memory of their own."""
        given = [argument.contiguous() for argument in arguments]
        for index, argument in enumerate(given):
            self._requests[0].set_input_tensor(index, self._shared(argument))
        results = []
        for request, index, shape, kind in self._outputs:
            results.append(torch.empty(shape, dtype=kind))
            request.set_output_tensor(index, self._shared(results[-1]))
        for request in self._requests:
            request.infer()
        return results

    def _shared(self, value: Tensor) -> Any:
        return self._tensor(value.numpy(), shared_memory=True)

    def _find(self, compiled: Sequence[Any], name: str) -> tuple[Any, int, tuple[int, ...], torch.dtype]:
        """Request, index, shape and type of an output."""
        for model, request in zip(compiled, self._requests, strict=True):
            for index, port in enumerate(model.outputs):
                if name in port.names:
                    kind = _TYPES[port.get_element_type().get_type_name()]
                    return request, index, tuple(port.get_shape()), kind
        raise KeyError(name)
