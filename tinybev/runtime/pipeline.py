"""The pipeline of the robot: a frame in, five outputs out."""

from __future__ import annotations

import time
from collections.abc import Mapping

from tinybev.runtime.backends.backend import Backend
from tinybev.runtime.backends.choice import open_backend
from tinybev.runtime.bev_memory import BevMemory
from tinybev.runtime.bundle import Bundle
from tinybev.runtime.options import PipelineOptions
from tinybev.runtime.output_decoder import OutputDecoder
from tinybev.runtime.preprocess import Preprocessor
from tinybev.types import CAMERAS, Frame, Results, StageTimes, WeightsInfo

__all__ = ["Pipeline", "PipelineOptions"]


class Pipeline:
    """Runs frames one after the other; remembers tracks and, for a network with a memory, earlier features.

    Args:
        bundle: weights and their configuration.
        options: what whoever runs it may choose.

    Raises:
        UserError: the backend or the device is not there, or they do not fit each other.
    """

    def __init__(self, bundle: Bundle, options: PipelineOptions | None = None) -> None:
        self._options = options or PipelineOptions()
        self._config = bundle.config
        self.weights: WeightsInfo = bundle.info
        self._backend: Backend = open_backend(
            bundle, self._options.backend, self._options.device, self._options.threads
        )
        self._preprocessor = Preprocessor(self._config, self._options.use_ego_status)
        self._memory = BevMemory(self._config) if self._config.memory_frames else None
        self._decoder = OutputDecoder(self._config, self._options)
        self._rejected: Mapping[str, str] = {}

    @property
    def device(self) -> str:
        """Where the network runs: "cpu" or "cuda"."""
        return self._backend.device

    @property
    def backend(self) -> str:
        """What the network runs with, one of ``BACKENDS`` other than "auto"."""
        return self._backend.name

    @property
    def precision(self) -> str:
        """In which the network's convolutions are computed."""
        return self._backend.precision

    @property
    def rejected(self) -> Mapping[str, str]:
        """The cameras that the last frame had and that could not be used, with the reason."""
        return self._rejected

    def reset(self) -> None:
        """Forgets tracks and earlier features: what comes next does not continue what came before."""
        self._decoder.reset()
        if self._memory is not None:
            self._memory.clear()

    def start_anew(self) -> None:
        """As if just made, weights loaded: another recording comes, and what is said of it depends on it alone."""
        self.reset()
        self._decoder.start_anew()

    def run(self, frame: Frame) -> Results:
        """The results of one frame. Frames come in the order of their stamps; call :meth:`reset` where they do not.

        A camera without an image, with a damaged image or with an impossible calibration counts as missing: nothing
        is lifted from it.

        Raises:
            UserError: no camera is usable.
        """
        started = time.perf_counter()
        prepared = self._preprocessor.prepare(frame)
        self._rejected = prepared.rejected
        network_started = time.perf_counter()
        memory = self._memory.recall(frame.stamp_ns, frame.map_T_base) if self._memory is not None else None
        outputs = self._backend.infer(prepared.inputs, memory)
        if self._memory is not None:
            self._memory.remember(frame.stamp_ns, frame.map_T_base, outputs.stem_BCXY)
        network_done = time.perf_counter()

        decoded = self._decoder.decode(outputs, frame)
        done = time.perf_counter()
        return Results(
            stamp_ns=frame.stamp_ns,
            detections=decoded.detections,
            map=decoded.map,
            trajectories=decoded.trajectories,
            occupancy=decoded.occupancy,
            plan=decoded.plan,
            missing=tuple(camera for camera in CAMERAS if camera in frame.missing or camera in prepared.rejected),
            times=StageTimes(
                decode=prepared.decode_ms,
                preprocess=prepared.preprocess_ms,
                network=1e3 * (network_done - network_started),
                postprocess=1e3 * (done - network_done),
                total=1e3 * (done - started),
            ),
            weights=self.weights,
        )
