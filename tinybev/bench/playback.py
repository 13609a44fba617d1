"""Figures of a recording that was played through a node in real time: ages, rates, shares; from stamps alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np


class Heard(NamedTuple):
    """A message as a subscriber got it.

    Attributes:
        stamp_ns: what it says: of a result its header's stamp, of the clock the time.
        arrival_ns: when it came, on the subscriber's steady clock.
    """

    stamp_ns: int
    arrival_ns: int


@dataclass(frozen=True)
class Playback:
    """What a subscriber heard of one play.

    Attributes:
        clock: the player's.
        results: one message of each result, the last of its messages to leave.
        exposures_ns: of every set of images in the recording, growing; see :func:`set_exposures`.
    """

    clock: Sequence[Heard]
    results: Sequence[Heard]
    exposures_ns: Sequence[int]


@dataclass(frozen=True)
class Freshness:
    """What became of the sets of images that were exposed after the warm-up.

    Attributes:
        sets_per_s, results_per_s: by the time that was played.
        used_share: results by sets of images, 0 to 1.
        age_p50_ms, age_p95_ms: from the exposure of a result's newest image to its arrival at the subscriber; None
            where no result came.
        results, sets: how many.
    """

    sets_per_s: float
    results_per_s: float
    used_share: float
    age_p50_ms: float | None
    age_p95_ms: float | None
    results: int
    sets: int


def freshness(playback: Playback, warm_up_s: float) -> Freshness:
    """The figures of a play.

    Args:
        playback: in real time (rate 1).
        warm_up_s: sets exposed within so many seconds of the first one do not count, nor do their results.
    """
    since_ns = playback.exposures_ns[0] + round(1e9 * warm_up_s) if playback.exposures_ns else 0
    exposures = [stamp for stamp in playback.exposures_ns if stamp >= since_ns]
    results = [heard for heard in playback.results if heard.stamp_ns >= since_ns]
    ages_ms = ages(playback.clock, results)
    duration_s = _duration_s(exposures)
    return Freshness(
        sets_per_s=len(exposures) / duration_s,
        results_per_s=len(results) / duration_s,
        used_share=len({heard.stamp_ns for heard in results}) / len(exposures) if exposures else 0.0,
        age_p50_ms=percentile(ages_ms, 50),
        age_p95_ms=percentile(ages_ms, 95),
        results=len(results),
        sets=len(exposures),
    )


def ages(clock: Sequence[Heard], results: Sequence[Heard]) -> list[float]:
    """Of each result on the player's clock, milliseconds.

    The player says the time every 20 ms only. Between those the subscriber's own clock tells it: both run at the same
    speed, and the clock message that was the fastest tells how far apart they are. While the player waits for the node
    it repeats the time at which it will begin; those messages tell nothing.
    """
    apart_ns = [heard.arrival_ns - heard.stamp_ns for heard in clock if heard.stamp_ns > clock[0].stamp_ns]
    return [1e-6 * (heard.arrival_ns - min(apart_ns) - heard.stamp_ns) for heard in results] if apart_ns else []


def set_exposures(stamps_ns: Mapping[str, Sequence[int]]) -> list[int]:
    """One stamp for every set of images, growing: those of the camera that has most images, the last to fire of such.

    Args:
        stamps_ns: of the images by camera, in any order.
    """
    cameras = [sorted(stamps) for stamps in stamps_ns.values() if stamps]
    return max(cameras, key=lambda stamps: (len(stamps), stamps[-1]), default=[])


def percentile(values: Sequence[float], percent: float) -> float | None:
    """Linear between the values; None of none."""
    return float(np.percentile(values, percent)) if values else None


def outside_share(frame_ms: float, network_ms: float) -> float:
    """What of a frame is not the network, 0 to 1."""
    return 1.0 - network_ms / frame_ms


def _duration_s(exposures_ns: Sequence[int]) -> float:
    """Of so many sets, each as long as they are apart on average."""
    if len(exposures_ns) < 2:
        return 1.0
    return 1e-9 * (exposures_ns[-1] - exposures_ns[0]) * len(exposures_ns) / (len(exposures_ns) - 1)
