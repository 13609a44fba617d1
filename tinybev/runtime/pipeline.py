"""The pipeline of the robot: a frame in, five outputs out."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tinybev.model.student import StudentOutputs
from tinybev.runtime.backends.backend import Backend
from tinybev.runtime.backends.choice import open_backend
from tinybev.runtime.bev_memory import BevMemory
from tinybev.runtime.bundle import Bundle
from tinybev.runtime.options import PipelineOptions
from tinybev.runtime.output_decoder import OutputDecoder
from tinybev.runtime.preprocess import DecodedFrame, PreparedFrame, Preprocessor
from tinybev.types import CAMERAS, Frame, Results, StageTimes, WeightsInfo

__all__ = ["Pipeline", "PipelineOptions"]


@dataclass(frozen=True)
class InferredFrame:
    """A frame that went through the network.

    Attributes:
        decoded: as it went in.
        prepared: what the network took of it.
        outputs: as they came out; no later frame overwrites them.
        network_ms: wall time of the network.
        pooling_ms: of the pooling in it, None where the backend does not tell.
    """

    decoded: DecodedFrame
    prepared: PreparedFrame
    outputs: StudentOutputs
    network_ms: float
    pooling_ms: float | None


class Pipeline:
    """Runs frames one after the other; remembers tracks and, for a network with a memory, earlier features.

    :meth:`run` is :meth:`decode`, :meth:`infer` and :meth:`conclude`. Another thread may decode a frame while the one
    before is inferred and concluded.

    Args:
        bundle: weights and their configuration.
        options: what whoever runs it may choose.

    Raises:
        UserError: the backend or the device is not there, or they do not fit each other, or the planner is always to
            be told how the vehicle moves and has never been.
    """

    def __init__(self, bundle: Bundle, options: PipelineOptions | None = None) -> None:
        self._options = options or PipelineOptions()
        self._config = bundle.config
        self.weights: WeightsInfo = bundle.info
        self._backend: Backend = open_backend(
            bundle, self._options.backend, self._options.device, self._options.threads
        )
        tell = self._options.tells_ego_status(bundle.manifest.trained_with_ego_status, bundle.info.name)
        self._preprocessor = Preprocessor(self._config, tell)
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
        """The cameras that the frame decoded last had and that could not be used, with the reason."""
        return self._rejected

    @property
    def tracker_ms(self) -> float:
        """Wall time of the tracker in the frame that was concluded last, milliseconds."""
        return self._decoder.tracker_ms

    def reset(self) -> None:
        """Forgets tracks and earlier features: what comes next does not continue what came before.

        Called when the frame before is concluded and the next one not yet inferred.
        """
        self._decoder.reset()
        if self._memory is not None:
            self._memory.clear()

    def start_anew(self) -> None:
        """As if just made, weights loaded: another recording comes, and what is said of it depends on it alone."""
        self.reset()
        self._decoder.start_anew()

    def run(self, frame: Frame, *, spread: bool = True) -> Results:
        """The results of one frame. Frames come in the order of their stamps; call :meth:`reset` where they do not.

        Its images are decoded over several threads or, where it is not to ``spread``, on this one alone.

        A camera without an image, with a damaged image or with an impossible calibration counts as missing: nothing
        is lifted from it.

        Raises:
            UserError: no camera is usable.
        """
        return self.conclude(self.infer(self.decode(frame, spread=spread)))

    def decode_image(self, data: bytes) -> NDArray[np.uint8]:
        """The pixels of one image file as the network gets them, for :meth:`decode`; on any thread.

        Raises:
            UserError: the file is damaged.
        """
        return self._preprocessor.decode_image(data)

    def decode(
        self, frame: Frame, *, spread: bool = True, early: Mapping[str, NDArray[np.uint8]] | None = None
    ) -> DecodedFrame:
        """Decodes the images of a frame, over several threads or on the calling one alone.

        Args:
            frame: to decode.
            spread: over several threads.
            early: by camera, what :meth:`decode_image` has made of some of its images.

        Raises:
            UserError: no camera is usable.
        """
        decoded = self._preprocessor.decode(frame, spread=spread, early=early)
        self._rejected = decoded.rejected
        return decoded

    def help_decoding(self) -> None:
        """Joins another thread that is in :meth:`decode`; returns when no image is left to begin with."""
        self._preprocessor.help_decoding()

    def infer(self, decoded: DecodedFrame) -> InferredFrame:
        """Makes the network's inputs and runs it, and remembers its features where it has a memory."""
        frame, prepared = decoded.frame, self._preprocessor.complete(decoded)
        started = time.perf_counter()
        memory = self._memory.recall(frame.stamp_ns, frame.map_T_base) if self._memory is not None else None
        outputs = self._backend.infer(prepared.inputs, memory)
        if self._memory is not None:
            self._memory.remember(frame.stamp_ns, frame.map_T_base, outputs.stem_BCXY)
        network_ms = 1e3 * (time.perf_counter() - started)
        return InferredFrame(decoded, prepared, outputs, network_ms, self._backend.pooling_ms)

    def conclude(self, inferred: InferredFrame, *, map_segments: bool = True) -> Results:
        """Decodes the network's outputs and tracks; the total time spans whatever lay between the three steps.

        Args:
            inferred: the frame.
            map_segments: whether the map's lines and outlines are asked for; nothing else depends on them.
        """
        started = time.perf_counter()
        frame, prepared = inferred.decoded.frame, inferred.prepared
        decoded = self._decoder.decode(inferred.outputs, frame, map_segments=map_segments)
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
                network=inferred.network_ms,
                postprocess=1e3 * (done - started),
                total=1e3 * (done - inferred.decoded.started),
            ),
            weights=self.weights,
        )
