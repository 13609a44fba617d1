"""A frame to the network's inputs: images decoded and cut, calibrations to indices, goal and motion to conditions."""

from __future__ import annotations

import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from tinybev.errors import UserError
from tinybev.geometry import Array
from tinybev.model.config import StudentConfig
from tinybev.model.heads.planning import GOAL_SCALE_M, SPEED_SCALE_MPS, PlanConditions
from tinybev.model.lift_geometry import SplatIndices, splat_indices
from tinybev.model.lift_splat import normalised_intrinsics
from tinybev.model.student import StudentInputs
from tinybev.runtime.calibration import check_calibration, mounting_at_reference
from tinybev.runtime.crop import Crop
from tinybev.runtime.image_file import decode_image_file, image_file_size
from tinybev.shared_work import SharedWork
from tinybev.types import CAMERAS, CameraFrame, Command, EgoStatus, Frame, Goal

DECODER_THREADS = 2
"""That decode a frame which is waited for: the calling one and a helper."""


@dataclass(frozen=True)
class _View:
    """One camera as the network gets it: pixels (h, w, 3) and pinhole matrix (3, 3)."""

    pixels: NDArray[np.uint8]
    intrinsics: Array


@dataclass(frozen=True)
class DecodedFrame:
    """A frame whose images are decoded and cut.

    Attributes:
        frame: as it came.
        views: the usable cameras, one at least.
        rejected: see ``PreparedFrame``.
        started: when its decoding began, seconds of ``time.perf_counter``.
        decode_ms: wall time of it.
    """

    frame: Frame
    views: Mapping[str, _View]
    rejected: Mapping[str, str]
    started: float
    decode_ms: float


@dataclass(frozen=True)
class PreparedFrame:
    """The network's inputs and what became of the cameras.

    Attributes:
        inputs: a batch of one, on the CPU.
        rejected: cameras whose image or calibration is unusable, with the reason; they are masked like missing ones.
        decode_ms: wall time of checking, decoding and cutting the images.
        preprocess_ms: wall time of everything else.
    """

    inputs: StudentInputs
    rejected: Mapping[str, str]
    decode_ms: float
    preprocess_ms: float


class Preprocessor:
    """Prepares frames; remembers the last geometry, which stays the same while the vehicle stands.

    One thread may decode a frame while another one completes the frame before. The threads here call no operator of
    PyTorch, whose pool belongs to the thread that calls it: a second pool would compete with the network's for the
    cores.
    """

    def __init__(self, config: StudentConfig, use_ego_status: bool) -> None:
        """
        Args:
            config: of the network.
            use_ego_status: whether the planner is told how the ego moves.
        """
        self._config = config
        self._use_ego_status = use_ego_status
        # Of the whole process: its own pool would compete with the thread below and with the network's.
        cv2.setNumThreads(1)
        self._helper = ThreadPoolExecutor(DECODER_THREADS - 1, thread_name_prefix="tinybev-decode")
        self._images = SharedWork()
        self._geometry: tuple[bytes, SplatIndices] | None = None

    def prepare(self, frame: Frame) -> PreparedFrame:
        """The inputs of one frame: :meth:`decode` and :meth:`complete`.

        Raises:
            UserError: no camera is left; it says why for each.
        """
        return self.complete(self.decode(frame))

    def decode_image(self, data: bytes) -> NDArray[np.uint8]:
        """The pixels (h, w, 3) of one image file, cut as the network gets them, for :meth:`decode`; on any thread.

        Raises:
            UserError: the file is damaged.
        """
        crop = Crop.fit(image_file_size(data), self._config.image_size)
        return crop.apply(decode_image_file(data, target_width=crop.resized[1]))

    def decode(
        self, frame: Frame, *, spread: bool = True, early: Mapping[str, NDArray[np.uint8]] | None = None
    ) -> DecodedFrame:
        """The images of one frame; depends on no other frame.

        Args:
            frame: to decode.
            early: what :meth:`decode_image` has made of some of its images.
            spread: over the calling thread and a helper; else the calling one and those that :meth:`help_decoding`.

        Raises:
            UserError: as :meth:`prepare`.
        """
        started = time.perf_counter()
        present = [camera for camera in CAMERAS if camera in frame.images]
        images = [(frame.images[camera], early.get(camera) if early else None) for camera in present]
        call_help = partial(self._helper.submit, self.help_decoding) if spread else lambda: None
        decoded = self._images.map(self._view_or_reason, images, call_help)
        by_camera = dict(zip(present, decoded, strict=True))
        views = {camera: view for camera, view in by_camera.items() if isinstance(view, _View)}
        rejected = {camera: reason for camera, reason in by_camera.items() if isinstance(reason, str)}
        if not views:
            reasons = "; ".join(f"{camera}: {reason}" for camera, reason in rejected.items()) or "no images came"
            raise UserError(f"expected the image of at least one camera, none is usable: {reasons}")
        return DecodedFrame(frame, views, rejected, started, 1e3 * (time.perf_counter() - started))

    def help_decoding(self) -> None:
        """Decodes, on the calling thread, what is left of a frame that another thread decodes at the time, if any."""
        self._images.join()

    def complete(self, decoded: DecodedFrame) -> PreparedFrame:
        """The inputs of a decoded frame."""
        started = time.perf_counter()
        inputs = self._inputs(decoded.frame, decoded.views)
        return PreparedFrame(inputs, decoded.rejected, decoded.decode_ms, 1e3 * (time.perf_counter() - started))

    def _view_or_reason(self, image_and_early: tuple[CameraFrame, NDArray[np.uint8] | None]) -> _View | str:
        """The camera's view, or why there is none; runs on any thread."""
        try:
            return self._view(*image_and_early)
        except UserError as error:
            return str(error)

    def _view(self, image: CameraFrame, early: NDArray[np.uint8] | None) -> _View:
        check_calibration(image.camera, image.intrinsics, image.image_size, image.base_T_camera)
        size = image_file_size(image.image) if isinstance(image.image, bytes) else image.image.shape[:2]
        if tuple(size) != tuple(image.image_size):
            raise UserError(
                "expected the image to have the size of its calibration, "
                f"{image.image_size[1]} x {image.image_size[0]}, got {size[1]} x {size[0]}"
            )
        crop = Crop.fit(image.image_size, self._config.image_size)
        if early is not None:
            pixels = early
        else:
            pixels = self.decode_image(image.image) if isinstance(image.image, bytes) else crop.apply(image.image)
        return _View(pixels, crop.intrinsics(np.asarray(image.intrinsics, dtype=np.float64)))

    def _inputs(self, frame: Frame, views: Mapping[str, _View]) -> StudentInputs:
        height, width = self._config.image_size
        images_NHW3 = np.zeros((len(CAMERAS), height, width, 3), dtype=np.uint8)
        intrinsics_N33 = np.full((len(CAMERAS), 3, 3), np.nan)
        base_T_camera_N44 = np.tile(np.eye(4), (len(CAMERAS), 1, 1))
        for camera, view in views.items():
            n = CAMERAS.index(camera)
            images_NHW3[n], intrinsics_N33[n] = view.pixels, view.intrinsics
            base_T_camera_N44[n] = mounting_at_reference(frame.images[camera], frame.map_T_base)
        # Beside the images, on a thread that is idle by now: both take about as long.
        splat = self._helper.submit(self._splat_indices, intrinsics_N33, base_T_camera_N44)
        return StudentInputs(
            images_BNHW3=torch.from_numpy(images_NHW3)[None],
            intrinsics_BN4=normalised_intrinsics(torch.from_numpy(intrinsics_N33), self._config.image_size)[None],
            splat=splat.result(),
            conditions=plan_conditions(frame.goal, frame.ego if self._use_ego_status else None),
        )

    def _splat_indices(self, intrinsics_N33: Array, base_T_camera_N44: Array) -> SplatIndices:
        key = intrinsics_N33.tobytes() + base_T_camera_N44.tobytes()
        if self._geometry is None or self._geometry[0] != key:
            self._geometry = key, splat_indices(self._config, intrinsics_N33[None], base_T_camera_N44[None])
        return self._geometry[1]


def plan_conditions(goal: Goal, ego: EgoStatus | None) -> PlanConditions:
    """What the planner is told, as a batch of one."""
    command = [float(goal.command == one) for one in Command]
    point = [0.0, 0.0, 0.0] if goal.point is None else [goal.point[0] / GOAL_SCALE_M, goal.point[1] / GOAL_SCALE_M, 1.0]
    status = [0.0, 0.0, 0.0, 0.0]
    if ego is not None:
        status = [ego.speed_mps / SPEED_SCALE_MPS, ego.yaw_rate_rps, ego.acceleration_mps2, 1.0]
    return PlanConditions(*(torch.tensor([row], dtype=torch.float32) for row in (command, point, status)))
