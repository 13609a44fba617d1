"""The network through every backend, in turns, against torch in float32 and the highest rate of a convolution."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import torch
from torch import nn

from tinybev.bench.int8_peak import LAYERS, int8_convolutions
from tinybev.bench.interleaved import Prepare, Timing, Work, time_in_turns
from tinybev.bench.made_frame import made_frame
from tinybev.bench.sizes import Subject, subjects
from tinybev.bench.speed_row import SpeedRow, speed_row, table
from tinybev.errors import UserError
from tinybev.model.summary import summarize
from tinybev.runtime.backends.choice import open_backend
from tinybev.runtime.backends.openvino_int8 import INT8, is_calibrated, quantize
from tinybev.runtime.backends.torch_device import check_bfloat16, choose_device, keep_float32
from tinybev.runtime.bundle import UNTRAINED
from tinybev.runtime.options import AUTO, BACKENDS
from tinybev.runtime.preprocess import Preprocessor

DESCRIPTION = "the network through the backends (--bundle, --backends, --device, --image-sizes, --grid-cells)"
DEFAULT_BUNDLE = UNTRAINED + "base"
YARDSTICK = "torch"
_PRECISIONS = ("float32", "bfloat16", "int8")
_PEAK = "convolution, "


def run(args: argparse.Namespace) -> list[dict[str, object]]:
    """Measures, prints a table for each size, and returns the rows.

    Raises:
        UserError: a backend, the device or a size is unknown, or the bundle cannot be loaded.
    """
    choose_device(args.device)
    names = check_backends(args.backends or default_backends())
    rows: list[SpeedRow] = []
    for subject in subjects(args.bundle or DEFAULT_BUNDLE, args.image_sizes or (), args.grid_cells or ()):
        measured, absent = _measure(subject, names, args)
        print(table(measured, absent))
        rows += measured
    return [asdict(row) for row in rows]


def default_backends() -> list[str]:
    """All but the slow compiler's; one that does not run here says why."""
    return [name for name in BACKENDS if name not in (AUTO, "torch-compile")]


def check_backends(names: Sequence[str]) -> list[str]:
    """The yardstick and the backends, each once.

    Raises:
        UserError: one is unknown.
    """
    if unknown := [name for name in names if name not in BACKENDS]:
        raise UserError(f"--backends: expected some of {', '.join(BACKENDS)}, got {', '.join(unknown)}; correct them.")
    return list(dict.fromkeys([YARDSTICK, *names]))


def _measure(subject: Subject, names: Sequence[str], args: argparse.Namespace) -> tuple[list[SpeedRow], dict[str, str]]:
    """The rows of one size, and the backends that did not run with the reason."""
    threads = args.threads or torch.get_num_threads()
    variants: dict[str, Prepare] = {name: _Infer(subject, name, args.device, threads) for name in names}
    refused = {}
    if INT8 in names:
        try:
            _calibrate_random(subject)
        except UserError as error:
            refused[INT8] = str(error)
            del variants[INT8]
    for precision in _PRECISIONS:
        variants[_PEAK + precision] = Convolve(precision, args.device, threads)
    timings, absent = time_in_turns(variants, args.rounds)
    operations = 2.0 * summarize(subject.config).macs
    rows = []
    for name, timing in timings.items():
        if name.startswith(_PEAK):
            continue
        precision = precision_of(name)
        peak_timing = timings.get(_PEAK + precision)
        peak = None if peak_timing is None else _peak_gflops(peak_timing, precision)
        yardstick = timings.get(YARDSTICK)
        rows.append(speed_row("network", subject.name, name, precision, threads, timing, yardstick, operations, peak))
    return rows, absent | refused


def _calibrate_random(subject: Subject) -> None:
    """Gives random weights ranges for int8, of the made frame, where they have none; of trained ones nobody should
    find such ranges later on.

    Raises:
        UserError: a package is missing, or the network has a memory.
    """
    bundle = subject.open()
    if not bundle.info.trained and not is_calibrated(bundle):
        prepared = Preprocessor(subject.config, use_ego_status=False).prepare(made_frame())
        quantize(bundle, [prepared.inputs])


def precision_of(backend: str) -> str:
    """In which a backend's convolutions are computed."""
    if backend == INT8:
        return "int8"
    reduced = backend.endswith("bf16") or backend in ("torch-compile", "torch-cuda-graphs")
    return "bfloat16" if reduced else "float32"


@dataclass(frozen=True)
class _Infer:
    """One frame through a backend."""

    subject: Subject
    backend: str
    device: str
    threads: int

    def __call__(self) -> Work:
        config = self.subject.config
        if config.memory_frames:
            raise UserError("bench network: expected a network without memory; it would time frames without a past.")
        torch.set_num_threads(self.threads)
        runner = open_backend(self.subject.open(), self.backend, self.device, self.threads)
        inputs = Preprocessor(config, use_ego_status=False).prepare(made_frame()).inputs
        return lambda: runner.infer(inputs, None)


@dataclass(frozen=True)
class Convolve:
    """A convolution that keeps every core busy with arithmetic: 3 x 3, 128 channels, about the middle of a ResNet."""

    precision: str
    device: str
    threads: int

    channels = 128
    height, width, batch = 64, 176, 6

    def __call__(self) -> Work:
        torch.set_num_threads(self.threads)
        device = choose_device(self.device)
        if self.precision == "int8":
            model = int8_convolutions((self.batch, self.channels, self.height, self.width), self.threads)
            request = model.create_infer_request()
            return request.infer
        if self.precision == "bfloat16":
            check_bfloat16(device, "bench network", "float32")
        keep_float32()
        kind = {"float32": torch.float32, "bfloat16": torch.bfloat16}[self.precision]
        layer = nn.Conv2d(self.channels, self.channels, 3, padding=1, bias=False).to(device, kind)
        layer = layer.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        images = torch.randn(self.batch, self.channels, self.height, self.width, dtype=kind, device=device)
        images = images.to(memory_format=torch.channels_last)

        def convolve() -> object:
            with torch.inference_mode():
                feat = layer(images)
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            return feat

        return convolve

    @classmethod
    def operations(cls, precision: str) -> float:
        """Of one run; two for a multiply-accumulate."""
        layers = LAYERS if precision == "int8" else 1
        return 2.0 * layers * cls.batch * cls.height * cls.width * 9 * cls.channels**2


def _peak_gflops(timing: Timing, precision: str) -> float:
    """The highest rate that any turn reached: what disturbs a sample can only slow it down."""
    return Convolve.operations(precision) / min(sample.wall_s for sample in timing.samples) / 1e9
