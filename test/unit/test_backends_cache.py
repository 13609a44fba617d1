"""Exports are written once, go on where they were interrupted, and belong to one bundle, one code and one version."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from tiny_students import COARSE

from tinybev.cli import main
from tinybev.errors import UserError
from tinybev.model.config import find_variant
from tinybev.model.student import Student, seeded_student
from tinybev.runtime.backends import export_cache
from tinybev.runtime.backends.export_cache import cache_folder, cached_export, export_parts
from tinybev.runtime.backends.parts import Part
from tinybev.runtime.bundle import Bundle, make_bundle
from tinybev.runtime.export import IDENTITY_FILE

TENSORRT_OPERATORS = {
    "Add",
    "Cast",
    "Concat",
    "Conv",
    "CumSum",
    "DepthToSpace",
    "Div",
    "Equal",
    "Expand",
    "Floor",
    "Gather",
    "GatherElements",
    "Gemm",
    "GreaterOrEqual",
    "MatMul",
    "MaxPool",
    "Mul",
    "Relu",
    "Reshape",
    "Resize",
    "Sigmoid",
    "Slice",
    "Split",
    "Sub",
    "Tanh",
    "TopK",
    "Transpose",
    "Unsqueeze",
    "Where",
}
"""Of those that TensorRT's parser takes (docs/operators.md of onnx-tensorrt), the ones that we use: CumSum with its
axis and TopK with its count as constants."""
TENSORRT_MOST_PEAKS = 3840


def bundle_of(seed: int = 0, **changes: object) -> Bundle:
    config = dataclasses.replace(COARSE, **changes)  # type: ignore[arg-type]
    return make_bundle("seeded", config, seeded_student(config, seed).state_dict(), "nothing")


def build() -> Student:
    return seeded_student(COARSE, 0)


class Writer:
    """Writes a description and weights for each part; breaks where it is told to."""

    def __init__(self, broken: str = "") -> None:
        self.broken, self.written = broken, list[str]()

    def __call__(self, part: Part, folder: Path) -> None:
        (folder / f"{part.name}.bin").write_text("weights")
        if part.name == self.broken:
            raise KeyboardInterrupt
        (folder / f"{part.name}.xml").write_text("model")
        self.written.append(part.name)


def test_an_interrupted_export_goes_on_with_the_missing_part(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        export_parts(build, tmp_path, ".xml", Writer(broken="bev"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["image.bin", "image.xml"]
    second = Writer()
    files = export_parts(build, tmp_path, ".xml", second)
    assert second.written == ["bev"]
    assert files == (tmp_path / "image.xml", tmp_path / "bev.xml")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bev.bin", "bev.xml", "image.bin", "image.xml"]


def test_a_whole_export_is_found_without_building_the_student(tmp_path: Path) -> None:
    export_parts(build, tmp_path, ".xml", Writer())

    def never() -> Student:
        raise AssertionError("built")

    assert export_parts(never, tmp_path, ".xml", Writer())[1].read_text() == "model"


def test_a_folder_that_cannot_be_written_to_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="expected a folder that can be written to"):
        export_parts(build, tmp_path / "file" / "cache", ".xml", Writer())


def test_every_part_of_the_identity_names_another_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TINYBEV_CACHE", str(tmp_path))
    installed = {"torch": "1", "onnx": "1"}
    monkeypatch.setattr(export_cache.metadata, "version", installed.__getitem__)
    packages = ("torch", "onnx")
    folders = [
        cached_export(bundle_of(), packages),
        cached_export(bundle_of(seed=1), packages),
        cached_export(bundle_of(max_agents=7), packages),  # the same weights in another configuration
        cached_export(bundle_of(), ("torch",)),
    ]
    installed["onnx"] = "2"
    folders.append(cached_export(bundle_of(), packages))
    installed["onnx"] = "1"
    assert bundle_of().info.sha256 == bundle_of(max_agents=7).info.sha256
    assert len(set(folders)) == len(folders)
    assert cached_export(bundle_of(), packages) == folders[0]
    assert {folder.parent for folder in folders} == {tmp_path}


def test_the_cache_is_the_users_unless_it_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("TINYBEV_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "tinybev"
    monkeypatch.setenv("TINYBEV_CACHE", str(tmp_path / "mine"))
    assert cache_folder() == tmp_path / "mine"


def test_a_damaged_export_is_refused_with_the_folder_to_remove(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    from tinybev.runtime.backends.openvino_runtime import PACKAGES, open_openvino

    monkeypatch.setenv("TINYBEV_CACHE", str(tmp_path))
    folder = cached_export(bundle_of(), PACKAGES)
    folder.mkdir(parents=True)
    for name in ("image", "bev"):
        (folder / f"{name}.xml").write_text("<net")
    with pytest.raises(UserError, match=f"remove {folder}, it is written anew"):
        open_openvino(bundle_of(), "openvino", "float32", 1)


def test_the_command_writes_onnx_that_shape_inference_and_the_manifest_agree_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxscript")
    folder = tmp_path / "onnx"
    command = ["export", "untrained:nano", "--format", "onnx", "--output", str(folder)]
    assert main(command) == 0
    config = find_variant("nano")
    for name in ("image", "bev"):
        model = onnx.load(folder / f"{name}.onnx")
        onnx.checker.check_model(model, full_check=True)
        assert {node.domain for node in model.graph.node} <= {"", "ai.onnx"}
        assert {node.op_type for node in model.graph.node} <= TENSORRT_OPERATORS
        constants = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
        for node in model.graph.node:
            if node.op_type == "CumSum":
                assert node.input[1] in constants
            if node.op_type == "TopK":
                assert constants[node.input[1]].item() <= TENSORRT_MOST_PEAKS
        bytes_in = {one.name for one in model.graph.input if one.type.tensor_type.elem_type == onnx.TensorProto.UINT8}
        assert bytes_in == ({"images"} if name == "image" else set())
        users = {node.op_type for node in model.graph.node if bytes_in & set(node.input)}
        assert users <= {"Cast"}  # the one operator that TensorRT takes on them
        dims = [dim for value in model.graph.output for dim in value.type.tensor_type.shape.dim]
        assert dims
        assert all(dim.HasField("dim_value") for dim in dims)  # TensorRT builds engines of fixed shapes
    outputs = {value.name: value for value in onnx.load(folder / "bev.onnx").graph.output}
    heatmap = [dim.dim_value for dim in outputs["detection.heatmap_BKXY"].type.tensor_type.shape.dim]
    assert heatmap == [1, 10, *config.head_grid.shape]
    stamps = {path: path.stat().st_mtime_ns for path in folder.glob("*.onnx")}
    assert main(command) == 0
    assert {path: path.stat().st_mtime_ns for path in folder.glob("*.onnx")} == stamps
    assert main(["export", "untrained:nano:1", *command[2:]]) == 2
    assert "expected an export of this bundle, got another's" in capsys.readouterr().err
    (folder / IDENTITY_FILE).write_text("of another version")
    assert main(command) == 2
    assert "expected an export by this version of the network and of torch, onnx, onnxscript" in capsys.readouterr().err
