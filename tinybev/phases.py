"""When each camera of a rig fires within a revolution, given or learnt from the stamps of the stream.

A *revolution* is one round of the rig's trigger; camera c fires at ``start + phase_c`` of every revolution it does not
skip. Rigs differ: nuScenes' lidar triggers its cameras one after the other over 42.6 of 50 ms, a hardware trigger fires
all at once. ``stamp - phase_c`` is then the same for all images of one revolution, whatever skips or drifts.

Learning asks three questions of the last stamps of every camera:

1. *Is the rig known?* The phases of a known rig (nuScenes'), or none at all (simultaneous trigger), are recognised from
   one revolution, and verified as the stream goes on.
2. *Else, what are period and phases?* Consecutive stamps of one camera lie a whole number of periods apart: the
   largest period that nine in ten stamps of all cameras follow is refined by least squares, and leaves one phase a
   camera, modulo it. The tenth is for stamps that come late, as a driver's do that stamps what it receives: asked to
   explain those too, only a fraction of the true period would do.
3. *Where on that circle does a revolution begin?* Stamps alone need not tell: cameras spread evenly over a period look
   the same from every start. Each camera is tried as the first; the start that leaves the fewest incomplete
   revolutions and the shortest span wins: cost = incomplete revolutions / revolutions + span / period. So a burst is
   cut at its pause, and a rig that skips whole revolutions where it skips. Where neither speaks clearly, give the
   phases, or name the rig among the known ones.
"""

from __future__ import annotations

from bisect import bisect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from tinybev.errors import UserError

WINDOW = 32
"""Stamps kept of each camera."""

RECOGNISED_STAMPS = 4
"""Stamps of each camera that are compared with a known rig; few, so that a drifting period does not matter."""

RECOGNISED_WITHIN_NS = 1_000_000
"""How far a camera may be from the phase of a known rig; nuScenes' vehicles agree within 0.3 ms."""

MIN_STAMPS = 4
"""Stamps a camera needs before its phase is fitted."""

ABSENT_STAMPS = 12
"""Once one camera has so many stamps, the fit goes without those that have too few."""

MIN_REVOLUTIONS = 10
"""Revolutions that must be seen before the start of a revolution is chosen."""

PERIOD_TOLERANCE = 0.15
"""How far a stamp may be from where its camera fires, and two stamps from whole periods apart, in periods."""

FOLLOWING = 0.9
"""Share of the stamps that have to be within that; a late stamp spoils two distances, so of these twice as many may
not."""

AGREEMENT = 0.04
"""How far a camera's fitted phase may be from the one in use, in periods, before the fitted one replaces it."""

MAX_COMMON_DIVISOR = 6
"""The closest stamps of a camera are at most this many periods apart. Short periods explain anything."""

MIN_PERIOD_NS = 5_000_000
"""No rig is faster than 200 Hz."""


@dataclass(frozen=True)
class Rig:
    """Period of the trigger and phase of each camera, nanoseconds.

    A phase counts from the start of the revolution, all within one period. A camera without one is taken to fire in
    the middle of the period.
    """

    period_ns: int
    phases_ns: Mapping[str, int]

    @staticmethod
    def from_seconds(period_s: float, phases_s: Mapping[str, float]) -> Rig:
        """A rig from phases and period in seconds; UserError where the phases do not fit into one period."""
        if not period_s > 0:
            raise UserError(f"The period of the cameras must be above 0 s, not {period_s}; 0.05 is a 20 Hz trigger.")
        earliest = min(phases_s.values(), default=0.0)
        span_s = max(phases_s.values(), default=0.0) - earliest
        if not span_s < period_s:
            raise UserError(
                f"The phases of the cameras must lie within one period of {period_s} s, but they span {span_s:.4f} s; "
                "give the offset of each camera from the first one of the same revolution."
            )
        return Rig(
            period_ns=round(period_s * 1e9),
            phases_ns=MappingProxyType({name: round((phase - earliest) * 1e9) for name, phase in phases_s.items()}),
        )

    def start_ns(self, camera: str, stamp_ns: int) -> int:
        """The start of the revolution in which ``camera`` took an image at ``stamp_ns``."""
        return stamp_ns - self.phases_ns.get(camera, self.period_ns // 2)

    def same_revolution(self, start_a_ns: int, start_b_ns: int) -> bool:
        """Whether two starts, as ``start_ns`` gives them, are those of one revolution."""
        return 2 * abs(start_a_ns - start_b_ns) < self.period_ns


NUSCENES_RIG = Rig.from_seconds(
    0.05,
    {
        "CAM_FRONT_LEFT": 0.0,
        "CAM_FRONT": 0.0076,
        "CAM_FRONT_RIGHT": 0.0156,
        "CAM_BACK_RIGHT": 0.0232,
        "CAM_BACK": 0.0327,
        "CAM_BACK_LEFT": 0.0426,
    },
)
"""nuScenes' cameras after the start of the lidar's revolution; medians of its stamps."""


class PhaseLearner:
    """Learns the rig of ``cameras`` from their stamps; remembers ``WINDOW`` stamps of each, no images."""

    def __init__(self, cameras: Sequence[str], known_rigs: Sequence[Rig] = (NUSCENES_RIG,)) -> None:
        self._known_rigs = [rig for rig in known_rigs if set(cameras) <= set(rig.phases_ns)]
        self._stamps: dict[str, list[int]] = {camera: [] for camera in cameras}

    def observe(self, camera: str, stamp_ns: int) -> None:
        """Takes one stamp, in any order; one too close to another of its camera tells nothing and is left out."""
        stamps = self._stamps[camera]
        at = bisect(stamps, stamp_ns)
        if all(abs(stamp_ns - near) >= MIN_PERIOD_NS for near in stamps[max(0, at - 1) : at + 1]):
            stamps.insert(at, stamp_ns)
            del stamps[:-WINDOW]

    def forget(self, camera: str) -> None:
        """Forgets the stamps of one camera, as where its clock is wrong."""
        self._stamps[camera].clear()

    def clear(self) -> None:
        """Forgets all stamps, as after a jump of the clock."""
        for stamps in self._stamps.values():
            stamps.clear()

    def estimate(self) -> Rig | None:
        """The rig that explains the stamps, or None where they do not suffice yet."""
        return self._recognised() or self._simultaneous() or self._fitted()

    def refreshed(self, rig: Rig) -> Rig:
        """``rig`` where the stamps still agree with it, else the one that explains them.

        The start of a revolution is not chosen anew while the phases agree: no set is torn by a change of mind.
        """
        recognised = self._recognised()
        if recognised is not None:
            return recognised
        fitted = self._fitted()
        if fitted is None or _agree(rig, fitted, multiples=rig in self._known_rigs):
            return rig
        return fitted

    def _recognised(self) -> Rig | None:
        recent = {camera: stamps[-RECOGNISED_STAMPS:] for camera, stamps in self._stamps.items() if stamps}
        if len(recent) < min(4, len(self._stamps)):  # fewer cameras could agree by chance
            return None
        return next((rig for rig in self._known_rigs if _follows(recent, rig)), None)

    def _simultaneous(self) -> Rig | None:
        """All cameras within 2 ms of each other, at any rate up to 125 Hz."""
        if not all(self._stamps.values()):
            return None
        newest = [stamps[-1] for stamps in self._stamps.values()]
        if max(newest) - min(newest) > 2 * RECOGNISED_WITHIN_NS:
            return None
        return Rig(period_ns=8 * RECOGNISED_WITHIN_NS, phases_ns=MappingProxyType(dict.fromkeys(self._stamps, 0)))

    def _fitted(self) -> Rig | None:
        stamps = {camera: stamps for camera, stamps in self._stamps.items() if len(stamps) >= MIN_STAMPS}
        complete = len(stamps) == len(self._stamps)
        if not stamps or (not complete and max(map(len, stamps.values())) < ABSENT_STAMPS):
            return None
        origin = min(window[0] for window in stamps.values())
        times = {camera: np.array([stamp - origin for stamp in window], float) for camera, window in stamps.items()}
        for period in _periods(np.concatenate([np.diff(window) for window in times.values()])):
            phases = _phases(times, period)
            if phases is not None:
                return _with_start(times, *phases)
        return None


def _follows(recent: Mapping[str, Sequence[int]], rig: Rig) -> bool:
    """Whether every camera is at its phase of ``rig``, up to one shift that all share."""
    origin = min(stamps[0] for stamps in recent.values())
    radian_ns = rig.period_ns / (2 * np.pi)
    turns = np.array(
        [
            np.exp(1j * np.array([rig.start_ns(camera, stamp) - origin for stamp in stamps]) / radian_ns).mean()
            for camera, stamps in recent.items()
        ]
    )
    off_ns = np.abs(np.angle(turns * np.conj(turns.sum()))) * radian_ns
    return bool(off_ns.max() <= RECOGNISED_WITHIN_NS and np.abs(turns).min() > 0.9)


def _periods(distances: NDArray[np.float64]) -> list[float]:
    """What the period may be, ns, the largest first: ``distances`` of consecutive stamps, divided by small integers.

    Of distances the shortest says most where cameras skip, and the median where a late stamp made one too short.
    """
    found = []
    for distance in (np.median(distances), distances.min()):
        for divisor in range(1, MAX_COMMON_DIVISOR + 1):
            if distance / divisor < MIN_PERIOD_NS:
                break
            periods = np.round(distances / (distance / divisor))
            period = float(distances @ periods / (periods @ periods))
            follows = np.abs(distances - periods * period) <= PERIOD_TOLERANCE * period
            if follows.mean() >= 2 * FOLLOWING - 1:
                found.append(period)
    return sorted(found, reverse=True)


def _phases(times: Mapping[str, NDArray[np.float64]], period: float) -> tuple[float, dict[str, float]] | None:
    """Least squares of ``time = phase + index * period`` over all cameras; None where that is not what they follow.

    The phase is a median, which a late stamp does not move.
    """
    indices = {c: np.concatenate([[0.0], np.cumsum(np.round(np.diff(t) / period))]) for c, t in times.items()}
    centred = {c: (times[c] - times[c].mean(), indices[c] - indices[c].mean()) for c in times}
    squares = float(sum(i @ i for _, i in centred.values()))
    if squares == 0:
        return None
    period = float(sum(t @ i for t, i in centred.values())) / squares
    phases, follows = {}, []
    for camera, time in times.items():
        starts = time - indices[camera] * period
        phases[camera] = float(np.median(starts))
        follows.append(np.abs(starts - phases[camera]) <= PERIOD_TOLERANCE * period)
    return (period, phases) if np.concatenate(follows).mean() >= FOLLOWING else None


def _with_start(times: Mapping[str, NDArray[np.float64]], period: float, phases: Mapping[str, float]) -> Rig | None:
    """The rig whose first camera leaves the fewest incomplete revolutions and the shortest span."""
    since = max(
        (time[0] for time in times.values() if len(time) == WINDOW), default=0.0
    )  # all windows reach back to it
    best: tuple[float, dict[str, float]] | None = None
    for first in phases:
        offsets = {camera: (phase - phases[first]) % period for camera, phase in phases.items()}
        starts = np.concatenate([time[time >= since] - offsets[camera] for camera, time in times.items()])
        _, images = np.unique(np.round((starts - phases[first]) / period), return_counts=True)
        closed = images[:-1]  # the last revolution may still be under way
        if len(closed) < MIN_REVOLUTIONS:
            return None
        cost = float(np.mean(closed < len(phases))) + max(offsets.values()) / period
        if best is None or cost < best[0]:
            best = cost, offsets
    if best is None:
        return None
    return Rig(round(period), MappingProxyType({camera: round(offset) for camera, offset in best[1].items()}))


def _agree(rig: Rig, fitted: Rig, multiples: bool) -> bool:
    """Whether ``fitted`` has the phases of ``rig``, up to one shift, and its period, or with ``multiples`` some of it.

    A known rig stays itself while its cameras take every second turn. A learnt one may have been learnt too short.
    """
    if not set(fitted.phases_ns) <= set(rig.phases_ns):
        return False
    multiple = max(1, round(fitted.period_ns / rig.period_ns)) if multiples else 1
    if abs(fitted.period_ns - multiple * rig.period_ns) > 0.05 * rig.period_ns:
        return False
    turns = np.array(
        [np.exp(2j * np.pi * (phase - rig.phases_ns[c]) / rig.period_ns) for c, phase in fitted.phases_ns.items()]
    )
    return bool(np.abs(np.angle(turns * np.conj(turns.sum()))).max() <= 2 * np.pi * AGREEMENT)
