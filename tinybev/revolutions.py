"""Images of one rig, grouped to revolutions, and the rule by which a revolution is closed.

All images of a revolution share ``stamp - phase`` of their camera up to jitter (see ``phases``), so an image belongs to
the revolution whose start is within half a period of that. Revolutions are given out in order. One is closed as soon as

- all its cameras are in, or
- every camera that it lacks has delivered an image of a later revolution: a ROS 2 topic of one publisher keeps the
  order, so nothing more can come, or
- ``max_wait`` has passed since its first image arrived, or
- more images are held than may be.

An incomplete revolution may be *joined* with the next where the two complement each other: no camera twice, all cameras
there, and all stamps within one period, so that the joined set is no wider than a revolution. Its first half then waits
until the second is closed, which may still become complete on its own. Real cameras that skip revolutions do so in such
halves.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Generic, TypeVar

from tinybev.phases import Rig

T = TypeVar("T")


@dataclass(frozen=True)
class Stamped(Generic[T]):
    """One image, or whatever stands for it, with its header stamp."""

    stamp_ns: int
    payload: T


@dataclass(frozen=True)
class CameraSet(Generic[T]):
    """The images of one revolution, or of two that complement each other.

    Attributes:
        stamp_ns: the newest stamp in it.
        items: the images by camera, in the order of the rig's cameras.
        missing: the cameras without an image, in that order.
        joined: whether the images come from two revolutions.
    """

    stamp_ns: int
    items: dict[str, Stamped[T]]
    missing: tuple[str, ...]
    joined: bool = False


@dataclass(frozen=True)
class Arrival(Generic[T]):
    """An image of ``camera`` and when it was received."""

    camera: str
    image: Stamped[T]
    arrival_ns: int


class Placement(Enum):
    """What became of an image: held, too late for its revolution, or the second of its camera in the revolution."""

    HELD = auto()
    LATE = auto()
    SURPLUS = auto()


@dataclass
class _Revolution(Generic[T]):
    start_ns: int
    arrivals: dict[str, Arrival[T]] = field(default_factory=dict)

    def first_arrival_ns(self) -> int:
        return min(arrival.arrival_ns for arrival in self.arrivals.values())

    def stamps(self) -> list[int]:
        return [arrival.image.stamp_ns for arrival in self.arrivals.values()]


def camera_set(arrivals: Sequence[Arrival[T]], cameras: Sequence[str], joined: bool = False) -> CameraSet[T]:
    """The set of ``arrivals``, at least one and at most one of each camera."""
    by_camera = {arrival.camera: arrival.image for arrival in arrivals}
    return CameraSet(
        stamp_ns=max(image.stamp_ns for image in by_camera.values()),
        items={camera: by_camera[camera] for camera in cameras if camera in by_camera},
        missing=tuple(camera for camera in cameras if camera not in by_camera),
        joined=joined,
    )


class Revolutions(Generic[T]):
    """The revolutions under way, oldest first.

    Args:
        rig: period and phases.
        cameras: the cameras of a complete revolution.
        max_wait_ns: the longest wait after the arrival of a revolution's first image.
        max_images: how many images are held at most.
        join: whether complementary revolutions are joined.
        after_ns: images up to this stamp are late.
    """

    def __init__(
        self, rig: Rig, cameras: Sequence[str], max_wait_ns: int, max_images: int, join: bool, after_ns: int | None
    ) -> None:
        self.rig = rig
        self._cameras = tuple(cameras)
        self._max_wait_ns = max_wait_ns
        self._max_images = max_images
        self._join = join
        self._after_ns = after_ns
        self._open: list[_Revolution[T]] = []
        self._last_start_ns: dict[str, int] = {}
        self._closed_start_ns: int | None = None

    def __len__(self) -> int:
        return sum(len(revolution.arrivals) for revolution in self._open)

    def arrivals(self) -> list[Arrival[T]]:
        """The images that are held."""
        return [arrival for revolution in self._open for arrival in revolution.arrivals.values()]

    def place(self, arrival: Arrival[T]) -> Placement:
        """Puts an image where it belongs; closes nothing."""
        start_ns = self.rig.start_ns(arrival.camera, arrival.image.stamp_ns)
        if self._is_late(arrival.image.stamp_ns, start_ns):
            return Placement.LATE
        self._last_start_ns[arrival.camera] = start_ns
        nearest = min(self._open, key=lambda revolution: abs(revolution.start_ns - start_ns), default=None)
        if nearest is None or not self.rig.same_revolution(nearest.start_ns, start_ns):
            self._open.append(_Revolution(start_ns, {arrival.camera: arrival}))
            self._open.sort(key=lambda revolution: revolution.start_ns)
            return Placement.HELD
        if arrival.camera in nearest.arrivals:
            return Placement.SURPLUS
        nearest.arrivals[arrival.camera] = arrival
        return Placement.HELD

    def take_closed(self, now_ns: int) -> list[CameraSet[T]]:
        """Removes and returns what is closed at ``now_ns``, in order."""
        sets = []
        while self._open:
            expired = self._expired(now_ns)
            head = self._open[0]
            if not (expired or self._is_closed(head) or len(self) > self._max_images):
                break
            partner = self._partner(head)
            if partner is None:
                sets.append(self._take([head]))
            elif expired > 1 or self._is_closed(partner) or len(self) > self._max_images:
                complementary = len(head.arrivals) + len(partner.arrivals) == len(self._cameras)
                sets.append(self._take([head, partner] if complementary else [head]))
            else:
                break
        return sets

    def take_all(self) -> list[CameraSet[T]]:
        """Removes and returns everything, in order, closed or not."""
        last_ns = max((arrival.arrival_ns for arrival in self.arrivals()), default=0)
        return self.take_closed(last_ns + self._max_wait_ns)

    def next_deadline_ns(self) -> int | None:
        """When ``take_closed`` has something to return even if nothing arrives, or None."""
        held = self._open and self._partner(self._open[0]) is not None  # the first half waits for the second
        deadlines = [revolution.first_arrival_ns() + self._max_wait_ns for revolution in self._open[bool(held) :]]
        return min(deadlines, default=None)

    def _is_late(self, stamp_ns: int, start_ns: int) -> bool:
        if self._after_ns is not None and stamp_ns <= self._after_ns:
            return True
        closed_ns = self._closed_start_ns
        return closed_ns is not None and (start_ns < closed_ns or self.rig.same_revolution(start_ns, closed_ns))

    def _expired(self, now_ns: int) -> int:
        """How many revolutions, from the oldest, must go because the deadline of the last of them has passed."""
        due = [now_ns >= revolution.first_arrival_ns() + self._max_wait_ns for revolution in self._open]
        return max((index + 1 for index, is_due in enumerate(due) if is_due), default=0)

    def _is_closed(self, revolution: _Revolution[T]) -> bool:
        """Whether nothing more can come: every camera is in, or has gone on to a later revolution."""
        return all(
            camera in revolution.arrivals or self._has_passed(camera, revolution.start_ns) for camera in self._cameras
        )

    def _has_passed(self, camera: str, start_ns: int) -> bool:
        last_ns = self._last_start_ns.get(camera)
        return last_ns is not None and last_ns > start_ns and not self.rig.same_revolution(last_ns, start_ns)

    def _partner(self, head: _Revolution[T]) -> _Revolution[T] | None:
        """The revolution after ``head`` where it is, or may become, the other half of a joined set."""
        if not self._join or len(self._open) < 2 or len(head.arrivals) == len(self._cameras):
            return None
        following = self._open[1]
        stamps = head.stamps() + following.stamps()
        fits = not head.arrivals.keys() & following.arrivals.keys() and max(stamps) - min(stamps) < self.rig.period_ns
        return following if fits else None

    def _take(self, revolutions: Sequence[_Revolution[T]]) -> CameraSet[T]:
        del self._open[: len(revolutions)]
        self._closed_start_ns = revolutions[-1].start_ns
        arrivals = [arrival for revolution in revolutions for arrival in revolution.arrivals.values()]
        return camera_set(arrivals, self._cameras, joined=len(revolutions) > 1)


def split_at_pauses(arrivals: Sequence[Arrival[T]], pause_ns: int) -> Iterator[list[Arrival[T]]]:
    """Groups images whose rig is unknown: in order of their stamps, a new group at each pause and each camera again."""
    group: dict[str, Arrival[T]] = {}
    newest_ns = 0
    for arrival in sorted(arrivals, key=lambda arrival: arrival.image.stamp_ns):
        stamp_ns = arrival.image.stamp_ns
        if group and (arrival.camera in group or stamp_ns - newest_ns > pause_ns):
            yield list(group.values())
            group = {}
        group[arrival.camera] = arrival
        newest_ns = stamp_ns
    if group:
        yield list(group.values())
