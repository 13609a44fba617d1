"""ONNX files of the two parts, for ONNX Runtime and TensorRT: standard operators, fixed shapes, no plugin."""

from __future__ import annotations

import importlib.util
import logging
from pathlib import Path

import torch

from tinybev.errors import UserError
from tinybev.runtime.backends.parts import Part
from tinybev.runtime.backends.torch_export import exported_program, without_deprecations

SUFFIX = ".onnx"
OPSET = 18
PACKAGES = ("torch", "onnx", "onnxscript")
"""Whose versions make another export."""


def require_packages() -> None:
    """Raises a UserError where onnx or onnxscript is not installed."""
    missing = [name for name in ("onnx", "onnxscript") if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(
            f"format onnx: expected the packages onnx and onnxscript, {' and '.join(missing)} is not installed; run "
            "`pip install onnx onnxscript`."
        )


def write_onnx(part: Part, folder: Path) -> None:
    """Writes ``PART.onnx`` with its weights in it, after ONNX's own check with strict shape inference.

    Raises:
        UserError: onnx or onnxscript is not installed.
    """
    require_packages()
    import onnx

    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with without_deprecations():
        program = torch.onnx.export(
            exported_program(part),
            part.example,
            dynamo=True,
            opset_version=OPSET,
            input_names=part.input_names,
            output_names=part.output_names,
            verbose=False,
        )
    assert program is not None
    model = program.model_proto
    onnx.checker.check_model(model, full_check=True)
    onnx.save_model(onnx.shape_inference.infer_shapes(model, strict_mode=True), folder / f"{part.name}{SUFFIX}")
