"""The network leaves PyTorch's Python: one export serves every calibration, and uses no operator of our own."""

from __future__ import annotations

import dataclasses
import importlib.util

import pytest
import torch
from rigs import ring_rig
from student_inputs import flat, student_inputs
from torch.export import Dim

from tinybev.model.config import find_variant
from tinybev.model.heads.planning import PlanConditions
from tinybev.model.lift_geometry import SplatIndices
from tinybev.model.student import StudentInputs, seeded_student

NANO = find_variant("nano")
STUDENT = seeded_student(NANO, 0)
NARROW, WIDE = (student_inputs(NANO, ring_rig(NANO.image_size, focal), seed=3) for focal in (1.4, 0.7))
"""Inputs of two calibrations, of which different numbers of points land on the grid."""


def assert_same(outputs: object, expected: object) -> None:
    for (name, value), mine in zip(flat(expected).items(), torch.utils._pytree.tree_leaves(outputs), strict=True):
        torch.testing.assert_close(mine, value, rtol=1e-3, atol=1e-4, msg=lambda text, name=name: f"{name}: {text}")


def exported() -> torch.export.ExportedProgram:
    pairs = Dim("pairs", min=2, max=2**24)
    shapes = StudentInputs(
        images_BNHW3=None,
        intrinsics_BN4=None,
        splat=SplatIndices(depth_P={0: pairs}, pixel_P={0: pairs}, start_G=None),
        conditions=PlanConditions(None, None, None),
    )
    return torch.export.export(STUDENT, (NARROW,), dynamic_shapes=(shapes,))


def test_one_export_serves_every_calibration() -> None:
    assert len(NARROW.splat.pixel_P) != len(WIDE.splat.pixel_P)
    program = exported()
    operators = {str(node.target) for node in program.graph.nodes if node.op == "call_function"}
    assert any("embedding_bag" in operator for operator in operators)
    assert all(operator.startswith(("aten.", "<built-in function")) for operator in operators), operators
    with torch.inference_mode():
        for inputs in (NARROW, WIDE):
            assert_same(program.module()(inputs), STUDENT(inputs))


def test_the_two_halves_beside_the_splat_export_alone() -> None:
    """Runtimes that lack a fast embedding_bag run images -> depth, context and grid -> outputs, and pool in between."""
    config = dataclasses.replace(NANO, image_size=(32, 64))
    student, inputs = seeded_student(config, 0), student_inputs(config)
    torch.export.export(torch.nn.Sequential(student.pixels, student.backbone, student.neck), (inputs.images_BNHW3,))
    lifted_BCXY = torch.zeros(1, config.context_channels, *config.grid.shape)
    torch.export.export(torch.nn.Sequential(student.bev_stem, student.bev_encoder), (lifted_BCXY,))


@pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("onnx", "onnxscript", "onnxruntime")),
    reason="needs onnx, onnxscript and onnxruntime",
)
def test_one_onnx_file_of_standard_operators_serves_every_calibration() -> None:
    import onnxruntime

    model = torch.onnx.export(exported(), (NARROW,), dynamo=True, opset_version=18, verbose=False).model_proto
    assert {node.domain for node in model.graph.node} == {""}
    assert len(model.functions) == 0
    session = onnxruntime.InferenceSession(model.SerializeToString())
    names = [one.name for one in session.get_inputs()]
    for inputs in (NARROW, WIDE):
        values = [tensor.numpy() for tensor in flat(inputs).values()]
        outputs = session.run(None, dict(zip(names, values, strict=True)))
        with torch.inference_mode():
            assert_same([torch.from_numpy(value) for value in outputs], STUDENT(inputs))
