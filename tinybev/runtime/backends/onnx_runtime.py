"""ONNX Runtime on the CPU, from the ONNX files that ``tinybev export --format onnx`` writes."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import torch
from torch import Tensor

from tinybev.errors import UserError
from tinybev.runtime.backends.export_cache import cached_export, export_parts
from tinybev.runtime.backends.onnx_export import PACKAGES, SUFFIX, require_packages, write_onnx
from tinybev.runtime.backends.parts_runner import PartsBackend
from tinybev.runtime.bundle import Bundle

NAME = "onnxruntime"


def open_onnx_runtime(bundle: Bundle, threads: int) -> PartsBackend:
    """The backend, in float32; exports what the cache does not hold yet.

    Args:
        bundle: weights and configuration.
        threads: of the network; 0 leaves ONNX Runtime's choice.

    Raises:
        UserError: a package is not installed, or the cache cannot be used.
    """
    try:
        onnxruntime = importlib.import_module("onnxruntime")
    except ModuleNotFoundError as error:
        raise UserError(
            f"backend {NAME!r}: expected the package onnxruntime, it is not installed; run "
            "`pip install onnxruntime onnx onnxscript`, or choose torch."
        ) from error
    require_packages()
    folder = cached_export(bundle, PACKAGES)
    files = export_parts(bundle.build_student, folder, SUFFIX, write_onnx)
    run_image, run_bev = (_Session(onnxruntime, file, threads) for file in files)
    return PartsBackend(NAME, "float32", bundle.config, run_image, run_bev)


class _Session:
    """A part loaded by ONNX Runtime."""

    def __init__(self, onnxruntime: ModuleType, file: Path, threads: int) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        # Threads that spin after their work take the cores from the pooling and the decoding.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime's exceptions have no common type of their own
            raise UserError(
                f"{file}: expected a model that ONNX Runtime can load, got {error}; remove {file.parent}, it is "
                "written anew."
            ) from error
        self._input_names = [one.name for one in self._session.get_inputs()]

    def __call__(self, arguments: Sequence[Tensor]) -> list[Tensor]:
        """The outputs."""
        values = {name: value.numpy() for name, value in zip(self._input_names, arguments, strict=True)}
        return [torch.from_numpy(output) for output in self._session.run(None, values)]
