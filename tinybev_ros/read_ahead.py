"""Reads a bag ahead of its playback in a thread of its own, a few megabytes at most."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

from tinybev_ros.bag import BagMessage, open_bag

CHUNK_BYTES = 1 << 20
CHUNK_MESSAGES = 64
CHUNKS_AHEAD = 8
CLOSING_POLL_S = 0.05


class ReadAhead:
    """The messages of a bag, in order of log time, as an iterable context manager.

    A chunk ends with the message that brings it to 1 MiB or to 64 messages; eight wait at most. What the reading
    raises is raised where the messages are taken. The thread opens the bag itself: SQLite binds a connection to it.
    """

    def __init__(self, path: Path, topics: Sequence[str], start_ns: int, end_ns: int) -> None:
        self._chunks: queue.Queue[list[BagMessage] | BaseException | None] = queue.Queue(CHUNKS_AHEAD)
        self._closing = threading.Event()
        self._thread = threading.Thread(
            target=self._read, args=(path, tuple(topics), start_ns, end_ns), name="read-ahead", daemon=True
        )

    def __enter__(self) -> ReadAhead:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        self._thread.join()

    def __iter__(self) -> Iterator[BagMessage]:
        while (chunk := self._chunks.get()) is not None:
            if isinstance(chunk, BaseException):
                raise chunk
            yield from chunk

    def _read(self, path: Path, topics: Sequence[str], start_ns: int, end_ns: int) -> None:
        chunk: list[BagMessage] = []
        size = 0
        try:
            with open_bag(path) as bag:
                for message in bag.messages(topics, start_ns, end_ns):
                    chunk.append(message)
                    size += len(message.data)
                    if size >= CHUNK_BYTES or len(chunk) >= CHUNK_MESSAGES:
                        if not self._hand_over(chunk):
                            return
                        chunk, size = [], 0
            self._hand_over(chunk)
            self._hand_over(None)
        except Exception as error:
            self._hand_over(chunk)
            self._hand_over(error)

    def _hand_over(self, chunk: list[BagMessage] | Exception | None) -> bool:
        """Waits for room; False where the reader is being closed."""
        while not self._closing.is_set():
            try:
                self._chunks.put(chunk, timeout=CLOSING_POLL_S)
                return True
            except queue.Full:
                continue
        return False
