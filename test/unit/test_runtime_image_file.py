"""Image files: whole ones are read, damaged ones are refused with a reason and never become grey pixels."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from pictures import jpeg, picture

from tinybev.errors import UserError
from tinybev.runtime.image_file import decode_image_file, image_file_size

PIXELS = picture((90, 160))
JPEG = jpeg(PIXELS)
PNG = cv2.imencode(".png", cv2.cvtColor(PIXELS, cv2.COLOR_RGB2BGR))[1].tobytes()


@pytest.mark.parametrize("file", [JPEG, PNG], ids=["jpeg", "png"])
def test_size_and_colours_are_read(file: bytes) -> None:
    assert image_file_size(file) == (90, 160)
    decoded = decode_image_file(file, target_width=160)
    assert decoded.dtype == np.uint8
    assert np.abs(decoded.astype(int) - PIXELS).mean() < 3  # red and blue exchanged would be far off


@pytest.mark.parametrize(("target_width", "share"), [(160, 1), (81, 1), (80, 2), (41, 2), (40, 4), (10, 4)])
def test_a_file_is_decoded_no_larger_than_it_is_needed_and_nothing_shifts(target_width: int, share: int) -> None:
    pixels = picture((96, 160))
    decoded = decode_image_file(jpeg(pixels), target_width)
    assert decoded.shape == (96 // share, 160 // share, 3)
    means = pixels.reshape(96 // share, share, 160 // share, share, 3).mean(axis=(1, 3))
    assert np.abs(decoded - means).mean() < 3
    if share > 1:
        assert np.abs(np.roll(decoded, 1, axis=1) - means).mean() > np.abs(decoded - means).mean()


@pytest.mark.parametrize(("size", "share"), [((96, 162), 2), ((90, 160), 2), ((96, 161), 1), ((93, 160), 1)])
def test_a_size_that_does_not_divide_the_sides_is_not_taken(size: tuple[int, int], share: int) -> None:
    decoded = decode_image_file(jpeg(picture(size)), target_width=40)
    assert decoded.shape == (size[0] // share, size[1] // share, 3)


def test_no_pixel_of_a_png_is_skipped() -> None:
    stripes = np.zeros((96, 160, 3), dtype=np.uint8)
    stripes[:, ::4] = 200
    file = cv2.imencode(".png", stripes)[1].tobytes()
    np.testing.assert_array_equal(decode_image_file(file, target_width=40), stripes)


def test_a_progressive_jpeg_is_read() -> None:
    file = cv2.imencode(".jpg", PIXELS, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1].tobytes()
    assert decode_image_file(file, target_width=160).shape == (90, 160, 3)


def test_zeros_after_the_end_are_a_drivers_padding() -> None:
    assert decode_image_file(JPEG + bytes(512), target_width=160).shape == (90, 160, 3)


@pytest.mark.parametrize("file", [JPEG, PNG], ids=["jpeg", "png"])
@pytest.mark.parametrize("kept", [0.05, 0.3, 0.6, 0.95, 0.999])
def test_a_file_that_is_cut_off_is_refused(file: bytes, kept: float) -> None:
    with pytest.raises(UserError, match="cut off"):
        decode_image_file(file[: int(kept * len(file))], target_width=160)


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (b"", "expected a JPEG or PNG file, got 0 bytes"),
        (b"GIF89a" + bytes(100), "expected a JPEG or PNG file, got 106 bytes that start with '47 49 46 38'"),
        (b"\xff\xd8\xff\xd9", "header without a size"),
        (b"\xff\xd8" + bytes(500) + b"\xff\xd9", "header without a size"),
        (JPEG[:200] + JPEG[-2:], "."),
        (PNG[:33] + bytes(40) + PNG[-12:], "."),
    ],
)
def test_what_is_no_image_is_refused(data: bytes, complaint: str) -> None:
    with pytest.raises(UserError, match=complaint):
        decode_image_file(data, target_width=160)


def test_no_damage_escapes_as_anything_but_a_sentence() -> None:
    random = np.random.default_rng(0)
    for _ in range(200):
        damaged = bytearray(JPEG)
        for position in random.integers(0, len(damaged), 8):
            damaged[position] = random.integers(0, 256)
        try:
            decoded = decode_image_file(bytes(damaged), target_width=160)
        except UserError:
            continue
        assert decoded.ndim == 3
