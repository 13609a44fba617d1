"""What is wrong right now, each thing said once."""

from __future__ import annotations

import threading
from collections.abc import Callable


class Complaints:
    """Keeps one sentence per subject and says it when it is new; thread-safe.

    A subject that is settled may complain again, so a camera that fails twice is reported twice, and one that fails at
    every frame once.
    """

    def __init__(self, say: Callable[[str], object]) -> None:
        self._say = say
        self._open: dict[str, str] = {}
        self._lock = threading.Lock()

    def raise_about(self, subject: str, sentence: str) -> None:
        """Something is wrong with ``subject``; said unless that subject is already open."""
        with self._lock:
            if subject in self._open:
                return
            self._open[subject] = sentence
        self._say(f"{subject}: {sentence}")

    def settle(self, subject: str) -> None:
        """Nothing is wrong with ``subject`` any more."""
        with self._lock:
            self._open.pop(subject, None)

    def open(self) -> dict[str, str]:
        """The sentences by subject, oldest first."""
        with self._lock:
            return dict(self._open)
