"""A frame to the network's inputs: images decoded and cut, calibrations to indices, goal and motion to conditions."""

from __future__ import annotations

import math
import time
from collections.abc import Collection, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from tinybev.errors import UserError
from tinybev.geometry import Array
from tinybev.model.config import StudentConfig
from tinybev.model.heads.planning import GOAL_DISTANCE_M, GOAL_SCALE_M, SPEED_SCALE_MPS, PlanConditions
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
class _Rig:
    """The cameras as the network has them: pinhole matrices (6, 3, 3), NaN for a masked one; mountings (6, 4, 4)."""

    intrinsics_N33: Array
    base_T_camera_N44: Array

    def without(self, cameras: Collection[str]) -> _Rig:
        """The same with ``cameras`` masked."""
        masked = np.isin(CAMERAS, list(cameras))
        return _Rig(np.where(masked[:, None, None], np.nan, self.intrinsics_N33), self.base_T_camera_N44)


@dataclass(frozen=True)
class DecodedFrame:
    """A frame whose images are decoded and cut.

    Attributes:
        frame: as it came.
        pixels: (h, w, 3) of the usable cameras, one at least, cut as the network gets them.
        rig: of the usable cameras.
        splat: the pooling's lists for it, which may still be in the making.
        rejected: see ``PreparedFrame``.
        started: when its decoding began, seconds of ``time.perf_counter``.
        decode_ms: wall time of it.
    """

    frame: Frame
    pixels: Mapping[str, NDArray[np.uint8]]
    rig: _Rig
    splat: Future[SplatIndices]
    rejected: Mapping[str, str]
    started: float
    decode_ms: float


@dataclass(frozen=True)
class PreparedFrame:
    """The network's inputs and what became of the cameras.

    Attributes:
        inputs: a batch of one, on the CPU.
        rejected: cameras whose image or calibration is unusable, with the reason; they are masked like missing ones.
        decode_ms: wall time of checking calibrations, and of checking, decoding and cutting the images.
        preprocess_ms: wall time of everything else, waiting for the rest of the pooling's lists included.
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
        """The images of one frame, and beside them, on a helper, the pooling's lists; depends on no other frame.

        Args:
            frame: to decode.
            early: what :meth:`decode_image` has made of some of its images.
            spread: over the calling thread and a helper; else the calling one and those that :meth:`help_decoding`.

        Raises:
            UserError: as :meth:`prepare`.
        """
        started = time.perf_counter()
        rig, rejected = self._rig(frame)
        splat = self._helper.submit(self._splat_indices, rig)
        usable = [camera for camera in CAMERAS if camera in frame.images and camera not in rejected]
        images = [(frame.images[camera], early.get(camera) if early else None) for camera in usable]
        call_help = partial(self._helper.submit, self.help_decoding) if spread else lambda: None
        decoded = dict(zip(usable, self._images.map(self._pixels_or_reason, images, call_help), strict=True))
        pixels = {camera: one for camera, one in decoded.items() if not isinstance(one, str)}
        damaged = {camera: reason for camera, reason in decoded.items() if isinstance(reason, str)}
        rejected = {**rejected, **damaged}
        if not pixels:
            reasons = "; ".join(f"{camera}: {reason}" for camera, reason in rejected.items()) or "no images came"
            raise UserError(f"expected the image of at least one camera, none is usable: {reasons}")
        if damaged:  # seldom: what does not fit its calibration was left out before
            rig = rig.without(damaged)
            splat = self._helper.submit(self._splat_indices, rig)
        return DecodedFrame(frame, pixels, rig, splat, rejected, started, 1e3 * (time.perf_counter() - started))

    def help_decoding(self) -> None:
        """Decodes, on the calling thread, what is left of a frame that another thread decodes at the time, if any."""
        self._images.join()

    def complete(self, decoded: DecodedFrame) -> PreparedFrame:
        """The inputs of a decoded frame."""
        started = time.perf_counter()
        inputs = self._inputs(decoded)
        return PreparedFrame(inputs, decoded.rejected, decoded.decode_ms, 1e3 * (time.perf_counter() - started))

    def _rig(self, frame: Frame) -> tuple[_Rig, dict[str, str]]:
        """The cameras of a frame whose calibration is one and fits their image, and why the others' does not."""
        intrinsics_N33 = np.full((len(CAMERAS), 3, 3), np.nan)
        base_T_camera_N44 = np.tile(np.eye(4), (len(CAMERAS), 1, 1))
        rejected: dict[str, str] = {}
        for n, camera in enumerate(CAMERAS):
            image = frame.images.get(camera)
            if image is None:
                continue
            try:
                check_calibration(camera, image.intrinsics, image.image_size, image.base_T_camera)
                _check_size(image)
            except UserError as error:
                rejected[camera] = str(error)
                continue
            crop = Crop.fit(image.image_size, self._config.image_size)
            intrinsics_N33[n] = crop.intrinsics(np.asarray(image.intrinsics, dtype=np.float64))
            base_T_camera_N44[n] = mounting_at_reference(image, frame.map_T_base)
        return _Rig(intrinsics_N33, base_T_camera_N44), rejected

    def _pixels_or_reason(self, work: tuple[CameraFrame, NDArray[np.uint8] | None]) -> NDArray[np.uint8] | str:
        """The camera's pixels, or why there are none; runs on any thread."""
        try:
            return self._pixels(*work)
        except UserError as error:
            return str(error)

    def _pixels(self, image: CameraFrame, early: NDArray[np.uint8] | None) -> NDArray[np.uint8]:
        if early is not None:
            return early
        if isinstance(image.image, bytes):
            return self.decode_image(image.image)
        return Crop.fit(image.image_size, self._config.image_size).apply(image.image)

    def _inputs(self, decoded: DecodedFrame) -> StudentInputs:
        frame, intrinsics_N33 = decoded.frame, torch.from_numpy(decoded.rig.intrinsics_N33)
        images_NHW3 = np.zeros((len(CAMERAS), *self._config.image_size, 3), dtype=np.uint8)
        for camera, pixels in decoded.pixels.items():
            images_NHW3[CAMERAS.index(camera)] = pixels
        return StudentInputs(
            images_BNHW3=torch.from_numpy(images_NHW3)[None],
            intrinsics_BN4=normalised_intrinsics(intrinsics_N33, self._config.image_size)[None],
            splat=decoded.splat.result(),
            conditions=plan_conditions(frame.goal, frame.ego if self._use_ego_status else None),
        )

    def _splat_indices(self, rig: _Rig) -> SplatIndices:
        """The pooling's lists; only the helper's thread, of which there is one, runs this."""
        key = rig.intrinsics_N33.tobytes() + rig.base_T_camera_N44.tobytes()
        if self._geometry is None or self._geometry[0] != key:
            lists = splat_indices(self._config, rig.intrinsics_N33[None], rig.base_T_camera_N44[None])
            self._geometry = key, lists
        return self._geometry[1]


def _check_size(image: CameraFrame) -> None:
    """Refuses an image that is not as large as its calibration says; of a file only the header is read."""
    size = image_file_size(image.image) if isinstance(image.image, bytes) else image.image.shape[:2]
    if tuple(size) != tuple(image.image_size):
        raise UserError(
            "expected the image to have the size of its calibration, "
            f"{image.image_size[1]} x {image.image_size[0]}, got {size[1]} x {size[0]}"
        )


def plan_conditions(goal: Goal, ego: EgoStatus | None) -> PlanConditions:
    """What the planner is told, as a batch of one.

    A goal gives a direction and no stop. One that lies beyond ``GOAL_DISTANCE_M`` is told as the point at that distance
    in its direction, since training shows none farther away: a standing vehicle would plan to race there.
    """
    command = [float(goal.command == one) for one in Command]
    point = [0.0, 0.0, 0.0]
    if goal.point is not None:
        nearer = GOAL_DISTANCE_M / max(math.hypot(*goal.point), GOAL_DISTANCE_M)
        point = [*(nearer * along / GOAL_SCALE_M for along in goal.point), 1.0]
    status = [0.0, 0.0, 0.0, 0.0]
    if ego is not None:
        status = [ego.speed_mps / SPEED_SCALE_MPS, ego.yaw_rate_rps, ego.acceleration_mps2, 1.0]
    return PlanConditions(*(torch.tensor([row], dtype=torch.float32) for row in (command, point, status)))
