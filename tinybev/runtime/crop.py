"""From a camera's image to the network's: scaling and cutting, and the calibration that belongs to what is left."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from tinybev.geometry import Array

ABOVE_MIDDLE = 0.2
"""At least this share of the kept rows lies above the image's middle, where a level camera has the horizon: a little
less than nuScenes' images have there when only sky is cut off."""


@dataclass(frozen=True)
class Crop:
    """Scale to ``resized``, then keep ``target`` from ``corner`` on.

    Attributes:
        scale: (along x, along y), network's pixels per full-size pixel.
        resized: (height, width) after scaling.
        corner: (left, top) of what is kept.
        target: (height, width) of what is kept.
    """

    scale: tuple[float, float]
    resized: tuple[int, int]
    corner: tuple[int, int]
    target: tuple[int, int]

    @classmethod
    def fit(cls, image_size: tuple[int, int], target: tuple[int, int]) -> Crop:
        """The smallest scaling that covers ``target``; what is too much is cut off the sky and off both sides evenly.

        Where the image is so high that this would cut off the horizon too, as of 4:3 and squarer ones, the ground next
        to the vehicle goes instead.

        Args:
            image_size: (height, width) of the full image.
            target: (height, width) of the network's.
        """
        (height, width), (target_height, target_width) = image_size, target
        scale = max(target_height / height, target_width / width)
        resized = max(target_height, round(height * scale)), max(target_width, round(width * scale))
        # The image's middle, not the row of the optical axis: images are cut before their calibration is known.
        top = min(resized[0] - target_height, round(resized[0] / 2 - ABOVE_MIDDLE * target_height))
        return cls(
            scale=(resized[1] / width, resized[0] / height),
            resized=resized,
            corner=((resized[1] - target_width) // 2, top),
            target=target,
        )

    def intrinsics(self, full: Array) -> Array:
        """The pinhole matrix (3, 3) of the kept image; pixel (0, 0) is the centre of the first pixel."""
        (scale_x, scale_y), (left, top) = self.scale, self.corner
        # It is the images' edges that scale; the first pixel's centre is half a pixel inside of them.
        change = np.array(
            [[scale_x, 0.0, (scale_x - 1) / 2 - left], [0.0, scale_y, (scale_y - 1) / 2 - top], [0.0, 0.0, 1.0]]
        )
        return change @ full

    def apply(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The kept pixels (h, w, 3) of an image (H, W, 3) of the full size, or decoded at a part of it."""
        height, width = self.resized
        if image.shape[:2] != self.resized:
            # Below half the size, linear interpolation would skip pixels.
            shrinks = 2 * width < image.shape[1]
            interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
            image = np.asarray(cv2.resize(image, (width, height), interpolation=interpolation), dtype=np.uint8)
        left, top = self.corner
        return image[top : top + self.target[0], left : left + self.target[1]]
