"""Which backend ``auto`` means, and the sentence with which the others are refused."""

from __future__ import annotations

import importlib
import importlib.util
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType

import pytest
import torch
from tiny_students import COARSE

from tinybev.bench.made_frame import made_frame
from tinybev.config import PARAMETERS, NodeConfig, pipeline_options
from tinybev.errors import UserError
from tinybev.model.student import seeded_student
from tinybev.runtime.backends import choice, torch_device
from tinybev.runtime.backends.choice import open_backend
from tinybev.runtime.bundle import Bundle, make_bundle
from tinybev.runtime.options import BACKENDS, PipelineOptions
from tinybev.runtime.pipeline import Pipeline


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return make_bundle("seeded", COARSE, seeded_student(COARSE, 0).state_dict(), "nothing (untrained, seed 0)")


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TINYBEV_CACHE", str(tmp_path / "cache"))


def without(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """As if these packages were not installed."""
    find, load = importlib.util.find_spec, importlib.import_module

    def find_others(name: str, package: str | None = None) -> object:
        return None if name in names else find(name, package)

    def load_others(name: str, package: str | None = None) -> ModuleType:
        if name in names:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return load(name, package)

    monkeypatch.setattr(importlib.util, "find_spec", find_others)
    monkeypatch.setattr(importlib, "import_module", load_others)


def test_the_node_takes_every_backend_and_hands_it_on() -> None:
    assert PARAMETERS["backend"].choices == BACKENDS
    for name in BACKENDS:
        assert pipeline_options(NodeConfig.from_values({"backend": name})).backend == name


def test_the_pipeline_runs_with_the_backend_of_its_options(bundle: Bundle) -> None:
    pipeline = Pipeline(bundle, PipelineOptions(backend="torch", device="cpu"))
    assert (pipeline.backend, pipeline.device) == ("torch", "cpu")
    results = pipeline.run(made_frame())
    assert results.missing == ()
    assert results.plan.positions.shape == (COARSE.plan_steps, 2)


def test_pytorch_keeps_one_thread_where_another_runtime_has_the_network(bundle: Bundle) -> None:
    before = torch.get_num_threads()
    try:
        open_backend(bundle, "torch", "cpu", 2)
        assert torch.get_num_threads() == 2
        if importlib.util.find_spec("openvino") is None:
            pytest.skip("needs openvino")
        open_backend(bundle, "openvino", "cpu", 2)
        assert torch.get_num_threads() == 1
        with ThreadPoolExecutor(1) as pool:  # the node's pipeline runs on a thread of its own
            assert pool.submit(torch.get_num_threads).result() == 1
    finally:
        torch.set_num_threads(before)


def test_auto_is_torch_where_openvino_is_not_installed(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    without(monkeypatch, "openvino")
    backend = open_backend(bundle, "auto", "cpu", 1)
    assert (backend.name, backend.device, backend.precision) == ("torch", "cpu", "float32")


@pytest.mark.skipif(not choice.openvino_is_installed(), reason="needs openvino")
def test_auto_is_openvino_in_float32_where_it_is_installed(bundle: Bundle) -> None:
    backend = open_backend(bundle, "auto", "cpu", 1)
    assert (backend.name, backend.device, backend.precision) == ("openvino", "cpu", "float32")


@pytest.mark.parametrize(
    ("backend", "device", "absent", "sentence"),
    [
        ("tensorrt", "cpu", (), f"backend: expected one of {', '.join(BACKENDS)}, got 'tensorrt'; choose one."),
        (
            "openvino",
            "cuda",
            (),
            "backend 'openvino': expected device cpu or auto, got cuda; choose torch-cuda-graphs.",
        ),
        (
            "openvino-bf16",
            "cpu",
            ("openvino",),
            "backend 'openvino-bf16': expected the package openvino, it is not installed; run `pip install openvino`, "
            "or choose torch.",
        ),
        (
            "onnxruntime",
            "cpu",
            ("onnxruntime",),
            "backend 'onnxruntime': expected the package onnxruntime, it is not installed; run "
            "`pip install onnxruntime onnx onnxscript`, or choose torch.",
        ),
        (
            "torch-cuda-graphs",
            "cpu",
            (),
            "backend 'torch-cuda-graphs': expected a GPU, got device cpu; choose openvino or torch.",
        ),
    ],
)
def test_refusals(
    backend: str,
    device: str,
    absent: tuple[str, ...],
    sentence: str,
    bundle: Bundle,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    without(monkeypatch, *absent)
    with pytest.raises(UserError) as refusal:
        open_backend(bundle, backend, device, 1)
    assert str(refusal.value) == sentence


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_a_gpu_that_is_not_there_is_refused(bundle: Bundle) -> None:
    with pytest.raises(UserError, match="expected a GPU for 'cuda'"):
        open_backend(bundle, "torch-bf16", "cuda", 1)


@pytest.mark.parametrize("backend", ["torch-bf16", "torch-compile"])
def test_bfloat16_is_refused_where_it_would_only_be_slow(
    backend: str, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch_device, "computes_bfloat16", lambda device: False)
    with pytest.raises(UserError) as refusal:
        open_backend(bundle, backend, "cpu", 1)
    assert str(refusal.value) == (
        f"backend '{backend}': expected a processor with bfloat16 instructions that PyTorch uses (on x86 AVX-512 "
        "or AMX), this one has none and would be many times slower than in float32; choose openvino or torch."
    )


def test_a_gpu_without_bfloat16_is_refused_for_cuda_graphs(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "choose_device", lambda name: torch.device("cuda"))
    monkeypatch.setattr(torch_device, "computes_bfloat16", lambda device: False)
    with pytest.raises(
        UserError, match=r"backend 'torch-cuda-graphs': expected a GPU with bfloat16 .*; choose torch\."
    ):
        open_backend(bundle, "torch-cuda-graphs", "auto", 1)


@pytest.mark.parametrize("backend", ["torch", "torch-bf16", "torch-compile", "torch-cuda-graphs"])
def test_what_pytorch_computes_in_float32_is_float32_on_a_gpu_too(
    backend: str, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole network of the reference, the heads of the others."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    monkeypatch.setattr(torch_device, "computes_bfloat16", lambda device: True)
    for name in ("open_compiled", "open_cuda_graphs"):
        monkeypatch.setattr(choice, name, lambda *_arguments: None)
    open_backend(bundle, backend, "cpu", 1)
    assert torch.backends.cudnn.allow_tf32 is False


def test_a_compiler_that_is_not_there_is_refused(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(torch_device, "computes_bfloat16", lambda device: True)
    with pytest.raises(UserError, match=r"expected a C\+\+ compiler, none is on the path"):
        open_backend(bundle, "torch-compile", "cpu", 1)
