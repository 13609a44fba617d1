"""OpenVINO in int8: post-training quantization by NNCF, its ranges calibrated on frames, kept in the cache of exports.

Convolutions on images and on the grid are quantized. The last layer of each head, and all that follows it, stays in
float32, for the reason that ``openvino_tail`` gives; what is not quantized in between computes in bfloat16 where the
processor has it.
"""

from __future__ import annotations

import importlib
import logging
import os
import shutil
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from tinybev.errors import UserError
from tinybev.model.lift_splat import Lifted, Splat
from tinybev.model.student import StudentInputs
from tinybev.runtime.backends.export_cache import cached_export, export_parts, publish
from tinybev.runtime.backends.openvino_part import CompiledPart
from tinybev.runtime.backends.openvino_runtime import (
    SUFFIX,
    import_openvino,
    inference_settings,
    read_model,
    write_openvino,
)
from tinybev.runtime.backends.openvino_tail import cut_before_last_layers
from tinybev.runtime.backends.parts import BEV_OUTPUTS, HEAD_OUTPUTS, IMAGE_OUTPUTS, bev_arguments
from tinybev.runtime.backends.parts_runner import PartsBackend
from tinybev.runtime.bundle import Bundle

INT8 = "openvino-int8"
INT8_FOLDER = "int8"
IMAGE, LAYERS, LAST_LAYERS = "image", "bev-layers", "bev-last-layers"
"""The files: the image part, and the BEV part before and after the cut."""


def open_openvino_int8(bundle: Bundle, threads: int) -> PartsBackend:
    """The backend; ``tinybev quantize`` has to have calibrated the bundle before.

    Args:
        bundle: weights and configuration, of a network without memory.
        threads: of the network; 0 leaves OpenVINO's choice.

    Raises:
        UserError: OpenVINO is not installed, the bundle is not calibrated, or its network has a memory.
    """
    _refuse_memory(bundle)
    openvino = import_openvino(INT8)
    core = openvino.Core()
    files = [int8_folder(bundle) / f"{name}{SUFFIX}" for name in (IMAGE, LAYERS, LAST_LAYERS)]
    if not all(file.is_file() for file in files):
        raise UserError(
            f"backend {INT8!r}: expected ranges of {bundle.info.name} ({bundle.info.sha256[:12]}), calibrated with "
            "this version, found none; run `tinybev quantize` with this bundle, or choose openvino."
        )
    image, layers, last_layers = (read_model(core, file) for file in files)
    between = "bf16" if "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES") else "f32"
    fast, exact = inference_settings(between, threads), inference_settings("f32", threads)
    run_image = CompiledPart(core, [(image, fast)], IMAGE_OUTPUTS)
    run_bev = CompiledPart(core, [(layers, fast), (last_layers, exact)], BEV_OUTPUTS)
    return PartsBackend(INT8, "int8", bundle.config, run_image, run_bev)


def int8_folder(bundle: Bundle) -> Path:
    """Where the quantized parts of a bundle are kept."""
    return _float_folder(bundle) / INT8_FOLDER


def quantize(bundle: Bundle, frames: Sequence[StudentInputs], keep: Iterable[str] = ()) -> Path:
    """Calibrates a bundle on frames and returns the folder of the quantized parts, which replace earlier ones.

    Args:
        bundle: weights and configuration, of a network without memory.
        frames: prepared as for inference; some hundred from all weathers and places.
        keep: regular expressions of OpenVINO's names of layers that stay in floating point.

    Raises:
        UserError: OpenVINO or NNCF is not installed, there is no frame, the network has a memory, or the cache cannot
            be written to.
    """
    _refuse_memory(bundle)
    if not frames:
        raise UserError(
            "quantization: expected at least one frame to calibrate on, got none; name a split with images."
        )
    core = import_openvino(INT8).Core()
    image_file, bev_file = export_parts(bundle.build_student, _float_folder(bundle), SUFFIX, write_openvino)
    layers, last_layers = cut_before_last_layers(read_model(core, bev_file), HEAD_OUTPUTS)
    images = [[frame.images_BN3HW.numpy(), frame.intrinsics_BN4.numpy()] for frame in frames]
    lifted = _lifted(bundle, core, image_file, frames)
    models = {
        IMAGE: _quantized(read_model(core, image_file), images, keep),
        LAYERS: _quantized(layers, lifted, keep),
        LAST_LAYERS: last_layers,
    }
    return _written(models, int8_folder(bundle))


def _float_folder(bundle: Bundle) -> Path:
    versions = {"torch": torch.__version__, "openvino": import_openvino(INT8).__version__}
    return cached_export(bundle, versions)


def _lifted(bundle: Bundle, core: Any, image_file: Path, frames: Sequence[StudentInputs]) -> list[list[Any]]:
    """What the BEV part gets of each frame, computed in float32."""
    run_image = CompiledPart(core, [(read_model(core, image_file), inference_settings("f32", 0))], IMAGE_OUTPUTS)
    splat = Splat(bundle.config)
    found = []
    with torch.inference_mode():
        for frame in frames:
            lifted = Lifted(*run_image([frame.images_BN3HW, frame.intrinsics_BN4]))
            arguments = bev_arguments(splat.pool(lifted, frame.splat), frame.conditions, None)
            found.append([argument.numpy() for argument in arguments])
    return found


def _quantized(model: Any, inputs: list[list[Any]], keep: Iterable[str]) -> Any:
    """``model`` with symmetric int8 weights, and activations with ranges that ``inputs`` need."""
    nncf = _nncf()
    names = [port.get_any_name() for port in model.inputs]
    items = [dict(zip(names, values, strict=True)) for values in inputs]
    return nncf.quantize(
        model,
        nncf.Dataset(items),
        preset=nncf.QuantizationPreset.MIXED,
        subset_size=len(items),
        ignored_scope=nncf.IgnoredScope(patterns=list(keep), validate=False),
    )


def _written(models: dict[str, Any], folder: Path) -> Path:
    openvino = import_openvino(INT8)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, model in models.items():
            unfinished = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=folder))
            try:
                openvino.save_model(model, unfinished / f"{name}{SUFFIX}", compress_to_fp16=False)
                publish(unfinished, folder, f"{name}{SUFFIX}")
            finally:
                shutil.rmtree(unfinished, ignore_errors=True)
    except OSError as error:
        raise UserError(f"{folder}: expected a folder that can be written to, got {error}; make room.") from error
    return folder


def _refuse_memory(bundle: Bundle) -> None:
    if bundle.config.memory_frames:
        raise UserError(
            f"backend {INT8!r}: expected a network without memory, {bundle.info.name} has one (its features are moved "
            "by metres, which int8 would round); choose openvino-bf16."
        )


def _nncf() -> ModuleType:
    os.environ.setdefault("NNCF_CI", "1")  # it would report to its maker over the network
    try:
        nncf = importlib.import_module("nncf")
    except ModuleNotFoundError as error:
        raise UserError(
            "quantization: expected the package nncf, it is not installed; run `pip install nncf`."
        ) from error
    logging.getLogger("nncf").setLevel(logging.WARNING)
    return nncf
