"""Every backend says what torch says in float32, head by head, each in its unit, under more than one calibration."""

from __future__ import annotations

import dataclasses
import importlib.util
import shutil
from pathlib import Path

import pytest
import torch
from agreement import Agreement, agreement
from rigs import ring_rig
from street import street_frame
from student_inputs import flat, student_inputs
from tiny_students import COARSE

from tinybev.bench.made_frame import made_frame
from tinybev.model.config import StudentConfig
from tinybev.model.student import StudentInputs, seeded_student
from tinybev.model.temporal import Memory
from tinybev.runtime.backends.choice import open_backend
from tinybev.runtime.backends.torch_device import computes_bfloat16
from tinybev.runtime.bundle import Bundle, load_bundle, make_bundle
from tinybev.runtime.preprocess import Preprocessor

SMALL_GRID = dataclasses.replace(COARSE, max_agents=40)
WITH_MEMORY = dataclasses.replace(SMALL_GRID, memory_frames=2)

EXACT = Agreement(
    score=1e-4,
    center_m=1e-3,
    size_m=1e-3,
    heading_rad=1e-3,
    velocity_mps=1e-3,
    map_probability=1e-4,
    occupancy_probability=1e-4,
    flow_m=1e-3,
    plan_m=1e-4,
    motion_m=1e-3,
    common_agents=1.0,
)
"""In float32: another order of the sums and nothing else."""
ROUNDED = Agreement(
    score=0.03,
    center_m=0.05,
    size_m=0.1,
    heading_rad=0.1,
    velocity_mps=0.1,
    map_probability=0.05,
    occupancy_probability=0.05,
    flow_m=0.2,
    plan_m=0.01,
    motion_m=0.2,
    common_agents=0.8,
)
"""In bfloat16, for random weights, whose outputs are as large as those of trained ones."""
ROUNDED_SHIPPED = ROUNDED._replace(size_m=0.3, map_probability=0.1, plan_m=0.15, motion_m=2.0)
"""In bfloat16, for the shipped weights and a picture of noise, which is no street: the worst are futures of peaks that
are no objects, and lines of the map that are none."""

EXPORTERS = {
    "openvino": ("openvino",),
    "openvino-bf16": ("openvino",),
    "onnxruntime": ("onnx", "onnxscript", "onnxruntime"),
}


def needs(backend: str) -> None:
    missing = [name for name in EXPORTERS.get(backend, ()) if importlib.util.find_spec(name) is None]
    if missing:
        pytest.skip(f"needs {', '.join(missing)}")
    if backend == "torch-compile" and shutil.which("c++") is None:
        pytest.skip("needs a C++ compiler")
    if backend in ("torch-bf16", "torch-compile") and not computes_bfloat16(torch.device("cpu")):
        pytest.skip("needs a processor with bfloat16 instructions")
    if backend == "openvino-bf16":
        import openvino

        if "BF16" not in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
            pytest.skip("needs a processor with bfloat16 instructions")


def bundle_of(config: StudentConfig) -> Bundle:
    return make_bundle("seeded", config, seeded_student(config, 0).state_dict(), "nothing (untrained, seed 0)")


def frames(config: StudentConfig) -> list[StudentInputs]:
    """Frames of two calibrations, of which different numbers of points land on the grid."""
    return [
        student_inputs(config, ring_rig(config.image_size, focal), seed=seed) for seed, focal in ((3, 1.4), (4, 0.7))
    ]


def assert_within(found: Agreement, allowed: Agreement) -> None:
    for name, value, limit in zip(found._fields, found, allowed, strict=True):
        good = value >= limit if name == "common_agents" else value <= limit
        assert good, f"{name}: {value:.3g}, allowed {limit:.3g}"


@pytest.fixture(autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TINYBEV_CACHE", str(tmp_path_factory.getbasetemp() / "exports"))


@pytest.mark.parametrize(
    ("backend", "allowed"),
    [
        ("openvino", EXACT),
        ("onnxruntime", EXACT),
        ("openvino-bf16", ROUNDED),
        ("torch-bf16", ROUNDED),
        ("torch-compile", ROUNDED),
    ],
)
@pytest.mark.parametrize("config", [SMALL_GRID, WITH_MEMORY], ids=["frame alone", "with memory"])
def test_a_backend_agrees_with_torch_in_float32(backend: str, allowed: Agreement, config: StudentConfig) -> None:
    needs(backend)
    bundle = bundle_of(config)
    reference, other = (open_backend(bundle, name, "cpu", 1) for name in ("torch", backend))
    assert (other.name, other.device) == (backend, "cpu")
    assert other.precision == ("float32" if allowed is EXACT else "bfloat16")
    narrow, wide = frames(config)
    assert len(narrow.splat.pixel_P) != len(wide.splat.pixel_P)
    memory = None
    for inputs in (narrow, wide, narrow):
        if config.memory_frames:
            memory = some_memory(config)
        want, got = reference.infer(inputs, memory), other.infer(inputs, memory)
        for name, tensor in flat(want).items():
            mine = flat(got)[name]
            assert (mine.dtype, mine.shape) == (tensor.dtype, tensor.shape), name
        assert_within(agreement(want, got, config), allowed)


@pytest.mark.parametrize(
    ("backend", "allowed"),
    [("openvino", EXACT), ("onnxruntime", EXACT), ("openvino-bf16", ROUNDED_SHIPPED), ("torch-bf16", ROUNDED_SHIPPED)],
)
def test_a_backend_agrees_with_torch_on_the_shipped_weights(backend: str, allowed: Agreement) -> None:
    needs(backend)
    bundle = load_bundle("shipped:mini")
    inputs = Preprocessor(bundle.config, use_ego_status=True).prepare(made_frame()).inputs
    reference, other = (open_backend(bundle, name, "cpu", 1) for name in ("torch", backend))
    assert_within(agreement(reference.infer(inputs, None), other.infer(inputs, None), bundle.config), allowed)


@pytest.mark.parametrize("backend", ["openvino-bf16", "torch-bf16"])
def test_what_the_shipped_weights_see_of_a_street_agrees_in_bfloat16_cell_by_cell(backend: str) -> None:
    needs(backend)
    bundle = load_bundle("shipped:mini")
    inputs = Preprocessor(bundle.config, use_ego_status=True).prepare(street_frame()).inputs
    reference, other = (open_backend(bundle, name, "cpu", 1) for name in ("torch", backend))
    want = reference.infer(inputs, None)
    assert (want.map_BKXY.sigmoid() > 0.5).sum() > 1000  # there is a street to see
    found = agreement(want, other.infer(inputs, None), bundle.config)
    assert found.score <= ROUNDED.score
    assert found.map_probability <= ROUNDED.map_probability
    assert found.occupancy_probability <= ROUNDED.occupancy_probability
    assert found.flow_m <= ROUNDED.flow_m


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("backend", ["torch-bf16", "torch-cuda-graphs"])
@pytest.mark.parametrize("config", [SMALL_GRID, WITH_MEMORY], ids=["frame alone", "with memory"])
def test_a_backend_on_a_gpu_agrees_with_torch_on_the_cpu(backend: str, config: StudentConfig) -> None:
    bundle = bundle_of(config)
    reference, other = open_backend(bundle, "torch", "cpu", 1), open_backend(bundle, backend, "cuda", 0)
    memory = some_memory(config) if config.memory_frames else None
    for inputs in frames(config):
        assert_within(agreement(reference.infer(inputs, memory), other.infer(inputs, memory), config), ROUNDED)


@pytest.mark.parametrize("backend", ["torch", "torch-bf16", "openvino", "openvino-bf16", "onnxruntime"])
def test_outputs_outlive_the_next_frame(backend: str) -> None:
    needs(backend)
    runner = open_backend(bundle_of(SMALL_GRID), backend, "cpu", 1)
    first, second = frames(SMALL_GRID)
    outputs = flat(runner.infer(first, None))
    before = {name: tensor.clone() for name, tensor in outputs.items()}
    runner.infer(second, None)
    for name, tensor in outputs.items():
        assert torch.equal(tensor, before[name]), name


@pytest.mark.parametrize("backend", ["torch-bf16", "openvino-bf16"])
def test_bfloat16_does_not_round_what_the_heads_say(backend: str) -> None:
    """Else neighbouring cells of the heatmap tie, and each counts as an object."""
    needs(backend)
    outputs = open_backend(bundle_of(SMALL_GRID), backend, "cpu", 1).infer(frames(SMALL_GRID)[0], None)
    said = (outputs.detection, outputs.map_BKXY, outputs.occupancy, outputs.plan, outputs.motion)
    for index, part in enumerate(said):
        for tensor in [part] if isinstance(part, torch.Tensor) else part:
            rounded = (tensor == tensor.bfloat16().float()).float().mean()
            assert rounded < 0.7, (index, tensor.shape)  # some are round by chance, as the plan's start from zero


def test_the_comparison_sees_a_difference_in_every_head(tmp_path: Path) -> None:
    torch_backend = open_backend(bundle_of(SMALL_GRID), "torch", "cpu", 1)
    outputs = torch_backend.infer(frames(SMALL_GRID)[0], None)
    assert_within(agreement(outputs, outputs, SMALL_GRID), EXACT)
    cell = SMALL_GRID.head_grid.x_bound[2]
    detection = outputs.detection._replace(
        offset_B2XY=outputs.detection.offset_B2XY + 0.5,
        log_size_B3XY=outputs.detection.log_size_B3XY + 1.0,
        heading_B2XY=-outputs.detection.heading_B2XY,
        velocity_B2XY=outputs.detection.velocity_B2XY - 2.0,
        heatmap_BKXY=-outputs.detection.heatmap_BKXY,
    )
    other = outputs._replace(
        detection=detection,
        map_BKXY=outputs.map_BKXY + 3.0,
        occupancy=outputs.occupancy._replace(
            logits_BTXY=outputs.occupancy.logits_BTXY + 3.0, flow_BT2XY=outputs.occupancy.flow_BT2XY + 4.0
        ),
        plan=outputs.plan._replace(position_BT2=outputs.plan.position_BT2 + 5.0),
        motion=outputs.motion._replace(offset_BAKT2=outputs.motion.offset_BAKT2 + 6.0),
        agents=outputs.agents._replace(cell_BA=outputs.agents.cell_BA.roll(0)),
    )
    found = agreement(outputs, other, SMALL_GRID)
    assert found.center_m == pytest.approx(0.5 * cell, rel=1e-4)
    assert found.heading_rad == pytest.approx(torch.pi, abs=1e-3)
    assert found.velocity_mps == pytest.approx(2.0, rel=1e-4)
    assert (found.flow_m, found.plan_m, found.motion_m) == pytest.approx((4.0, 5.0, 6.0), rel=1e-4)
    assert min(found.score, found.size_m, found.map_probability, found.occupancy_probability) > 0.1
    elsewhere = outputs._replace(agents=outputs.agents._replace(cell_BA=outputs.agents.cell_BA + 1))
    assert agreement(outputs, elsewhere, SMALL_GRID).common_agents < 1.0


def some_memory(config: StudentConfig) -> Memory:
    generator = torch.Generator().manual_seed(1)
    feat = torch.randn(1, 2, config.bev_widths[0], *config.head_grid.shape, generator=generator)
    past_T_now = torch.eye(3).repeat(1, 2, 1, 1)
    past_T_now[0, :, 0, 2] = torch.tensor([2.0, 4.3])
    return Memory(feat, past_T_now, torch.tensor([[1.0, 0.0]]))
