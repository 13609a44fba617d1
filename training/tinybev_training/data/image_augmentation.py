"""Resizing, cropping, mirroring, turning and recolouring images, as in the LSS and BEVDet family, geometry exact.

The image changes by one affine map of its pixels, and the intrinsics are multiplied by the same matrix, so a camera
point projects to the pixel that shows it. Mirrored or turned intrinsics are a general 3x3 matrix (negative focal
length, skew): invert them as such.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import cv2
import numpy as np

from tinybev.geometry import Array
from tinybev.runtime.crop import Crop
from tinybev_training.data.images import Image, Size


@dataclass(frozen=True)
class Recolouring:
    """Factors of brightness, contrast (about the image's mean) and saturation (1 leaves as is)."""

    brightness: float = 1.0
    contrast: float = 1.0
    saturation: float = 1.0


@dataclass(frozen=True)
class ImageAugmentation:
    """What is done to one image, in this order.

    Attributes:
        crop: the image is scaled, and a window of it kept; unlike on the vehicle the window may reach past the image,
            where it is black.
        flip: whether the window is mirrored left to right.
        rotation: by which the window is turned about its middle, radians, clockwise as seen.
        colours: what happens to the colours.
    """

    crop: Crop
    flip: bool = False
    rotation: float = 0.0
    colours: Recolouring = Recolouring()

    @property
    def matrix(self) -> Array:
        """(3, 3): takes pixels (u, v, 1) of the full-size image to those of the augmented one."""
        return np.asarray(self._in_window() @ self.crop.intrinsics(np.eye(3)))

    def _in_window(self) -> Array:
        middle_u, middle_v = (self.crop.target[1] - 1) / 2, (self.crop.target[0] - 1) / 2
        to_middle = np.array([[1.0, 0.0, -middle_u], [0.0, 1.0, -middle_v], [0.0, 0.0, 1.0]])
        from_middle = np.array([[1.0, 0.0, middle_u], [0.0, 1.0, middle_v], [0.0, 0.0, 1.0]])
        cos, sin = math.cos(self.rotation), math.sin(self.rotation)
        turning = np.array([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]])
        flipping = np.diag([-1.0 if self.flip else 1.0, 1.0, 1.0])
        return from_middle @ turning @ flipping @ to_middle

    def apply(self, image: Image) -> Image:
        """The augmented image of ``image`` (H, W, 3), which is of full size or any smaller."""
        window = _window(image, self.crop)
        if self.rotation != 0.0:
            turned = cv2.warpAffine(window, self._in_window()[:2], self.crop.target[::-1], flags=cv2.INTER_LINEAR)
            window = np.asarray(turned, dtype=np.uint8)
        elif self.flip:
            window = window[:, ::-1]
        return _recoloured(window, self.colours)


@dataclass(frozen=True)
class ImageAugmentationRange:
    """What to draw from; turn and mirroring are BEVDet's, whose sizes go further (0.86 to 1.25).

    Attributes:
        scale: smallest and largest size, against the one at which the image just covers the window.
        rotation: largest turn to either side, radians.
        flip_probability: how often the image is mirrored.
        colours: largest deviation of each colour factor from 1.
        dropout_probability: how often a camera is lost; at least one is always kept.
    """

    scale: tuple[float, float] = (0.94, 1.11)
    rotation: float = math.radians(5.4)
    flip_probability: float = 0.5
    colours: Recolouring = Recolouring(0.2, 0.2, 0.2)
    dropout_probability: float = 0.05

    def draw(self, image_size: Size, size: Size, rng: np.random.Generator) -> ImageAugmentation:
        """One augmentation of an image of ``image_size`` into ``size``; always takes seven numbers from ``rng``.

        The window ends at the image's row at which the vehicle's does, the lowest but in high images, and lies anywhere
        across the width.
        """
        scale, across, flip, turn, *colours = rng.random(7)
        low, high = self.scale
        crop = _zoomed(Crop.fit(image_size, size), image_size, low + (high - low) * scale)
        left = round(across * (crop.resized[1] - size[1]))
        factors = 1 + (2 * np.array(colours) - 1) * np.array(
            [self.colours.brightness, self.colours.contrast, self.colours.saturation]
        )
        return ImageAugmentation(
            crop=replace(crop, corner=(left, crop.corner[1])),
            flip=bool(flip < self.flip_probability),
            rotation=float((2 * turn - 1) * self.rotation),
            colours=Recolouring(*map(float, factors)),
        )


def drop_cameras(count: int, probability: float, rng: np.random.Generator) -> list[bool]:
    """Which of ``count`` cameras are lost; one always stays. Always takes ``count`` + 1 numbers from ``rng``."""
    *chances, kept = rng.random(count + 1)
    dropped = [bool(chance < probability) for chance in chances]
    if count and all(dropped):
        dropped[int(kept * count)] = False
    return dropped


def _zoomed(crop: Crop, image_size: Size, factor: float) -> Crop:
    """``crop`` with the image ``factor`` times as large, the window's lower edge at the same row of the image."""
    height, width = (max(1, round(side * factor)) for side in crop.resized)
    scale = width / image_size[1], height / image_size[0]
    lower_edge = round((crop.corner[1] + crop.target[0]) * factor)
    return Crop(scale, (height, width), (crop.corner[0], lower_edge - crop.target[0]), crop.target)


def _window(image: Image, crop: Crop) -> Image:
    """The window of ``image``, black where it reaches past it."""
    (left, top), (height, width) = crop.corner, crop.target
    whole = replace(crop, corner=(0, 0), target=crop.resized).apply(image)
    window = np.zeros((height, width, 3), dtype=np.uint8)
    rows = slice(max(top, 0), min(top + height, crop.resized[0]))
    columns = slice(max(left, 0), min(left + width, crop.resized[1]))
    if rows.start < rows.stop and columns.start < columns.stop:
        window[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left] = whole[rows, columns]
    return window


def _recoloured(image: Image, colours: Recolouring) -> Image:
    if colours == Recolouring():
        return image
    # One linear map of the channels: saturation mixes each with the grey, contrast and brightness scale and shift.
    grey = np.tile([0.299, 0.587, 0.114], (3, 1))
    mixing = colours.saturation * np.eye(3) + (1 - colours.saturation) * grey
    gain = colours.brightness * colours.contrast
    shift = colours.brightness * (1 - colours.contrast) * float(np.mean(cv2.mean(image)[:3]))
    channels = np.column_stack([gain * mixing, np.full(3, shift)])
    return np.asarray(cv2.transform(np.ascontiguousarray(image), channels), dtype=np.uint8)
