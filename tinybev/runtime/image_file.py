"""Image files to pixels: only files that are whole, and no larger than they are needed."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from tinybev.errors import UserError

_JPEG_START, _JPEG_END = b"\xff\xd8", b"\xff\xd9"
_PNG_START, _PNG_END = b"\x89PNG\r\n\x1a\n", b"IEND\xae\x42\x60\x82"
_PADDING = b"\x00"
"""Some drivers pad their buffers with it after the end of the file."""
_REDUCED = ((4, cv2.IMREAD_REDUCED_COLOR_4), (2, cv2.IMREAD_REDUCED_COLOR_2))


def image_file_size(data: bytes) -> tuple[int, int]:
    """(height, width) of a JPEG or PNG file, from its header.

    Raises:
        UserError: it is neither, or it is cut off. A decoder would fill the rest of a cut-off JPEG with grey.
    """
    if data.startswith(_JPEG_START):
        end, size = _JPEG_END, _jpeg_size(data)
    elif data.startswith(_PNG_START):
        end, size = _PNG_END, (int.from_bytes(data[20:24], "big"), int.from_bytes(data[16:20], "big"))
    else:
        raise UserError(f"expected a JPEG or PNG file, got {len(data)} bytes that start with {data[:4].hex(' ')!r}")
    if not data.rstrip(_PADDING).endswith(end):
        raise UserError(f"expected a whole image file, got {len(data)} bytes without the end marker: it is cut off")
    if min(size) <= 0:
        raise UserError("expected an image with pixels, got a header without a size")
    return size


def decode_image_file(data: bytes, target_width: int) -> NDArray[np.uint8]:
    """The pixels, RGB (H, W, 3); of a JPEG at a quarter or half of its size where that has ``target_width`` columns.

    A reduced size costs a JPEG decoder a fraction of the work, and each of its pixels is about the mean of 2 x 2 or
    4 x 4. Only sizes that divide both sides are taken: of others the last pixels would stand for fewer columns or rows,
    and everything would shift. A PNG is decoded in full in any case; OpenCV would then skip pixels to make it smaller.

    Raises:
        UserError: the file is damaged.
    """
    height, width = image_file_size(data)
    reduced = (
        flags
        for share, flags in _REDUCED
        if data.startswith(_JPEG_START) and width >= share * target_width and height % share == width % share == 0
    )
    flags = next(reduced, cv2.IMREAD_COLOR)
    try:
        bgr = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), flags | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error as error:
        raise UserError(f"expected a whole image file, the decoder refused it: {error.err}") from error
    if bgr is None:
        raise UserError(f"expected a whole image file, got {len(data)} bytes that cannot be decoded")
    return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB, dst=bgr), dtype=np.uint8)


def _jpeg_size(data: bytes) -> tuple[int, int]:
    """(height, width) from the frame header, (0, 0) where there is none."""
    position = 2
    while position + 9 <= len(data):
        if data[position] != 0xFF:
            break
        marker, length = data[position + 1], int.from_bytes(data[position + 2 : position + 4], "big")
        if marker == 0xFF:  # a fill byte
            position += 1
            continue
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height_width = data[position + 5 : position + 9]
            return int.from_bytes(height_width[:2], "big"), int.from_bytes(height_width[2:], "big")
        position += 2 + length
    return 0, 0
