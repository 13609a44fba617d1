"""Image files -> pixels, by the same decoding and scaling as on the vehicle."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tinybev.errors import UserError
from tinybev.runtime.crop import Crop
from tinybev.runtime.image_file import decode_image_file, image_file_size

Image = NDArray[np.uint8]
"""(H, W, 3) RGB."""

Size = tuple[int, int]
"""(height, width), pixels."""


def decode_image(encoded: bytes, size: Size, target_width: int, name: str) -> Image:
    """The pixels of a JPEG or PNG file; of a JPEG reduced where ``target_width`` columns remain, as on the vehicle.

    Args:
        encoded: the file.
        size: what the image must have, that of its calibration.
        target_width: of the image that the caller will make of it.
        name: of the image, for the error.

    Raises:
        UserError: the file is damaged, or the image has another size.
    """
    try:
        found = image_file_size(encoded)
        if found != size:
            raise UserError(
                f"expected {size[1]} x {size[0]} pixels as its calibration says, got {found[1]} x {found[0]}"
            )
        return decode_image_file(encoded, target_width)
    except UserError as error:
        raise UserError(f"{name}: {error}; repeat its download, or remove the file to go without.") from error


def scaling(before: Size, after: Size) -> Crop:
    """From an image of one size to the whole of it at another."""
    return Crop((after[1] / before[1], after[0] / before[0]), resized=after, corner=(0, 0), target=after)
