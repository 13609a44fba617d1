"""Images that are decoded while their set is not complete yet, in the time in which nothing else is to be done.

The cameras of a rig fire one after the other, so when the last image of a set arrives the others have been there for a
while. Whoever waits for sets may spend that time on them; what it has not come to by then is decoded with the set.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from numpy.typing import NDArray

M = TypeVar("M")


@dataclass(frozen=True)
class EarlyImage:
    """A decoded image: its pixels as the network gets them (h, w, 3), and how long decoding took, milliseconds."""

    pixels: NDArray
    decode_ms: float


class EarlyImages(Generic[M]):
    """The newest image of each camera, decoded or not; any thread may call any method.

    Args:
        decode: the pixels of a message.
    """

    def __init__(self, decode: Callable[[M], NDArray]) -> None:
        self._decode = decode
        self._lock = threading.Lock()
        self._waiting: dict[str, M] = {}  # the one that came first is the first
        self._decoded: dict[str, tuple[M, EarlyImage]] = {}

    @property
    def waiting(self) -> bool:
        """Whether there is an image to decode."""
        with self._lock:
            return bool(self._waiting)

    def add(self, camera: str, message: M) -> None:
        """Takes the place of the camera's image before, where that waits."""
        with self._lock:
            self._waiting.pop(camera, None)
            self._waiting[camera] = message

    def decode_one(self) -> None:
        """Decodes the image that has waited longest, if any; a damaged one is left to whoever decodes its set."""
        with self._lock:
            if not self._waiting:
                return
            camera = next(iter(self._waiting))
            message = self._waiting.pop(camera)
        started = time.perf_counter()
        try:
            pixels = self._decode(message)
        except Exception:  # whatever it is, whoever decodes its set meets it again, and tells
            return
        image = EarlyImage(pixels, 1e3 * (time.perf_counter() - started))
        with self._lock:
            self._decoded[camera] = message, image

    def take(self, camera: str, message: object) -> EarlyImage | None:
        """What has been decoded of this very message, None where it has not been; it does not wait any longer."""
        with self._lock:
            if self._waiting.get(camera) is message:
                del self._waiting[camera]
            decoded = self._decoded.get(camera)
            if decoded is None or decoded[0] is not message:
                return None
            del self._decoded[camera]
            return decoded[1]
