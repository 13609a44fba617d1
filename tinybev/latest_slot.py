"""Hand-over from callbacks to one worker thread: the latest item wins, what it replaces is counted."""

from __future__ import annotations

from collections.abc import Callable
from threading import Condition
from typing import Generic, TypeVar

T = TypeVar("T")


class LatestSlot(Generic[T]):
    """Holds one item at most; any thread may call any method."""

    def __init__(self) -> None:
        self._changed = Condition()
        self._items: list[T] = []
        self._replaced = 0
        self._closed = False

    @property
    def replaced(self) -> int:
        """How many items were replaced before a worker took them."""
        with self._changed:
            return self._replaced

    @property
    def closed(self) -> bool:
        """Whether ``close`` was called."""
        with self._changed:
            return self._closed

    def put(self, item: T) -> None:
        """Puts ``item`` in the place of the one that waits; never blocks, and does nothing once closed."""
        with self._changed:
            if self._closed:
                return
            self._replaced += len(self._items)
            self._items = [item]
            self._changed.notify()

    def get(self, timeout_s: float | None = None, unless: Callable[[], bool] = lambda: False) -> T | None:
        """Waits for an item and takes it; None after ``timeout_s``, once closed, or as soon as ``unless`` holds.

        Where ``unless`` may have come to hold, :meth:`wake` has it looked at again.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._items or self._closed or unless(), timeout_s)
            return self._items.pop() if self._items else None

    def wake(self) -> None:
        """Has those that wait in ``get`` look again at what they wait for."""
        with self._changed:
            self._changed.notify_all()

    def close(self) -> None:
        """Drops the item that waits and wakes all that wait in ``get``."""
        with self._changed:
            self._closed = True
            self._items.clear()
            self._changed.notify_all()
