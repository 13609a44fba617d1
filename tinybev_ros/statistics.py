"""What the node counts and times, over its life and over the last frames."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, fields

import numpy as np

from tinybev.types import CAMERAS, StageTimes

FRAMES_REMEMBERED = 300
RATE_WINDOW_S = 5.0
STAGES: tuple[str, ...] = tuple(item.name for item in fields(StageTimes))
"""The stages of the pipeline, in order; ``total`` is the last."""
WAITS: tuple[str, ...] = ("early", "queue", "inputs", "publish")
"""What a frame spends outside the pipeline: on images that are decoded before their set is complete, until the worker
takes it, until its poses and calibration are there, and until its results have left."""
DETAILS: tuple[str, ...] = ("splat", "tracker", "conversion", "frame", "age")
"""Parts of what is above: the pooling in ``network``, where the backend tells it, the tracker in ``postprocess``, the
building of messages in ``publish``. And sums: ``frame``, from the worker's taking a set to the leaving of its results,
and ``age``, from the exposure of its newest image to then, on the node's clock."""


@dataclass
class Counts:
    """How many frames had what fate: assembled + partial = inferred + dropped + refused + what is under way.

    Attributes:
        assembled: came with all six cameras.
        partial: came with cameras missing.
        inferred: went through the network.
        dropped: replaced by a newer one before the worker was free.
        refused: had no camera with both image and calibration, or failed.
    """

    assembled: int = 0
    partial: int = 0
    inferred: int = 0
    dropped: int = 0
    refused: int = 0


@dataclass(frozen=True)
class SyncCounts:
    """What the synchronizer did with the images, beside grouping them; see ``tinybev.frames.SyncCounters``.

    Attributes:
        late: images whose frame had left.
        duplicates: images with a stamp that their camera had delivered before.
        dropped: second images of a camera in one revolution.
        wrong_clock: images of cameras whose stamps are far from those of the others.
        joined: frames with all cameras from two revolutions.
        resets: jumps of the clock.
        undelivered: frames that gave way because the node was too slow to take them.
    """

    late: int = 0
    duplicates: int = 0
    dropped: int = 0
    wrong_clock: int = 0
    joined: int = 0
    resets: int = 0
    undelivered: int = 0


@dataclass(frozen=True)
class Percentiles:
    """Median and 95th percentile, milliseconds."""

    p50: float
    p95: float


@dataclass(frozen=True)
class Snapshot:
    """The statistics at one moment.

    Attributes:
        counts: since the node was activated.
        sync: the synchronizer's since then.
        camera_rates_hz: images per second by camera, over the last ``RATE_WINDOW_S``.
        camera_ages_s: seconds since the last image by camera, None before the first.
        frameless_s: for how long images have been arriving without a frame, None while frames leave or no image came.
        partial_share: of the frames of the last ``RATE_WINDOW_S`` that lack cameras, None where there were none.
        result_rate_hz: results per second.
        result_age_s: seconds since the last result, None before the first.
        stages: by stage, over the last ``FRAMES_REMEMBERED`` frames; empty before the first.
        waits: the same of ``WAITS``.
        details: the same of ``DETAILS``.
    """

    counts: Counts
    sync: SyncCounts
    camera_rates_hz: dict[str, float]
    camera_ages_s: dict[str, float | None]
    frameless_s: float | None
    partial_share: float | None
    result_rate_hz: float
    result_age_s: float | None
    stages: dict[str, Percentiles]
    waits: dict[str, Percentiles]
    details: dict[str, Percentiles]

    def silent_cameras(self, after_s: float) -> tuple[str, ...]:
        """The cameras whose newest image is older than that, or that never sent one."""
        ages = self.camera_ages_s
        return tuple(camera for camera in CAMERAS if (age := ages[camera]) is None or age > after_s)


@dataclass
class _Arrivals:
    """Times at which something came."""

    times: deque[float] = field(default_factory=lambda: deque(maxlen=512))

    def rate_hz(self, now: float) -> float:
        recent = [moment for moment in self.times if now - moment <= RATE_WINDOW_S]
        if len(recent) < 2 or recent[-1] <= recent[0]:
            return 0.0
        return (len(recent) - 1) / (recent[-1] - recent[0])

    def age_s(self, now: float) -> float | None:
        return now - self.times[-1] if self.times else None

    def recent(self, now: float) -> int:
        return sum(now - moment <= RATE_WINDOW_S for moment in self.times)


class Statistics:
    """Thread-safe collector; ``clock`` gives seconds, monotonic."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._counts = Counts()
        self._sync_counts: Callable[[], SyncCounts] = SyncCounts
        self._newest_image: float | None = None
        self._frameless_since: float | None = None
        self._cameras = {camera: _Arrivals() for camera in CAMERAS}
        self._complete, self._partial = _Arrivals(), _Arrivals()
        self._results = _Arrivals()
        self._times_ms: dict[str, deque[float]] = {
            name: deque(maxlen=FRAMES_REMEMBERED) for name in (*STAGES, *WAITS, *DETAILS)
        }

    def follow(self, sync_counts: Callable[[], SyncCounts]) -> None:
        """Asks there for the synchronizer's counts whenever a snapshot is taken."""
        with self._lock:
            self._sync_counts = sync_counts

    def image_arrived(self, camera: str) -> None:
        """An image of a camera came."""
        with self._lock:
            now = self._clock()
            paused = self._newest_image is not None and now - self._newest_image > RATE_WINDOW_S
            if self._frameless_since is None or paused:  # a pause is no time without frames: there were no images
                self._frameless_since = now
            self._newest_image = now
            self._cameras[camera].times.append(now)

    def frame_arrived(self, complete: bool) -> None:
        """The synchronizer gave a frame."""
        with self._lock:
            self._frameless_since = None
            if complete:
                self._counts.assembled += 1
            else:
                self._counts.partial += 1
            (self._complete if complete else self._partial).times.append(self._clock())

    def frames_dropped(self, total: int) -> None:
        """So many frames were replaced by newer ones until now."""
        with self._lock:
            self._counts.dropped = total

    def frame_refused(self) -> None:
        """A frame could not be used."""
        with self._lock:
            self._counts.refused += 1

    def frame_inferred(self, times: StageTimes, others_ms: dict[str, float]) -> None:
        """A frame's results have left; ``others_ms`` by name of ``WAITS`` and ``DETAILS``."""
        with self._lock:
            self._counts.inferred += 1
            self._results.times.append(self._clock())
            for stage in STAGES:
                self._times_ms[stage].append(getattr(times, stage))
            for name, value in others_ms.items():
                self._times_ms[name].append(value)

    def snapshot(self) -> Snapshot:
        """The statistics now."""
        sync = self._sync_counts()  # has a lock of its own
        with self._lock:
            now = self._clock()
            percentiles = {
                name: Percentiles(*(float(value) for value in np.percentile(values, (50, 95))))
                for name, values in self._times_ms.items()
                if values
            }
            partial, complete = self._partial.recent(now), self._complete.recent(now)
            return Snapshot(
                counts=Counts(**vars(self._counts)),
                sync=sync,
                camera_rates_hz={camera: arrivals.rate_hz(now) for camera, arrivals in self._cameras.items()},
                camera_ages_s={camera: arrivals.age_s(now) for camera, arrivals in self._cameras.items()},
                frameless_s=None if self._frameless_since is None else now - self._frameless_since,
                partial_share=partial / (partial + complete) if partial + complete else None,
                result_rate_hz=self._results.rate_hz(now),
                result_age_s=self._results.age_s(now),
                stages={name: percentiles[name] for name in STAGES if name in percentiles},
                waits={name: percentiles[name] for name in WAITS if name in percentiles},
                details={name: percentiles[name] for name in DETAILS if name in percentiles},
            )
