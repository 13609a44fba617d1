"""OpenVINO in int8: post-training quantization by NNCF, its ranges calibrated on frames, kept in the cache of exports.

Convolutions on images and on the grid are quantized. The last layer of each head, and all that follows it, stays in
float32, for the reason that ``openvino_tail`` gives; what is not quantized in between computes in bfloat16 where the
processor has it.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import logging
import os
import tempfile
from collections.abc import Collection, Sequence
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from tinybev.errors import UserError
from tinybev.model.lift_splat import Lifted, Splat
from tinybev.model.student import StudentInputs
from tinybev.runtime.backends import openvino_layers
from tinybev.runtime.backends.export_cache import cached_export, export_parts
from tinybev.runtime.backends.openvino_layers import layer_modules, layers_in, module_groups
from tinybev.runtime.backends.openvino_part import CompiledPart
from tinybev.runtime.backends.openvino_runtime import (
    PACKAGES,
    SUFFIX,
    import_openvino,
    inference_settings,
    read_model,
    write_openvino,
)
from tinybev.runtime.backends.openvino_tail import cut_before_last_layers
from tinybev.runtime.backends.parts import BEV_OUTPUTS, HEAD_OUTPUTS, IMAGE_OUTPUTS, bev_arguments, student_parts
from tinybev.runtime.backends.parts_runner import PartsBackend
from tinybev.runtime.bundle import Bundle
from tinybev.runtime.code_digest import files_digest

INT8 = "openvino-int8"
INT8_FOLDER = "int8"
"""How the names of the folders of quantized parts begin."""
KEPT_FILE = "kept.json"
"""Says which modules stayed in floating point."""
KEPT = ("planning_head", "bev_stem", "bev_encoder.stages.0")
"""Modules that stay in floating point where nothing else is asked for, all little of the work: told its speed, the
planner plans twice as far off in int8; and the stem of the grid takes sums of hundreds of points near the vehicle and
of a few far away, which the same 256 steps do not suit, nor what the first stage behind it makes of them."""
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
    image, layers, last_layers = (read_model(core, file) for file in _quantized_files(bundle))
    between = "bf16" if "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES") else "f32"
    fast, exact = inference_settings(between, threads), inference_settings("f32", threads)
    run_image = CompiledPart(core, [(image, fast)], IMAGE_OUTPUTS)
    run_bev = CompiledPart(core, [(layers, fast), (last_layers, exact)], BEV_OUTPUTS)
    return PartsBackend(INT8, "int8", bundle.config, run_image, run_bev)


def int8_sha256(bundle: Bundle) -> str:
    """Checksum of the quantized parts: other ranges, or other modules in floating point, give another one.

    Raises:
        UserError: OpenVINO is not installed, or the bundle is not calibrated.
    """
    digest = hashlib.sha256()
    for file in _quantized_files(bundle):
        for part in (file, file.with_suffix(".bin")):
            digest.update(part.read_bytes())
    return digest.hexdigest()


def is_calibrated(bundle: Bundle) -> bool:
    """Whether the backend finds the bundle's quantized parts.

    Raises:
        UserError: OpenVINO is not installed.
    """
    return all(file.is_file() for file in _part_files(bundle))


def int8_folder(bundle: Bundle) -> Path:
    """Where the quantized parts of a bundle are kept: what was quantized by other code or another NNCF lies elsewhere.

    Where NNCF is not installed, the folder is one that a machine with any version of it has filled.
    """
    folder = _float_folder(bundle)
    name = f"{INT8_FOLDER}-{files_digest([Path(__file__), Path(openvino_layers.__file__)])[:16]}-nncf-"
    try:
        return folder / (name + metadata.version("nncf"))
    except metadata.PackageNotFoundError:
        return max(folder.glob(f"{name}*"), default=folder / f"{name}any")


class Calibration:
    """The frames that ranges are taken from, read once for however many choices of what stays in floating point.

    Args:
        bundle: weights and configuration, of a network without memory.
        frames: prepared as for inference; some hundred from all weathers and places.

    Raises:
        UserError: OpenVINO or NNCF is not installed, there is no frame, the network has a memory, or the cache cannot
            be written to.
    """

    def __init__(self, bundle: Bundle, frames: Sequence[StudentInputs]) -> None:
        _refuse_memory(bundle)
        if not frames:
            raise UserError(
                "quantization: expected at least one frame to calibrate on, got none; name a split with images."
            )
        _nncf()
        self._bundle = bundle
        self._core = import_openvino(INT8).Core()
        self._files = export_parts(bundle.build_student, _float_folder(bundle), SUFFIX, write_openvino)
        self._images = [[frame.images_BNHW3.numpy(), frame.intrinsics_BN4.numpy()] for frame in frames]
        self._lifted = _lifted(bundle, self._core, self._files[0], frames)
        self._modules = [layer_modules(part) for part in student_parts(bundle.build_student())]

    @property
    def groups(self) -> list[str]:
        """Modules of the student that cover all its layers, in order; each may stay in floating point."""
        return list(dict.fromkeys(group for modules in self._modules for group in module_groups(modules)))

    def quantize(self, keep: Collection[str]) -> Path:
        """Writes the quantized parts, which replace earlier ones, and ``kept.json`` beside them; returns the folder.

        Args:
            keep: paths of modules of the student that stay in floating point.

        Raises:
            UserError: a module has no layers, or the cache cannot be written to.
        """
        for module in keep:
            if not any(layers_in(modules, [module]) for modules in self._modules):
                raise UserError(f"expected modules of the student ({', '.join(self.groups)}), got {module!r}.")
        image_file, bev_file = self._files
        image_kept, bev_kept = (layers_in(modules, keep) for modules in self._modules)
        layers, last_layers = cut_before_last_layers(read_model(self._core, bev_file), HEAD_OUTPUTS)
        models = {
            IMAGE: _quantized(read_model(self._core, image_file), self._images, image_kept),
            LAYERS: _quantized(layers, self._lifted, bev_kept),
            LAST_LAYERS: last_layers,
        }
        description = {"in_floating_point": list(keep), "frames": len(self._images)}
        return _written(models, json.dumps(description, indent=1) + "\n", int8_folder(self._bundle))


def quantize(bundle: Bundle, frames: Sequence[StudentInputs], keep: Collection[str] = KEPT) -> Path:
    """Calibrates a bundle on frames and returns the folder of the quantized parts; see :class:`Calibration`."""
    return Calibration(bundle, frames).quantize(keep)


def _part_files(bundle: Bundle) -> list[Path]:
    folder = int8_folder(bundle)
    return [folder / f"{name}{SUFFIX}" for name in (IMAGE, LAYERS, LAST_LAYERS)]


def _quantized_files(bundle: Bundle) -> list[Path]:
    files = _part_files(bundle)
    if not all(file.is_file() for file in files):
        raise UserError(
            f"backend {INT8!r}: expected ranges of {bundle.info.name} ({bundle.info.sha256[:12]}), calibrated with "
            "this version, found none; run `tinybev quantize` with this bundle, or choose openvino."
        )
    return files


def _float_folder(bundle: Bundle) -> Path:
    import_openvino(INT8)
    return cached_export(bundle, PACKAGES)


def _lifted(bundle: Bundle, core: Any, image_file: Path, frames: Sequence[StudentInputs]) -> list[list[Any]]:
    """What the BEV part gets of each frame, computed in float32."""
    run_image = CompiledPart(core, [(read_model(core, image_file), inference_settings("f32", 0))], IMAGE_OUTPUTS)
    splat = Splat(bundle.config)
    found = []
    with torch.inference_mode():
        for frame in frames:
            lifted = Lifted(*run_image([frame.images_BNHW3, frame.intrinsics_BN4]))
            arguments = bev_arguments(splat.pool(lifted, frame.splat), frame.conditions, None)
            found.append([argument.numpy() for argument in arguments])
    return found


def _quantized(model: Any, inputs: list[list[Any]], kept: Sequence[str]) -> Any:
    """``model`` with symmetric int8 weights, and activations with ranges that ``inputs`` need."""
    nncf = _nncf()
    names = [port.get_any_name() for port in model.inputs]
    items = [dict(zip(names, values, strict=True)) for values in inputs]
    return nncf.quantize(
        model,
        nncf.Dataset(items),
        preset=nncf.QuantizationPreset.MIXED,
        subset_size=len(items),
        ignored_scope=nncf.IgnoredScope(names=list(kept), validate=False),
    )


def _written(models: dict[str, Any], description: str, folder: Path) -> Path:
    """Replaces ``folder`` as a whole: parts of two calibrations never stand together."""
    openvino = import_openvino(INT8)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as place:
            unfinished, before = Path(place) / "new", Path(place) / "before"
            unfinished.mkdir()
            for name, model in models.items():
                openvino.save_model(model, unfinished / f"{name}{SUFFIX}", compress_to_fp16=False)
            (unfinished / KEPT_FILE).write_text(description)
            if folder.exists():
                folder.rename(before)
            unfinished.rename(folder)
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
