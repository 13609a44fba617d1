"""Six camera streams -> one set of images a revolution, by header stamp.

A set never mixes revolutions. With the rig's phases given or learnt (see ``phases``), a complete revolution comes out
once, in order, as soon as its last image is in, provided that every image arrives within ``max_wait_s`` of its
revolution's first one and each camera's images arrive in order. What is incomplete follows the policy that
``SyncOptions.incomplete`` states (see ``revolutions`` for when a revolution is closed).

Until the phases are learnt, images are held: the backlog leaves in order once they are. A pause of ``max_wait_s`` ends
the holding, so a single set followed by silence still comes out complete; so do ``learning_s`` and ``max_images``. The
backlog is then split where the stamps pause or a camera comes again, and so is what follows until a rig is learnt.

Half of the cameras with a stamp more than ``JUMP_NS`` older than their newest, a stamp that is no newer after a silence
of that long, or a run of late images without one in time, is a clock that jumped back (a looping bag): everything held
leaves, and the grouping starts anew, so no set spans the jump. A camera whose stamps alone are far from those of the
others is set aside (see ``camera_clocks``).

Time of arrival is an argument of every call, in nanoseconds of one clock of the caller: nothing here reads a clock, and
nothing locks. ``LatestSlot`` hands over to a worker thread.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Generic, TypeVar

from tinybev.camera_clocks import CameraClocks
from tinybev.latest_slot import LatestSlot
from tinybev.phases import PhaseLearner, Rig
from tinybev.revolutions import Arrival, CameraSet, Placement, Revolutions, Stamped, camera_set, split_at_pauses
from tinybev.sync_counters import SyncCounters
from tinybev.sync_options import IncompletePolicy, SyncOptions

__all__ = ["CameraSet", "FrameAssembler", "IncompletePolicy", "LatestSlot", "Stamped", "SyncCounters", "SyncOptions"]

T = TypeVar("T")

JUMP_NS = 1_000_000_000
LATE_RUN = 6
"""Late images in a row, at least one a camera, that mean a clock that jumped back by less than ``JUMP_NS``."""

REPEATS = 4
"""Stamps of each camera among which a repeated one is recognised as a duplicate."""

REFRESH_EVERY = 48
"""Images between two comparisons of a learnt rig with the stream."""


class FrameAssembler(Generic[T]):
    """Groups the images of a rig's cameras to sets; see the module."""

    def __init__(self, options: SyncOptions) -> None:
        self.options = options
        self.counters = SyncCounters(received=dict.fromkeys(options.cameras, 0))
        self._max_wait_ns = round(options.max_wait_s * 1e9)
        self._learning_ns = round(options.learning_s * 1e9)
        self._learner = PhaseLearner(options.cameras, options.known_rigs)
        self._clocks = CameraClocks(options.cameras, self._max_wait_ns)
        self._silence_ns = max(JUMP_NS, 2 * self._max_wait_ns)
        self._now_ns = 0
        self._last_push_ns = 0
        self._held: list[Arrival[T]] = []  # while the rig is not known
        self._before_jump: tuple[int, int] | None = None  # newest stamp before it, and until when images may straggle
        self._start(options.given_rig())

    @property
    def rig(self) -> Rig | None:
        """The rig as given or learnt, None while it is being learnt."""
        return self._revolutions.rig if self._revolutions is not None else None

    @property
    def clock_offsets_ns(self) -> Mapping[str, int]:
        """The cameras that are set aside, and how far their stamps are ahead of the others'; negative: behind."""
        return self._clocks.offsets_ns

    def push(self, camera: str, stamp_ns: int, payload: T, now_ns: int) -> list[CameraSet[T]]:
        """Takes an image of ``camera`` received at ``now_ns``; returns the sets that are ready, oldest first.

        Raises:
            ValueError: ``camera`` is none of the options' cameras.
        """
        if camera not in self.counters.received:
            raise ValueError(f"{camera!r} is not a camera of this assembler; its cameras are {self.options.cameras}")
        self.counters.received[camera] += 1
        sets = self._advance(now_ns)
        silence_ns = self._now_ns - self._last_push_ns
        if self._clocks.is_off(camera, stamp_ns):
            self.counters.wrong_clock += 1
            self._learner.forget(camera)
        elif self._is_straggler(stamp_ns):
            self.counters.late += 1
        else:
            self._last_push_ns = self._now_ns
            sets += self._follow(Arrival(camera, Stamped(stamp_ns, payload), self._now_ns), silence_ns)
        return sets + self._ready()

    def poll(self, now_ns: int) -> list[CameraSet[T]]:
        """Returns the sets whose deadline has passed at ``now_ns``, oldest first."""
        return self._advance(now_ns) + self._ready()

    def next_deadline_ns(self) -> int | None:
        """When ``poll`` has to be called at the latest if no image arrives before; None where nothing waits."""
        if self._revolutions is not None:
            return self._revolutions.next_deadline_ns()
        if not self._held:
            return None
        arrivals_ns = [arrival.arrival_ns for arrival in self._held]
        longest_ns = self._max_wait_ns if self._gave_up else self._learning_ns
        return min(max(arrivals_ns) + self._max_wait_ns, min(arrivals_ns) + longest_ns)

    def flush(self) -> list[CameraSet[T]]:
        """Returns everything held, oldest first: the end of the stream."""
        if self._revolutions is not None:
            return self._count(self._revolutions.take_all())
        groups = self._split(self._held)
        self._held = []
        return self._count([camera_set(group, self.options.cameras) for group in groups])

    def _start(self, rig: Rig | None) -> None:
        """A stream that begins: nothing held, nothing seen."""
        self._held = []
        self._gave_up = False
        self._newest_ns: int | None = None
        self._before_jump = None
        self._left_ns: int | None = None  # the newest stamp that left
        self._late_run: list[Arrival[T]] = []
        self._jumped: list[Arrival[T]] = []  # of late, with a stamp far older than the newest of their camera
        self._recent: dict[str, deque[int]] = {camera: deque(maxlen=REPEATS) for camera in self.options.cameras}
        self._until_refresh = REFRESH_EVERY
        self._revolutions: Revolutions[T] | None = None
        if rig is not None:
            self._adopt(rig)

    def _adopt(self, rig: Rig) -> None:
        """Groups by ``rig`` from now on, what is held included."""
        held = self._held if self._revolutions is None else self._revolutions.arrivals()
        self._held = []
        self._revolutions = Revolutions(
            rig,
            self.options.cameras,
            self._max_wait_ns,
            self.options.max_images,
            self.options.incomplete is IncompletePolicy.JOIN,
            self._left_ns,
        )
        for arrival in sorted(held, key=lambda arrival: arrival.image.stamp_ns):
            if self._revolutions.place(arrival) is not Placement.HELD:
                self.counters.dropped += 1

    def _advance(self, now_ns: int) -> list[CameraSet[T]]:
        """Follows the caller's clock; where it jumped back, no deadline of before means anything."""
        jumped = now_ns < self._now_ns - JUMP_NS
        self._now_ns = now_ns if jumped else max(now_ns, self._now_ns)
        return self._jump() if jumped else []

    def _jump(self) -> list[CameraSet[T]]:
        """Ends the stream before a jump of the clock; the rig is the same after it."""
        sets = self.flush()
        self.counters.resets += 1
        self._learner.clear()
        self._clocks.jumped()
        self._start(self.rig)
        return sets

    def _is_straggler(self, stamp_ns: int) -> bool:
        """Whether an image was sent before the last jump and overtaken by it."""
        if self._before_jump is None or self._newest_ns is None:
            return False
        before_ns, until_ns = self._before_jump
        return self._now_ns < until_ns and abs(stamp_ns - before_ns) < abs(stamp_ns - self._newest_ns)

    def _follow(self, arrival: Arrival[T], silence_ns: int) -> list[CameraSet[T]]:
        """Takes an image in, on this side of a jump of the clock or beyond one; returns the sets of before it."""
        camera, stamp_ns = arrival.camera, arrival.image.stamp_ns
        newest_ns = max(self._recent[camera], default=None)
        if newest_ns is not None and stamp_ns < newest_ns - JUMP_NS:
            return self._take_in_jumped(arrival)
        if silence_ns > self._silence_ns:  # a short recording begins again: its stamps need not lie far back
            newest_ns = self._newest_ns if newest_ns is None else newest_ns
            if newest_ns is not None and stamp_ns <= newest_ns:
                return self._jump() + self._take_in(arrival)
        return self._take_in(arrival)

    def _take_in_jumped(self, arrival: Arrival[T]) -> list[CameraSet[T]]:
        """Takes an image whose stamp went far back: alone it is late, with half of the cameras it is a jump."""
        recently_ns = self._now_ns - JUMP_NS
        self._jumped = [one for one in (*self._jumped, arrival) if one.arrival_ns > recently_ns][
            -self.options.max_images :
        ]
        alive = sum(bool(recent) for recent in self._recent.values())
        if 2 * len({one.camera for one in self._jumped}) < alive:
            return self._take_in_late(arrival)
        assert self._newest_ns is not None
        before_jump = (self._newest_ns, self._now_ns + JUMP_NS)
        jumped = self._jumped
        self.counters.late -= len(jumped) - 1
        sets = self._jump()
        self._before_jump = before_jump
        for one in jumped:
            sets += self._take_in(one)
        return sets

    def _take_in(self, arrival: Arrival[T]) -> list[CameraSet[T]]:
        """Puts an image where it belongs; returns sets only where it shows that the clock jumped back."""
        camera, stamp_ns = arrival.camera, arrival.image.stamp_ns
        if stamp_ns in self._recent[camera]:
            self.counters.duplicates += 1
            return []
        self._learner.observe(camera, stamp_ns)  # the late ones too: many late images are what a changed rig looks like
        placement = Placement.HELD
        if self._revolutions is not None:
            placement = self._revolutions.place(arrival)
        elif self._left_ns is not None and stamp_ns <= self._left_ns:
            placement = Placement.LATE
        else:
            self._held.append(arrival)
        if placement is Placement.LATE:
            return self._take_in_late(arrival)
        self.counters.dropped += placement is Placement.SURPLUS
        self._late_run.clear()
        self._recent[camera].append(stamp_ns)
        self._newest_ns = stamp_ns if self._newest_ns is None else max(stamp_ns, self._newest_ns)
        self._learn()
        return []

    def _take_in_late(self, arrival: Arrival[T]) -> list[CameraSet[T]]:
        self.counters.late += 1
        self._late_run.append(arrival)
        if len(self._late_run) < max(LATE_RUN, len(self.options.cameras)):
            return []
        run = self._late_run
        self.counters.late -= len(run)
        sets = self._jump()
        for late in run:
            sets += self._take_in(late)
        return sets

    def _learn(self) -> None:
        if self._revolutions is None:
            rig = self._learner.estimate()
            if rig is not None:
                self._adopt(rig)
            return
        if self.options.phases_s is not None:
            return
        self._until_refresh -= 1
        if self._until_refresh == 0:
            self._until_refresh = REFRESH_EVERY
            rig = self._learner.refreshed(self._revolutions.rig)
            if rig != self._revolutions.rig:
                self._adopt(rig)

    def _ready(self) -> list[CameraSet[T]]:
        now_ns = self._now_ns
        if self._revolutions is not None:
            return self._count(self._revolutions.take_closed(now_ns))
        deadline_ns = self.next_deadline_ns()
        due = deadline_ns is not None and now_ns >= deadline_ns
        if not (due or self._gave_up or len(self._held) > self.options.max_images):
            return []
        newest_arrival_ns = max(arrival.arrival_ns for arrival in self._held) if self._held else now_ns
        self._gave_up = self._gave_up or now_ns < newest_arrival_ns + self._max_wait_ns
        groups = self._split(self._held)
        self._held = []
        if groups and len(groups[-1]) < len(self.options.cameras):
            first_ns = min(arrival.arrival_ns for arrival in groups[-1])
            if now_ns < first_ns + self._max_wait_ns:  # the youngest may still grow
                self._held = groups.pop()
        return self._count([camera_set(group, self.options.cameras) for group in groups])

    def _split(self, arrivals: list[Arrival[T]]) -> list[list[Arrival[T]]]:
        return list(split_at_pauses(arrivals, pause_ns=self._max_wait_ns // 2))

    def _count(self, sets: list[CameraSet[T]]) -> list[CameraSet[T]]:
        for ready in sets:
            self._left_ns = ready.stamp_ns if self._left_ns is None else max(ready.stamp_ns, self._left_ns)
            self.counters.used += len(ready.items)
            self.counters.partial += bool(ready.missing)
            self.counters.joined += ready.joined
            self.counters.assembled += not ready.missing and not ready.joined
        return sets
