"""Pictures on disk: they can be read back, and are whole or absent."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from tinybev.draw.picture_files import VideoWriter, write_jpeg, write_png
from tinybev.errors import UserError


def _picture(shade: int) -> np.ndarray:
    """Blue above, red below, with a shade of green."""
    image = np.zeros((64, 96, 3), dtype=np.uint8)
    image[:32, :, 0] = image[32:, :, 2] = 200
    image[..., 1] = shade
    return image


def test_a_png_reads_back_as_it_was(tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    write_png(tmp_path / "a.png", image)
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / "a.png")), image)
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def test_a_jpeg_reads_back_nearly_as_it_was_and_is_one(tmp_path: Path) -> None:
    write_jpeg(tmp_path / "a.jpg", _picture(80))
    assert (tmp_path / "a.jpg").read_bytes()[:3] == bytes([0xFF, 0xD8, 0xFF])
    assert np.abs(cv2.imread(str(tmp_path / "a.jpg")).astype(int) - _picture(80))[4:28].max() < 8
    assert [path.name for path in tmp_path.iterdir()] == ["a.jpg"]


@pytest.mark.parametrize("write", [write_png, write_jpeg])
def test_a_picture_that_cannot_be_written_is_one_sentence(write: Callable[..., None], tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be written"):
        write(tmp_path / "absent" / "a", _picture(0))
    assert list(tmp_path.iterdir()) == []


def test_a_video_reads_back_frame_by_frame(tmp_path: Path) -> None:
    shades = [0, 40, 80, 120, 160, 200, 240]
    with VideoWriter(tmp_path / "a.mp4", fps=10.0) as video:
        for shade in shades:
            video.write(_picture(shade))
        assert video.frames == len(shades)
        assert not (tmp_path / "a.mp4").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]
    capture = cv2.VideoCapture(str(tmp_path / "a.mp4"))
    assert capture.get(cv2.CAP_PROP_FPS) == pytest.approx(10.0)
    read = []
    while (result := capture.read())[0]:
        read.append(result[1])
    assert len(read) == len(shades)
    for shade, image in zip(shades, read, strict=True):
        assert image.shape == (64, 96, 3)
        assert np.abs(image[8:24].astype(int).mean(axis=(0, 1)) - [200, shade, 0]).max() < 25
        assert np.abs(image[40:56].astype(int).mean(axis=(0, 1)) - [0, shade, 200]).max() < 25


def test_a_video_that_ends_in_an_exception_leaves_what_was_there_before(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"an earlier one")
    with pytest.raises(KeyboardInterrupt), VideoWriter(tmp_path / "a.mp4", fps=10.0) as video:  # noqa: PT012
        video.write(_picture(0))
        raise KeyboardInterrupt
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]
    assert (tmp_path / "a.mp4").read_bytes() == b"an earlier one"


def test_a_video_without_pictures_is_no_file(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "a.mp4", fps=10.0):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_picture_of_another_size_is_refused(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "a.mp4", fps=10.0) as video:
        video.write(_picture(0))
        with pytest.raises(ValueError, match="like the first"):
            video.write(_picture(0)[:32])
    with VideoWriter(tmp_path / "b.mp4", fps=10.0) as video, pytest.raises(ValueError, match="even"):
        video.write(_picture(0)[:33])


def test_a_video_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "absent" / "a.mp4", fps=10.0) as video, pytest.raises(UserError, match="cannot be"):
        video.write(_picture(0))
    assert list(tmp_path.iterdir()) == []
