"""Decoded, resized images on disk, so that each is decoded once.

One ``.npy`` file an image, under a folder named by what was done to it: another size, or another way of decoding, is
another folder. A file's name holds the size and the time of the image it was made from, so a replaced image is not
served from the cache. Files appear whole or not at all; several processes may share a folder.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from tinybev.errors import UserError
from tinybev.types import CameraFrame
from tinybev_training.data.images import Image, Size, decode_image, scaling

_DECODING = "RGB, decoded and scaled as tinybev.runtime does, version 2"


class ImageCache:
    """Images brought to ``size``, kept in ``folder``."""

    def __init__(self, folder: Path, size: Size) -> None:
        """
        Args:
            folder: created where it is missing.
            size: (height, width) the images are kept at.

        Raises:
            UserError: the folder cannot be made.
        """
        digest = hashlib.sha256(json.dumps([_DECODING, list(size)]).encode()).hexdigest()[:12]
        self.size = size
        self.folder = folder / f"{size[1]}x{size[0]}-{digest}"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(
                f"the image cache {folder} cannot be made: {error.strerror}; name another folder."
            ) from error

    def frame(self, camera: CameraFrame, path: Path) -> CameraFrame:
        """``camera`` with its image, read from ``path`` or the cache, at the cache's size, intrinsics likewise."""
        image = self._image(camera.image_size, path)
        intrinsics = scaling(camera.image_size, self.size).intrinsics(camera.intrinsics)
        return replace(camera, image=image, image_size=self.size, intrinsics=intrinsics)

    def _image(self, image_size: Size, path: Path) -> Image:
        status = path.stat()
        source = f"{path.absolute()}:{status.st_size}:{status.st_mtime_ns}"
        name = hashlib.sha256(source.encode()).hexdigest()
        file = self.folder / name[:2] / f"{name[2:]}.npy"
        try:
            cached = np.load(file, allow_pickle=False)
            if cached.shape == (*self.size, 3) and cached.dtype == np.uint8:
                return np.asarray(cached)
        except FileNotFoundError:
            pass
        except (ValueError, EOFError):  # cut short by a full disk or a crash: made again
            pass
        image = scaling(image_size, self.size).apply(
            decode_image(path.read_bytes(), image_size, self.size[1], str(path))
        )
        self._write(file, image)
        return image

    def _write(self, file: Path, image: Image) -> None:
        try:
            file.parent.mkdir(exist_ok=True)
            # A name of its own in the same folder: processes that write the same image do not meet, and renaming is
            # one step.
            with tempfile.NamedTemporaryFile(dir=file.parent, suffix=".partial", delete=False) as partial:
                try:
                    np.save(partial, image, allow_pickle=False)
                    partial.close()
                    os.replace(partial.name, file)
                except BaseException:
                    Path(partial.name).unlink(missing_ok=True)
                    raise
        except OSError as error:
            raise UserError(
                f"the image cache {self.folder} cannot be written: {error.strerror}; make room or go without a cache."
            ) from error
