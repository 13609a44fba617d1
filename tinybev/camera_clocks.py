"""Cameras whose header stamps are not on the clock of the others: ahead or behind by more than images may wait.

One such camera would spoil the frames of all: its stamps of the future close what the others have still to deliver. So
it is set aside until its stamps are right, as if it were dead.

Only stamps are compared, with what was known one image of the camera earlier, and no time of arrival: a recording may
be played at any speed, and cameras may fire in turn and skip. A camera is *ahead* where the others, after a whole
interval of it, have not come near its image before, and *behind* where it has not come near to where they were at its
image before. The others are those that sent something in between, at least half of them; their clock is the lower
median of their newest stamps, so of two halves that differ it is the later one that is set aside.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

PATIENCE = 3
"""Images in a row that are off before their camera is set aside: a single one may be anything."""


@dataclass
class _Clock:
    """What is known of a camera: its newest stamp and where the others were then; when it came, counted in images."""

    stamp_ns: int | None = None
    others_ns: int | None = None
    heard_at: int = 0
    off_ns: int = 0
    off_in_a_row: int = 0


class CameraClocks:
    """Watches the stamps of ``cameras``; ``tolerance_ns`` is how far they may be apart."""

    def __init__(self, cameras: Sequence[str], tolerance_ns: int) -> None:
        self._tolerance_ns = tolerance_ns
        self._clocks = {camera: _Clock() for camera in cameras}
        self._heard = 0

    @property
    def offsets_ns(self) -> Mapping[str, int]:
        """The cameras that are set aside, and about how far they are ahead of the others; negative: behind."""
        return {name: clock.off_ns for name, clock in self._clocks.items() if clock.off_in_a_row >= PATIENCE}

    def is_off(self, camera: str, stamp_ns: int) -> bool:
        """Takes a stamp, and tells whether its camera is set aside."""
        clock = self._clocks[camera]
        before_ns, others_before_ns = clock.stamp_ns, clock.others_ns
        others_ns = self._others_ns(clock, stamp_ns)
        self._heard += 1
        clock.heard_at, clock.stamp_ns, clock.others_ns = self._heard, stamp_ns, others_ns
        if others_ns is not None and before_ns is not None:
            ahead = before_ns > others_ns + self._tolerance_ns
            behind = others_before_ns is not None and stamp_ns < others_before_ns - self._tolerance_ns
            clock.off_in_a_row = clock.off_in_a_row + 1 if ahead or behind else 0
            clock.off_ns = stamp_ns - others_ns
        return clock.off_in_a_row >= PATIENCE

    def jumped(self) -> None:
        """The clock of all jumped: nothing can be compared with what was before."""
        for clock in self._clocks.values():
            clock.stamp_ns = clock.others_ns = None

    def _others_ns(self, clock: _Clock, stamp_ns: int) -> int | None:
        """Where the others are, and ``clock`` at ``stamp_ns`` with them; None where too few sent since its last."""
        stamps = [other.stamp_ns for other in self._clocks.values() if other.heard_at > clock.heard_at]
        if 2 * len(stamps) < len(self._clocks) - 1:
            return None
        known = sorted(stamp for stamp in (*stamps, stamp_ns) if stamp is not None)
        return known[(len(known) - 1) // 2]
