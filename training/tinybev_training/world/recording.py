"""How scenes are recorded: sizes and rates."""

from __future__ import annotations

from dataclasses import dataclass

from tinybev.errors import UserError
from tinybev_training.world.keyframes import KEYFRAME_NS


@dataclass(frozen=True)
class Recording:
    """How scenes are recorded.

    Attributes:
        height, width: of the pictures.
        camera_hz: pictures a second and camera, a multiple of the 2 Hz of the keyframes; those between are sweeps.
        quality: of the JPEGs.
    """

    height: int = 450
    width: int = 800
    camera_hz: int = 2
    quality: int = 92

    def __post_init__(self) -> None:
        if self.camera_hz < 2 or self.camera_hz % 2 or KEYFRAME_NS % (self.camera_hz // 2):
            raise UserError(f"expected a camera rate of 2, 4, 8, 10, 16 or 20 Hz, got {self.camera_hz}.")
        if self.height < 32 or self.width < 32:
            raise UserError(f"expected pictures of at least 32 x 32 pixels, got {self.width} x {self.height}.")

    @property
    def camera_period_ns(self) -> int:
        """Time between the pictures of one camera."""
        return 2 * KEYFRAME_NS // self.camera_hz
