"""Runs a student in two compiled parts: image part, pooling, BEV part."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from tinybev.model.config import StudentConfig
from tinybev.model.lift_geometry import SplatIndices
from tinybev.model.lift_splat import Lifted, Splat
from tinybev.model.student import StudentInputs, StudentOutputs
from tinybev.model.temporal import Memory
from tinybev.runtime.backends.parts import bev_arguments, joined_outputs
from tinybev.runtime.backends.torch_device import to_device

_CPU = torch.device("cpu")


class RunPart(Protocol):
    """One compiled part: takes tensors on any device and gives them on its own."""

    def __call__(self, arguments: Sequence[Tensor]) -> Sequence[Tensor]:
        """The outputs, which a later call does not overwrite."""


class PartsBackend:
    """A backend made of two compiled parts; the pooling between them is PyTorch's.

    Args:
        name: of the backend.
        precision: of the convolutions.
        config: the student's.
        run_image, run_bev: the parts.
        device: of the parts' outputs and of the pooling.
    """

    def __init__(
        self,
        name: str,
        precision: str,
        config: StudentConfig,
        run_image: RunPart,
        run_bev: RunPart,
        device: torch.device = _CPU,
    ) -> None:
        self.name, self.precision = name, precision
        self.pooling_ms: float | None = None
        self._device = device
        self._run_image, self._run_bev = run_image, run_bev
        self._splat = Splat(config)
        self._indices: tuple[SplatIndices, SplatIndices] | None = None

    @property
    def device(self) -> str:
        """Where it runs."""
        return self._device.type

    @torch.inference_mode()
    def infer(self, inputs: StudentInputs, memory: Memory | None) -> StudentOutputs:
        """The raw outputs of a batch of one, on the CPU."""
        lifted = Lifted(*self._run_image([inputs.images_BNHW3, inputs.intrinsics_BN4]))
        started = time.perf_counter()
        lifted_BXYC = self._splat.pool(lifted, self._on_device(inputs.splat))
        if self._device.type == "cpu":  # elsewhere it has only been asked for
            self.pooling_ms = 1e3 * (time.perf_counter() - started)
        bev_tensors = self._run_bev(bev_arguments(lifted_BXYC, inputs.conditions, memory))
        return to_device(joined_outputs(lifted.depth_logits_BNDHW, bev_tensors), _CPU)

    def _on_device(self, indices: SplatIndices) -> SplatIndices:
        """The indices, moved once for each calibration: they are the same object while the vehicle stands."""
        if self._indices is None or self._indices[0] is not indices:
            self._indices = indices, to_device(indices, self._device)
        return self._indices[1]
