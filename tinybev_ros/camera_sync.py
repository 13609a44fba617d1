"""Camera topics -> sets of messages: the assembler of ``tinybev.frames`` as a filter in the style of message_filters.

``Subscriber`` is ``message_filters.Subscriber`` where that package is installed, and a filter that does the same where
it is not. Any filter whose ``registerCallback`` delivers single stamped messages can take its place.

Deadlines run on the steady clock, so a paused or looping simulation clock cannot hold a set back. A recording that is
played slower than it was taken needs a ``max_wait_s`` that is longer by the same factor.
"""

from __future__ import annotations

import copy
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Protocol

from rclpy.logging import get_logger
from rclpy.node import Node

from tinybev.errors import UserError
from tinybev.frames import CameraSet, FrameAssembler, SyncCounters, SyncOptions
from tinybev_ros.conversions import msg_to_stamp

MAX_UNDELIVERED = 64
"""Sets that wait for the callback at most; the oldest give way. A callback that only hands over never has one wait."""


class Filter(Protocol):
    """What gives messages: calls each registered callback with a message."""

    def registerCallback(self, callback: Callable[..., Any], *args: Any) -> Any:
        """Calls ``callback(message, *args)`` for every message from now on."""


class TopicFilter:
    """A subscription as a filter, with the constructor and the attributes of ``message_filters.Subscriber``.

    Args:
        node: the node that subscribes.
        msg_type: the type of the messages.
        topic: their topic.
        qos_profile: a profile, or the depth of a reliable queue.
        options: keyword arguments of ``Node.create_subscription``.
    """

    def __init__(self, node: Node, msg_type: Any, topic: str, *, qos_profile: Any = 10, **options: Any) -> None:
        self.node = node
        self.topic = topic
        self._callbacks: list[Callable[[Any], Any]] = []
        self.sub = node.create_subscription(msg_type, topic, self._deliver, qos_profile, **options)

    def registerCallback(self, callback: Callable[..., Any], *args: Any) -> None:
        """Calls ``callback(message, *args)`` for every message from now on."""
        self._callbacks.append(lambda message: callback(message, *args))

    def _deliver(self, message: Any) -> None:
        for callback in self._callbacks:
            callback(message)


try:
    from message_filters import Subscriber
except ModuleNotFoundError:
    Subscriber = TopicFilter


class RevolutionSynchronizer:
    """Groups the messages of one filter a camera, and calls back with every set, in order, one at a time.

    A callback runs without any lock held, on the thread that brought the last message or on the one that watches the
    deadlines. What it raises is logged and stops nothing. Messages of one filter must come in the order of their
    topic: give each subscription a mutually exclusive callback group where several threads spin.

    Args:
        filters: one a camera; they deliver messages with a header.
        cameras: the camera of each filter.
        options: how to group.
        clock: the steady clock of the deadlines in nanoseconds, for tests that must not depend on how fast they run.

    Raises:
        UserError: there is not one filter for each of the options' cameras.
    """

    def __init__(
        self,
        filters: Sequence[Filter],
        cameras: Sequence[str],
        options: SyncOptions,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        if len(filters) != len(cameras) or sorted(cameras) != sorted(options.cameras):
            raise UserError(
                f"The synchronizer needs one filter for each of {list(options.cameras)}, but got {len(filters)} "
                f"filters for {list(cameras)}; give each camera its filter."
            )
        self._clock = clock
        self._assembler: FrameAssembler[Any] = FrameAssembler(options)
        self._callbacks: list[Callable[[CameraSet[Any]], Any]] = []
        self._ready: deque[CameraSet[Any]] = deque()
        self._undelivered = 0
        self._delivering = False
        self._closed = False
        self._changed = threading.Condition()  # guards all of the above
        self._watcher = threading.Thread(target=self._watch_deadlines, name="camera_sync", daemon=True)
        self._watcher.start()
        for camera, source in zip(cameras, filters, strict=True):
            source.registerCallback(partial(self._take_in, camera))

    @property
    def counters(self) -> SyncCounters:
        """The assembler's counters up to now; a copy."""
        with self._changed:
            return copy.deepcopy(self._assembler.counters)

    @property
    def clock_offsets_ns(self) -> dict[str, int]:
        """How far the stamps of cameras that are set aside are ahead of the others'; negative: behind."""
        with self._changed:
            return dict(self._assembler.clock_offsets_ns)

    @property
    def undelivered(self) -> int:
        """Sets that gave way because the callback was too slow."""
        with self._changed:
            return self._undelivered

    def registerCallback(self, callback: Callable[..., Any], *args: Any) -> None:
        """Calls ``callback(camera_set, *args)`` for every set from now on."""
        with self._changed:
            self._callbacks.append(lambda ready: callback(ready, *args))

    def close(self) -> None:
        """Stops: no callback starts after this has returned, except one that called it itself."""
        with self._changed:
            self._closed = True
            self._ready.clear()
            self._changed.notify_all()
        if threading.current_thread() is not self._watcher:
            self._watcher.join()

    def _take_in(self, camera: str, message: Any) -> None:
        stamp_ns = msg_to_stamp(message.header.stamp)
        with self._changed:
            if self._closed:
                return
            self._queue(self._assembler.push(camera, stamp_ns, message, self._clock()))
            self._changed.notify_all()
        self._deliver()

    def _watch_deadlines(self) -> None:
        while True:
            with self._changed:
                if self._closed:
                    return
                deadline_ns = self._assembler.next_deadline_ns()
                wait_s = None if deadline_ns is None else (deadline_ns - self._clock()) / 1e9
                if wait_s is None or wait_s > 0:
                    self._changed.wait(wait_s)
                    continue
                self._queue(self._assembler.poll(self._clock()))
            self._deliver()

    def _queue(self, sets: Sequence[CameraSet[Any]]) -> None:
        self._ready.extend(sets)
        while len(self._ready) > MAX_UNDELIVERED:
            self._ready.popleft()
            self._undelivered += 1

    def _deliver(self) -> None:
        """Calls back with all that is ready, unless another thread is at it: it takes these along, in order."""
        with self._changed:
            if self._delivering:
                return
            self._delivering = True
        while True:
            with self._changed:
                if self._closed or not self._ready:
                    self._delivering = False
                    return
                ready = self._ready.popleft()
                callbacks = tuple(self._callbacks)
            for callback in callbacks:
                try:
                    callback(ready)
                except Exception:
                    get_logger("camera_sync").error(f"A callback of the synchronizer failed:\n{traceback.format_exc()}")
