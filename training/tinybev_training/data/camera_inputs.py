"""A frame's images -> what the network sees: augmented, of one size, with the calibration that belongs to them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tinybev.geometry import Array
from tinybev.runtime.calibration import mounting_at_reference
from tinybev.runtime.crop import Crop
from tinybev.types import CAMERAS, CameraFrame, Frame
from tinybev_training.data.image_augmentation import (
    ImageAugmentation,
    ImageAugmentationRange,
    drop_cameras,
)
from tinybev_training.data.images import Image, Size, decode_image


@dataclass(frozen=True)
class CameraInputs:
    """Six cameras in the order of ``CAMERAS``.

    Attributes:
        images_NHWC: uint8 RGB, black where the camera is missing.
        mask_N: whether the camera is there.
        intrinsics_N33: of these images, float64, NaN where the camera is missing, as the model takes it.
        base_T_camera_N44: from the camera at its own stamp to base_link at the frame's, float64, the identity where the
            camera is missing.
    """

    images_NHWC: NDArray[np.uint8]
    mask_N: NDArray[np.bool_]
    intrinsics_N33: Array
    base_T_camera_N44: Array


def no_cameras(count: int, size: Size) -> CameraInputs:
    """``count`` cameras of images of ``size`` (height, width), all of them missing."""
    return CameraInputs(
        images_NHWC=np.zeros((count, *size, 3), dtype=np.uint8),
        mask_N=np.zeros(count, dtype=np.bool_),
        intrinsics_N33=np.full((count, 3, 3), np.nan),
        base_T_camera_N44=np.tile(np.eye(4), (count, 1, 1)),
    )


def camera_inputs(
    frame: Frame,
    size: Size,
    augmentation: ImageAugmentationRange | None = None,
    rng: np.random.Generator | None = None,
) -> CameraInputs:
    """The images of ``frame`` at ``size`` (height, width).

    Args:
        frame: the images, as files' bytes or pixels.
        size: of the network's input.
        augmentation: what to vary, None for nothing.
        rng: where to draw it from; goes with ``augmentation``.

    Raises:
        UserError: an image cannot be decoded, or has another size than its calibration.
    """
    missing = no_cameras(len(CAMERAS), size)
    images, mask = missing.images_NHWC, missing.mask_N
    intrinsics, mountings = missing.intrinsics_N33, missing.base_T_camera_N44
    present = [camera for camera in CAMERAS if camera in frame.images]
    dropped = [False] * len(present)
    if augmentation is not None and rng is not None:
        dropped = drop_cameras(len(present), augmentation.dropout_probability, rng)
    for camera, drop in zip(present, dropped, strict=True):
        n, view = CAMERAS.index(camera), frame.images[camera]
        if augmentation is not None and rng is not None:
            change = augmentation.draw(view.image_size, size, rng)  # drawn for a lost camera too: its fellows' stay
        else:
            change = ImageAugmentation(Crop.fit(view.image_size, size))
        if drop:
            continue
        mask[n] = True
        images[n] = change.apply(_pixels(view, change))
        intrinsics[n] = change.matrix @ view.intrinsics
        mountings[n] = mounting_at_reference(view, frame.map_T_base)
    return CameraInputs(images, mask, intrinsics, mountings)


def _pixels(camera: CameraFrame, change: ImageAugmentation) -> Image:
    if isinstance(camera.image, bytes):
        name = f"the image of {camera.camera} at {camera.stamp_ns} ns"
        return decode_image(camera.image, camera.image_size, change.crop.resized[1], name)
    return camera.image
