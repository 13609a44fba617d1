"""How images are grouped to sets: what the user of the synchronizer may choose."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from tinybev.errors import UserError
from tinybev.phases import NUSCENES_RIG, Rig
from tinybev.types import CAMERAS


class IncompletePolicy(str, Enum):
    """What becomes of a revolution that some cameras skipped.

    JOIN is the default: nuScenes' cameras often skip in halves that follow each other within 40.5 ms, no wider than a
    revolution, and a network sees all around with the pair where it would see two or four images of six. It costs
    that the first half waits for the second. What has no complement leaves as it is, as all does with PARTIAL.
    """

    JOIN = "join"
    PARTIAL = "partial"


@dataclass(frozen=True)
class SyncOptions:
    """How images are grouped.

    Attributes:
        cameras: the cameras of a complete set; the order of every set.
        max_wait_s: how long an incomplete revolution waits after the arrival of its first image. It has to cover the
            span of the phases and the jitter of the transport.
        phases_s: offset of each camera from the start of its revolution; None: learnt from the stream.
        period_s: time between revolutions; given with the phases, None otherwise.
        incomplete: what becomes of an incomplete revolution.
        known_rigs: rigs that are recognised from their first revolution while phases are learnt.
        learning_s: how long images are held at most until the phases are learnt.
        max_images: how many images are held at most.

    Raises:
        UserError: options that contradict each other or are out of range.
    """

    cameras: tuple[str, ...] = CAMERAS
    max_wait_s: float = 0.1
    phases_s: Mapping[str, float] | None = None
    period_s: float | None = None
    incomplete: IncompletePolicy = IncompletePolicy.JOIN
    known_rigs: tuple[Rig, ...] = (NUSCENES_RIG,)
    learning_s: float = 1.5
    max_images: int = 96

    def __post_init__(self) -> None:
        if not self.cameras or len(set(self.cameras)) != len(self.cameras):
            raise UserError(f"cameras must name each camera once, but it is {list(self.cameras)}; correct the list.")
        if not 0 < self.max_wait_s < float("inf"):
            raise UserError(f"max_wait_s must be a time above 0 s, not {self.max_wait_s}; 0.1 suits a 20 Hz rig.")
        if not self.learning_s >= 0:
            raise UserError(f"learning_s must be 0 s or more, not {self.learning_s}; 1.5 is the default.")
        if self.max_images < len(self.cameras):
            raise UserError(
                f"max_images must hold one set of {len(self.cameras)} images at least, not {self.max_images}; raise it."
            )
        if (self.phases_s is None) != (self.period_s is None):
            raise UserError("phases_s and period_s belong together; give both, or neither to learn them.")
        if self.phases_s is not None and set(self.phases_s) != set(self.cameras):
            raise UserError(
                f"phases_s must give one offset for each of {sorted(self.cameras)}, but it has "
                f"{sorted(self.phases_s)}; correct its keys."
            )
        self.given_rig()

    def given_rig(self) -> Rig | None:
        """The rig of ``phases_s`` and ``period_s``, or None where it is to be learnt."""
        if self.phases_s is None or self.period_s is None:
            return None
        return Rig.from_seconds(self.period_s, self.phases_s)
