"""What became of the images that the synchronizer was given."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class SyncCounters:
    """What became of the images and how many sets left; images that are still held are in ``received`` alone.

    Attributes:
        received: images by camera.
        used: images that left in a set.
        late: images whose revolution had left, or that belong to the time before a jump of the clock.
        duplicates: images with a stamp that their camera had delivered before.
        dropped: second images of a camera in one revolution.
        wrong_clock: images of a camera that is set aside, as its stamps are far from those of the others.
        assembled: sets with all cameras from one revolution.
        joined: sets with all cameras from two revolutions.
        partial: sets that lack cameras.
        resets: jumps of the clock.
    """

    received: dict[str, int] = field(default_factory=dict)
    used: int = 0
    late: int = 0
    duplicates: int = 0
    dropped: int = 0
    wrong_clock: int = 0
    assembled: int = 0
    joined: int = 0
    partial: int = 0
    resets: int = 0
