"""Work on many items that any thread which is free may join."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

T = TypeVar("T")
R = TypeVar("R")


class SharedWork:
    """What :meth:`map` is asked for is done by the thread that asks and by all that :meth:`join` meanwhile."""

    def __init__(self) -> None:
        self._waiting: SimpleQueue[tuple[Future[Any], Callable[[Any], Any], Any]] = SimpleQueue()

    def map(
        self, function: Callable[[T], R], items: Iterable[T], call_help: Callable[[], object] = lambda: None
    ) -> list[R]:
        """``function`` of each item, in order.

        Args:
            function: of one item.
            items: to do.
            call_help: called once there is something to join.

        Raises:
            Exception: the first one that ``function`` raised, when all items are done.
        """
        results: list[Future[R]] = []
        for item in items:
            results.append(Future())
            self._waiting.put((results[-1], function, item))
        call_help()
        self.join()
        failures = [result.exception() for result in results]
        for failure in failures:
            if failure is not None:
                raise failure
        return [result.result() for result in results]

    def join(self) -> None:
        """Does, one item after the other, what no thread has begun; returns at once where there is nothing."""
        while True:
            try:
                result, function, item = self._waiting.get_nowait()
            except Empty:
                return
            try:
                result.set_result(function(item))
            except BaseException as error:  # belongs to whoever asked
                result.set_exception(error)
