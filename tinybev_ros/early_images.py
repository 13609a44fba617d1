"""Images that are decoded while their set is not complete yet, in the time in which nothing else is to be done.

The cameras of a rig fire one after the other, so when the last image of a set arrives the others have been there for a
while. Whoever waits for sets may spend that time on them; what it has not come to by then is decoded with the set.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar

from numpy.typing import NDArray

M = TypeVar("M")

KEPT = 2
"""Images of a camera: where a set waits for one that is missing, the others' next images come before it leaves."""


@dataclass(frozen=True)
class EarlyImage:
    """A decoded image: its pixels as the network gets them (h, w, 3), and how long decoding took, milliseconds."""

    pixels: NDArray
    decode_ms: float


@dataclass
class _Image(Generic[M]):
    """A message and, once it is decoded, what it says."""

    message: M
    begun: bool = False
    decoded: EarlyImage | None = None


class EarlyImages(Generic[M]):
    """The newest ``KEPT`` images of each camera, decoded or not; any thread may call any method.

    Args:
        decode: the pixels of a message.
    """

    def __init__(self, decode: Callable[[M], NDArray]) -> None:
        self._decode = decode
        self._lock = threading.Lock()
        self._images: defaultdict[str, deque[_Image[M]]] = defaultdict(partial(deque, maxlen=KEPT))

    @property
    def waiting(self) -> bool:
        """Whether there is an image to decode."""
        with self._lock:
            return self._next() is not None

    def add(self, camera: str, message: M) -> None:
        """Takes an image; the camera's oldest one gives way."""
        with self._lock:
            self._images[camera].append(_Image(message))

    def decode_one(self) -> None:
        """Decodes an image that waits, if any; a damaged one is left to whoever decodes its set."""
        with self._lock:
            image = self._next()
            if image is None:
                return
            image.begun = True
        started = time.perf_counter()
        try:
            pixels = self._decode(image.message)
        except Exception:  # whatever it is, whoever decodes its set meets it again, and tells
            return
        image.decoded = EarlyImage(pixels, 1e3 * (time.perf_counter() - started))

    def take(self, camera: str, message: object) -> EarlyImage | None:
        """What has been decoded of this very message, None where it has not been.

        Neither it nor an older one of its camera waits any longer.
        """
        with self._lock:
            images = self._images[camera]
            if not any(image.message is message for image in images):
                return None
            while (image := images.popleft()).message is not message:
                pass
            return image.decoded

    def _next(self) -> _Image[M] | None:
        """Of the images that wait: of the first camera that has one, the oldest."""
        return next((image for images in self._images.values() for image in images if not image.begun), None)
