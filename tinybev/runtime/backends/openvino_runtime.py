"""OpenVINO on the CPU, converted straight from PyTorch's graph."""

from __future__ import annotations

import copy
import importlib
import importlib.util
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

from tinybev.errors import UserError
from tinybev.runtime.backends.batch_norm import fold_batch_norms
from tinybev.runtime.backends.export_cache import cached_export, export_parts
from tinybev.runtime.backends.openvino_part import CompiledPart
from tinybev.runtime.backends.openvino_tail import cut_before_last_layers
from tinybev.runtime.backends.parts import BEV_OUTPUTS, HEAD_OUTPUTS, IMAGE_OUTPUTS, Part
from tinybev.runtime.backends.parts_runner import PartsBackend
from tinybev.runtime.backends.torch_export import exported_program, without_deprecations
from tinybev.runtime.bundle import Bundle

SUFFIX = ".xml"
PACKAGES = ("torch", "openvino")
"""Whose versions make another export."""
_BFLOAT16_CAPABILITY = "BF16"


def openvino_is_installed() -> bool:
    """Whether OpenVINO can be imported."""
    return importlib.util.find_spec("openvino") is not None


def open_openvino(bundle: Bundle, name: str, precision: str, threads: int) -> PartsBackend:
    """The backend; exports what the cache does not hold yet.

    Args:
        bundle: weights and configuration.
        name: of the backend.
        precision: "float32" or "bfloat16", of all layers but the last of each head, which are float32.
        threads: of the network; 0 leaves OpenVINO's choice.

    Raises:
        UserError: OpenVINO is not installed, the processor has no bfloat16, or the cache cannot be used.
    """
    openvino = import_openvino(name)
    core = openvino.Core()
    if precision == "bfloat16" and _BFLOAT16_CAPABILITY not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        raise UserError(
            f"backend {name!r}: expected a processor with bfloat16 instructions (AVX-512 BF16 or AMX), this one has "
            "none; choose openvino."
        )
    folder = cached_export(bundle, PACKAGES)
    files = export_parts(bundle.build_student, folder, SUFFIX, write_openvino)
    image, bev = (read_model(core, file) for file in files)
    exact = inference_settings("f32", threads)
    fast = inference_settings("bf16" if precision == "bfloat16" else "f32", threads)
    run_image = CompiledPart(core, [(image, fast)], IMAGE_OUTPUTS)
    if precision == "float32":
        run_bev = CompiledPart(core, [(bev, exact)], BEV_OUTPUTS)
    else:
        layers, last_layers = cut_before_last_layers(bev, HEAD_OUTPUTS)
        # A memory is moved by metres, which bfloat16 would round to decimetres.
        models = [(layers, exact if bundle.config.memory_frames else fast), (last_layers, exact)]
        run_bev = CompiledPart(core, models, BEV_OUTPUTS)
    return PartsBackend(name, precision, bundle.config, run_image, run_bev)


def write_openvino(part: Part, folder: Path) -> None:
    """Writes ``PART.xml`` and ``PART.bin``, the weights in float32.

    Normalisations are folded into the convolutions before them and what is constant is computed: so each convolution
    has its bias as a constant right behind it, where NNCF looks for the biases that it corrects. OpenVINO's frontend
    is used as it is: ``openvino.convert_model`` would report to its maker over the network.

    Raises:
        UserError: OpenVINO is not installed.
    """
    openvino = import_openvino("openvino")
    folded = copy.deepcopy(part.module)
    fold_batch_norms(folded)
    part = replace(part, module=folded)
    decoders = importlib.import_module("openvino.frontend.pytorch.fx_decoder")
    with _quiet(decoders):  # it reports, with tracebacks, which operators this PyTorch does not decompose
        decoder = decoders.TorchFXPythonDecoder.from_exported_program(exported_program(part), dynamic_shapes=False)
    frontend = importlib.import_module("openvino.frontend").FrontEndManager().load_by_framework("pytorch")
    model = frontend.convert(frontend.load(decoder))
    model.reshape(
        {port: openvino.PartialShape(list(one.shape)) for port, one in zip(model.inputs, part.example, strict=True)}
    )
    passes = importlib.import_module("openvino.passes")
    manager = passes.Manager()
    manager.register_pass(passes.ConstantFolding())
    manager.run_passes(model)
    for tensor, name in zip((*model.inputs, *model.outputs), (*part.input_names, *part.output_names), strict=True):
        tensor.get_tensor().set_names({name})
    openvino.save_model(model, folder / f"{part.name}{SUFFIX}", compress_to_fp16=False)


@contextmanager
def _quiet(module: ModuleType) -> Iterator[None]:
    def is_of_others(record: logging.LogRecord) -> bool:
        return record.pathname != module.__file__

    root = logging.getLogger()
    root.addFilter(is_of_others)
    try:
        with without_deprecations():
            yield
    finally:
        root.removeFilter(is_of_others)


def inference_settings(precision: str, threads: int) -> dict[str, Any]:
    """OpenVINO's properties for floating point in ``precision`` ("f32" or "bf16"); 0 ``threads`` for its choice."""
    settings: dict[str, Any] = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": precision,
        "ENABLE_CPU_PINNING": False,  # decoding and the pooling share the cores
    }
    if threads:
        settings["INFERENCE_NUM_THREADS"] = threads
    return settings


def read_model(core: Any, file: Path) -> Any:
    """The model in a file.

    Raises:
        UserError: OpenVINO cannot read it.
    """
    try:
        return core.read_model(file)
    except RuntimeError as error:
        raise UserError(
            f"{file}: expected a model that OpenVINO can read, got {str(error).strip().splitlines()[-1]}; remove "
            f"{file.parent}, it is written anew."
        ) from error


def import_openvino(name: str) -> ModuleType:
    """The package, for the backend ``name``.

    Raises:
        UserError: it is not installed.
    """
    try:
        return importlib.import_module("openvino")
    except ModuleNotFoundError as error:
        raise UserError(
            f"backend {name!r}: expected the package openvino, it is not installed; run `pip install openvino`, or "
            "choose torch."
        ) from error
