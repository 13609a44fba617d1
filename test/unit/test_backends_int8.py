"""int8: near torch where it was calibrated, exact where it must be, and a sentence where it cannot be had."""

from __future__ import annotations

import dataclasses
import importlib
import importlib.util
import json
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest
import torch
from agreement import Agreement, agreement
from rigs import ring_rig
from student_inputs import flat, student_inputs
from tiny_students import COARSE

from tinybev.errors import UserError
from tinybev.model.config import StudentConfig
from tinybev.model.student import StudentInputs, seeded_student
from tinybev.runtime.backends import openvino_int8
from tinybev.runtime.backends.backend import Backend
from tinybev.runtime.backends.choice import computed_sha256, open_backend
from tinybev.runtime.backends.export_cache import cached_export, export_parts
from tinybev.runtime.backends.int8_layers import int8_layers
from tinybev.runtime.backends.openvino_int8 import (
    IMAGE,
    INT8,
    KEPT_FILE,
    LAYERS,
    Calibration,
    int8_folder,
    quantize,
)
from tinybev.runtime.backends.openvino_layers import layer_modules
from tinybev.runtime.backends.openvino_runtime import PACKAGES, SUFFIX, import_openvino, read_model, write_openvino
from tinybev.runtime.backends.parts import student_parts
from tinybev.runtime.bundle import Bundle, make_bundle

SMALL_GRID = dataclasses.replace(COARSE, max_agents=40)
LIMITS = Agreement(
    score=0.05,
    center_m=0.15,
    size_m=0.3,
    heading_rad=0.3,
    velocity_mps=0.3,
    map_probability=0.1,
    occupancy_probability=0.1,
    flow_m=0.5,
    plan_m=0.2,
    motion_m=0.6,
    common_agents=0.6,
)
"""For random weights, whose outputs are as large as those of trained ones: about three times those of bfloat16."""


def bundle_of(config: StudentConfig, seed: int = 0) -> Bundle:
    return make_bundle("seeded", config, seeded_student(config, seed).state_dict(), f"nothing (untrained, seed {seed})")


def frame(seed: int) -> StudentInputs:
    return student_inputs(SMALL_GRID, ring_rig(SMALL_GRID.image_size, 1.4), seed=seed)


@pytest.fixture(scope="module", autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    if importlib.util.find_spec("openvino") is None or importlib.util.find_spec("nncf") is None:
        pytest.skip("needs openvino and nncf")
    folder = tmp_path_factory.mktemp("exports")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TINYBEV_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="module")
def backends() -> tuple[Backend, Backend]:
    """torch, and int8 calibrated on other frames than those that are compared."""
    bundle = bundle_of(SMALL_GRID)
    quantize(bundle, [frame(seed) for seed in range(8)])
    return open_backend(bundle, "torch", "cpu", 1), open_backend(bundle, INT8, "cpu", 1)


def test_it_stays_near_torch_on_frames_that_it_was_not_calibrated_on(backends: tuple[Backend, Backend]) -> None:
    reference, int8 = backends
    assert (int8.name, int8.device, int8.precision) == (INT8, "cpu", "int8")
    inputs = frame(100)
    want, got = reference.infer(inputs, None), int8.infer(inputs, None)
    for name, tensor in flat(want).items():
        assert (flat(got)[name].dtype, flat(got)[name].shape) == (tensor.dtype, tensor.shape), name
    found = agreement(want, got, SMALL_GRID)
    for name, value, limit in zip(found._fields, found, LIMITS, strict=True):
        good = value >= limit if name == "common_agents" else value <= limit
        assert good, f"{name}: {value:.3g}, allowed {limit:.3g}"
    assert not torch.equal(want.map_BKXY, got.map_BKXY)


def test_the_outputs_themselves_are_not_rounded_to_eight_bits(backends: tuple[Backend, Backend]) -> None:
    """Else neighbouring cells of the heatmap tie, and each counts as an object."""
    heatmap = backends[1].infer(frame(100), None).detection.heatmap_BKXY
    assert len(heatmap.unique()) > 0.9 * heatmap.numel()


def test_convolutions_are_stored_in_int8_and_those_to_keep_are_not() -> None:
    bundle = bundle_of(SMALL_GRID, seed=1)
    folder = quantize(bundle, [frame(seed) for seed in range(2)], keep=())
    assert folder == int8_folder(bundle)
    sizes = {path.name: path.stat().st_size for path in folder.glob("*.bin")}
    computed = computed_sha256(bundle, INT8)
    assert computed == computed_sha256(bundle, INT8)
    kept = quantize(bundle, [frame(seed) for seed in range(2)], keep=Calibration(bundle, [frame(0)]).groups)
    for name in ("image.bin", "bev-layers.bin"):
        assert (kept / name).stat().st_size > 3 * sizes[name]
    assert "neck" in json.loads((kept / KEPT_FILE).read_text())["in_floating_point"]
    assert (kept / "bev-last-layers.bin").stat().st_size == sizes["bev-last-layers.bin"]
    assert computed_sha256(bundle, INT8) != computed  # what was predicted with the one is no prediction of the other
    assert computed_sha256(bundle, "openvino") == bundle.info.sha256


def test_every_convolution_has_its_bias_where_nncf_corrects_it(tmp_path: Path) -> None:
    """A normalisation between a convolution and its bias hides it, and what rounding shifts stays."""
    for file in export_parts(bundle_of(SMALL_GRID).build_student, tmp_path, SUFFIX, write_openvino):
        nodes = read_model(import_openvino(INT8).Core(), file).get_ordered_ops()
        assert "BatchNormInference" not in {node.get_type_name() for node in nodes}
        convolutions = [node for node in nodes if node.get_type_name() == "Convolution"]
        assert len(convolutions) > 5
        for node in convolutions:
            (after,) = node.output(0).get_target_inputs()
            bias = after.get_node().input_value(1).get_node()
            assert (after.get_node().get_type_name(), bias.get_type_name()) == ("Add", "Constant"), node


def test_training_knows_which_layers_are_quantized() -> None:
    bundle = bundle_of(SMALL_GRID, seed=3)
    folder = quantize(bundle, [frame(0)], keep=())
    found = set()
    for part, name in zip(student_parts(bundle.build_student()), (IMAGE, LAYERS), strict=True):
        modules = layer_modules(part)
        nodes = read_model(import_openvino(INT8).Core(), folder / f"{name}{SUFFIX}").get_ordered_ops()
        found |= {modules[node.get_friendly_name()] for node in nodes if node.get_friendly_name() in modules}
    assert found == set(int8_layers(bundle.build_student()))
    assert {"backbone.conv1", "map_head.conv.0"} <= found


def test_other_code_and_another_nncf_ask_for_ranges_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = bundle_of(SMALL_GRID, seed=4)
    folder, exports = int8_folder(bundle), cached_export(bundle, PACKAGES)
    with monkeypatch.context() as patch:
        named_by: list[Path] = []
        patch.setattr(openvino_int8, "files_digest", lambda files: named_by.extend(files) or "another")
        assert int8_folder(bundle) != folder
        assert [file.name for file in named_by] == ["openvino_int8.py", "openvino_layers.py"]
        assert cached_export(bundle, PACKAGES) == exports == folder.parent
    there, folder_of = metadata.version, {}
    for version in ("1.0", "2.0", None):

        def installed(package: str, version: str | None = version) -> str:
            if package != "nncf":
                return there(package)
            if version is None:
                raise metadata.PackageNotFoundError(package)
            return version

        monkeypatch.setattr(metadata, "version", installed)
        folder_of[version] = int8_folder(bundle)
    assert len({folder, *folder_of.values()}) == 4
    folder_of["1.0"].mkdir(parents=True)
    assert int8_folder(bundle) == folder_of["1.0"]  # a machine without NNCF runs what another has quantized


def test_what_is_missing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = bundle_of(SMALL_GRID, seed=2)
    with pytest.raises(UserError, match=r"expected ranges of seeded .*; run `tinybev quantize` with this bundle"):
        open_backend(bundle, INT8, "cpu", 1)
    with pytest.raises(UserError, match=r"expected ranges of seeded"):
        computed_sha256(bundle, INT8)
    with pytest.raises(UserError, match="expected at least one frame to calibrate on, got none"):
        quantize(bundle, [])
    with pytest.raises(UserError, match="expected a network without memory"):
        quantize(bundle_of(dataclasses.replace(SMALL_GRID, memory_frames=1)), [frame(0)])
    there = importlib.import_module

    def without_nncf(name: str) -> object:
        if name == "nncf":
            raise ModuleNotFoundError(name)
        return there(name)

    monkeypatch.setattr(importlib, "import_module", without_nncf)
    with pytest.raises(UserError, match="expected the package nncf, it is not installed"):
        quantize(bundle, [frame(0)])
    assert not int8_folder(bundle).exists()
