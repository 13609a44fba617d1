"""Whether it pays to wait for poses that come after their images."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

IN_TIME_IN_A_ROW = 10
"""So many frames have to get their pose in time before waiting is tried again: of poses at 2 Hz one comes in time for
a few frames, and late for the others."""


class PosePatience:
    """Ends with a pose that came too late, and returns with poses that come in time; thread-safe.

    "In time" is within the time that a frame may wait for its pose, whether it does wait or not.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._is_known: Callable[[], bool] | None = None  # of the pose that the last frame asked for, until it comes
        self._until = 0.0
        self._frames_to_go = 0

    @property
    def ended(self) -> bool:
        """Whether waiting does not pay now."""
        with self._lock:
            return self._frames_to_go > 0

    def ask(self, is_known: Callable[[], bool], until: float) -> None:
        """The next frame asks for its pose; what the frame before asked for and did not get came too late.

        Args:
            is_known: whether the pose has come.
            until: up to when it comes in time, on the monotonic clock.
        """
        with self._lock:
            if self._is_known is not None:
                self._frames_to_go = IN_TIME_IN_A_ROW
            self._is_known, self._until = is_known, until
        self.look()

    def look(self) -> None:
        """Notices a pose that has come; to be called with every one, as nobody may be waiting for it."""
        with self._lock:
            if self._is_known is None or time.monotonic() > self._until or not self._is_known():
                return
            self._is_known = None
            self._frames_to_go = max(0, self._frames_to_go - 1)
