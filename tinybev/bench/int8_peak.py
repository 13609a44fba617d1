"""Convolutions in int8 that keep every core busy, through OpenVINO: the yardstick of a network in int8."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np

from tinybev.errors import UserError

LEVELS = 256
LAYERS = 8
"""One after the other, so that what is quantized stays so and is not measured at its way in and out alone."""


def int8_convolutions(shape: tuple[int, int, int, int], threads: int) -> Any:
    """A compiled OpenVINO model of ``LAYERS`` 3x3 convolutions that keep the ``shape`` (N, C, H, W).

    Raises:
        UserError: OpenVINO is not installed.
    """
    try:
        openvino = importlib.import_module("openvino")
    except ModuleNotFoundError as error:
        raise UserError("bench network: expected the package openvino for int8; `pip install openvino`.") from error
    opset = importlib.import_module("openvino.opset13")
    rng = np.random.default_rng(0)
    channels = shape[1]
    given = opset.parameter(list(shape), np.float32)
    feat = given
    for _ in range(LAYERS):
        quantized = opset.fake_quantize(feat, *_range(0.0, 2.55), LEVELS)
        weights = opset.constant(rng.integers(-127, 128, (channels, channels, 3, 3)).astype(np.int8))
        scaled = opset.multiply(opset.convert(weights, np.float32), opset.constant(np.float32(1e-4)))
        feat = opset.relu(opset.convolution(quantized, scaled, [1, 1], [1, 1], [1, 1], [1, 1]))
    settings: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY", "ENABLE_CPU_PINNING": False}
    if threads:
        settings["INFERENCE_NUM_THREADS"] = threads
    return openvino.Core().compile_model(openvino.Model([opset.result(feat)], [given], "convolutions"), "CPU", settings)


def _range(low: float, high: float) -> tuple[Any, Any, Any, Any]:
    """Of input and output."""
    ends = np.float32(low), np.float32(high)
    return (*ends, *ends)
