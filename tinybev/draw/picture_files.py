"""Pictures on disk, a PNG, a JPEG or an MP4: each appears whole under its name, or not at all."""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType

import cv2

from tinybev.draw.strokes import Image
from tinybev.errors import UserError

CODEC = "mp4v"
"""MPEG-4 Part 2: what every OpenCV with FFmpeg can encode; H.264 is left out of the wheels for its licence."""


def _partial(path: Path) -> Path:
    """Where the file grows; in the same folder, so that renaming it is one step, and with the same ending."""
    return path.with_name(f".{path.stem}.partial{path.suffix}")


def write_png(path: str | os.PathLike[str], image: Image) -> None:
    """Writes ``image`` (H, W, 3), BGR, without loss.

    Raises:
        UserError: the file cannot be written.
    """
    _write(Path(path), image, ".png")


def write_jpeg(path: str | os.PathLike[str], image: Image) -> None:
    """Writes ``image`` (H, W, 3), BGR, in a fraction of the bytes.

    Raises:
        UserError: the file cannot be written.
    """
    _write(Path(path), image, ".jpg")


def _write(target: Path, image: Image, encoding: str) -> None:
    encoded, data = cv2.imencode(encoding, image)
    if not encoded:
        raise ValueError(f"image: expected (H, W, 3) uint8, got {image.shape} {image.dtype}")
    partial = _partial(target)
    try:
        partial.write_bytes(data.tobytes())
        os.replace(partial, target)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise UserError(f"The picture {target} cannot be written: {error.strerror}; name another place.") from error


class VideoWriter:
    """Writes an MP4, one picture after the other; a context manager.

    The file gets its name when the block ends well; where it ends in an exception nothing is left.
    """

    def __init__(self, path: str | os.PathLike[str], fps: float) -> None:
        """``path`` ends in ``.mp4``; the size of the video is that of the first picture."""
        self.path = Path(path)
        self.frames = 0
        self._fps = fps
        self._size: tuple[int, int] | None = None
        self._writer: cv2.VideoWriter | None = None

    def write(self, image: Image) -> None:
        """Appends ``image`` (H, W, 3), BGR.

        Raises:
            ValueError: its size is odd, or is not that of the first picture; OpenCV would drop it without a word.
            UserError: the file cannot be written.
        """
        size = image.shape[1], image.shape[0]
        if self._writer is None:
            if size[0] % 2 or size[1] % 2:
                raise ValueError(f"image: expected an even width and height, got {size[0]}x{size[1]}")
            self._size, self._writer = size, self._open(size)
        if size != self._size:
            raise ValueError(f"image: expected {self._size} (width, height) like the first, got {size}")
        self._writer.write(image)
        self.frames += 1

    def close(self) -> None:
        """Ends the file and gives it its name; without a picture there is no file."""
        if self._writer is not None:
            self._writer.release()
            self._writer = None
            os.replace(_partial(self.path), self.path)

    def _open(self, size: tuple[int, int]) -> cv2.VideoWriter:
        partial = _partial(self.path)
        writer = cv2.VideoWriter(str(partial), cv2.VideoWriter.fourcc(*CODEC), self._fps, size)
        if not writer.isOpened():
            partial.unlink(missing_ok=True)
            raise UserError(
                f"The video {self.path} cannot be written; expected a name that ends in .mp4 in a folder that can be "
                "written to, and an OpenCV with FFmpeg."
            )
        return writer

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        elif self._writer is not None:
            self._writer.release()
            self._writer = None
            _partial(self.path).unlink(missing_ok=True)
