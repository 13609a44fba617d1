"""What grows with cameras, image size, grid and agents: the work of one frame at one size."""

from __future__ import annotations

import dataclasses
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count

import numpy as np
import torch

from tinybev.bench.interleaved import Work
from tinybev.bench.made_frame import made_ring
from tinybev.bench.made_outputs import outputs_with_agents
from tinybev.bench.sizes import seeded_bundle
from tinybev.errors import UserError
from tinybev.geometry import Array
from tinybev.model.config import StudentConfig
from tinybev.model.lift_geometry import splat_indices
from tinybev.model.lift_splat import normalised_intrinsics
from tinybev.model.student import StudentInputs
from tinybev.runtime.backends.choice import open_backend
from tinybev.runtime.bundle import Bundle
from tinybev.runtime.crop import Crop
from tinybev.runtime.image_file import decode_image_file
from tinybev.runtime.options import PipelineOptions
from tinybev.runtime.output_decoder import OutputDecoder
from tinybev.runtime.preprocess import DECODER_THREADS, plan_conditions
from tinybev.types import CAMERAS, CameraFrame, Frame, Goal

ANY_NUMBER_OF_CAMERAS = ("torch", "torch-bf16")
"""The backends that run the student as it is; the exported ones have six cameras."""
FRAME_NS = 500_000_000


@dataclass(frozen=True)
class Look:
    """JPEG files of so many cameras to the network's raw outputs."""

    config: StudentConfig
    cameras: int
    backend: str
    device: str
    threads: int

    def __call__(self) -> Work:
        if self.cameras != len(CAMERAS) and self.backend not in ANY_NUMBER_OF_CAMERAS:
            raise UserError(
                f"cameras={self.cameras}: expected a backend of {', '.join(ANY_NUMBER_OF_CAMERAS)}, got "
                f"{self.backend!r}; exported networks have {len(CAMERAS)} cameras."
            )
        torch.set_num_threads(self.threads)
        backend = open_backend(seeded_bundle(self.config), self.backend, self.device, self.threads)
        eyes = Eyes(self.config, self.cameras)
        return lambda: backend.infer(eyes.inputs(), None)


class Eyes:
    """A ring of cameras whose images are decoded anew for every frame.

    The runtime's preprocessing has the six places of ``CAMERAS``; this has any number.
    """

    def __init__(self, config: StudentConfig, cameras: int) -> None:
        self._config = config
        self._views = list(made_ring([f"CAM_{n}" for n in range(cameras)]).values())
        self._crops = [Crop.fit(view.image_size, config.image_size) for view in self._views]
        self._pool = ThreadPoolExecutor(DECODER_THREADS)
        intrinsics_N33: Array = np.stack(
            [crop.intrinsics(view.intrinsics) for crop, view in zip(self._crops, self._views, strict=True)]
        )
        base_T_camera_N44 = np.stack([view.base_T_camera for view in self._views])
        self._intrinsics_BN4 = normalised_intrinsics(torch.from_numpy(intrinsics_N33), config.image_size)[None]
        self._splat = splat_indices(config, intrinsics_N33[None], base_T_camera_N44[None])

    def inputs(self) -> StudentInputs:
        """Of one frame."""
        images_NHW3 = np.stack(list(self._pool.map(_pixels, self._views, self._crops)))
        return StudentInputs(
            images_BNHW3=torch.from_numpy(images_NHW3)[None],
            intrinsics_BN4=self._intrinsics_BN4,
            splat=self._splat,
            conditions=plan_conditions(Goal(), None),
        )


def _pixels(view: CameraFrame, crop: Crop) -> np.ndarray:
    assert isinstance(view.image, bytes)
    return crop.apply(decode_image_file(view.image, target_width=crop.resized[1]))


@dataclass(frozen=True)
class Conclude:
    """Raw outputs with so many objects to boxes, tracks, futures, occupancy and plan."""

    config: StudentConfig
    agents: int
    threads: int

    def __call__(self) -> Work:
        torch.set_num_threads(self.threads)
        config = with_agents(self.config, self.agents)
        outputs = outputs_with_agents(config, self.agents)
        decoder = OutputDecoder(config, PipelineOptions(max_objects=config.max_agents))
        frames = (Frame(stamp_ns=number * FRAME_NS, images={}) for number in count())
        return lambda: decoder.decode(outputs, next(frames))


def with_agents(config: StudentConfig, agents: int) -> StudentConfig:
    """The same network, which finds at least so many objects."""
    return dataclasses.replace(config, max_agents=max(config.max_agents, agents))


def check_without_memory(bundle: Bundle) -> None:
    """Refuses networks that need earlier frames.

    Raises:
        UserError: the network has a memory.
    """
    if bundle.config.memory_frames:
        raise UserError("bench scale: expected a network without memory; it would time frames without a past.")
