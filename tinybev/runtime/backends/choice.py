"""Which runtimes there are, and which one ``auto`` means."""

from __future__ import annotations

import torch

from tinybev.errors import UserError
from tinybev.runtime.backends.backend import Backend
from tinybev.runtime.backends.onnx_runtime import open_onnx_runtime
from tinybev.runtime.backends.openvino_int8 import INT8, int8_sha256, open_openvino_int8
from tinybev.runtime.backends.openvino_runtime import open_openvino, openvino_is_installed
from tinybev.runtime.backends.reduced_precision import in_bfloat16
from tinybev.runtime.backends.torch_compiled import open_compiled, open_cuda_graphs
from tinybev.runtime.backends.torch_device import check_bfloat16, choose_device, keep_float32
from tinybev.runtime.backends.torch_eager import TorchEager
from tinybev.runtime.bundle import Bundle
from tinybev.runtime.options import AUTO, BACKENDS

_TORCH_BFLOAT16 = ("torch-bf16", "torch-compile")
_CPU_ONLY = ("openvino", "openvino-bf16", INT8, "onnxruntime")


def open_backend(bundle: Bundle, backend: str, device: str, threads: int) -> Backend:
    """A runtime with the bundle's weights in it.

    ``auto`` computes in float32: openvino on a CPU where it is installed, else torch.

    Args:
        bundle: weights and configuration.
        backend: one of ``BACKENDS``.
        device: "cpu", "cuda", or "auto": cuda where PyTorch finds it and the backend can use it.
        threads: of the network on the CPU; 0 leaves the runtime's choice. Where the network is not PyTorch's, PyTorch
            has one thread from then on, in this whole process. Where it is PyTorch's, what is in float32, of every
            network the heads, is computed without TF32 from then on, likewise.

    Raises:
        UserError: a name is unknown, the backend does not run on the device, or what it needs is not there.
    """
    if backend not in BACKENDS:
        raise UserError(f"backend: expected one of {', '.join(BACKENDS)}, got {backend!r}; choose one.")
    if backend in _CPU_ONLY and device == "cuda":
        raise UserError(f"backend {backend!r}: expected device cpu or auto, got cuda; choose torch-cuda-graphs.")
    where = torch.device("cpu") if backend in _CPU_ONLY else choose_device(device)
    if backend == AUTO:
        backend = "openvino" if where.type == "cpu" and openvino_is_installed() else "torch"
    if backend in _CPU_ONLY:
        # There PyTorch pools and decodes outputs, a few milliseconds in all. With threads of its own, those that are
        # done would spin for as long again on the cores that the network needs.
        torch.set_num_threads(1)
    elif threads:
        torch.set_num_threads(threads)
    if backend == "openvino":
        return open_openvino(bundle, backend, "float32", threads)
    if backend == "openvino-bf16":
        return open_openvino(bundle, backend, "bfloat16", threads)
    if backend == INT8:
        return open_openvino_int8(bundle, threads)
    if backend == "onnxruntime":
        return open_onnx_runtime(bundle, threads)
    keep_float32()
    if backend in _TORCH_BFLOAT16:
        check_bfloat16(where, f"backend {backend!r}", "openvino or torch")
    student = bundle.build_student()
    if backend == "torch-compile":
        return open_compiled(backend, student, where)
    if backend == "torch-cuda-graphs":
        return open_cuda_graphs(backend, student, where)
    if backend == "torch-bf16":
        return TorchEager(backend, "bfloat16", in_bfloat16(student), where)
    return TorchEager(backend, "float32", student, where)


def computed_sha256(bundle: Bundle, backend: str) -> str:
    """Checksum of the weights that a backend computes with: the bundle's, or those that were quantized from it.

    Raises:
        UserError: the backend is int8 and the bundle is not calibrated.
    """
    return int8_sha256(bundle) if backend == INT8 else bundle.info.sha256
