"""The sun by day and by night, and what lies on the lens."""

from __future__ import annotations

import numpy as np
import torch
from tinybev_training.world.develop import DROP_NS, develop
from tinybev_training.world.lighting import Light
from tinybev_training.world.weather import Weather

WEATHER = Weather(rain=0.6)


def picture(stamp_ns: int, camera: str = "CAM_FRONT") -> np.ndarray:
    """A coarse chequerboard seen through the drops."""
    rows, columns = torch.meshgrid(torch.arange(90), torch.arange(160), indexing="ij")
    board = 0.1 + 0.6 * (((rows // 10) + (columns // 10)) % 2).float()
    radiance = board.expand(3, -1, -1).contiguous()
    return develop(radiance, Light.of(WEATHER, torch.device("cpu")), WEATHER, stamp_ns, camera).astype(int)


def test_the_sun_is_down_from_the_first_of_the_night() -> None:
    day, dusk, night = (Light.of(Weather(night=night), torch.device("cpu")) for night in (0.0, 0.01, 1.0))
    assert float(day.sun.min()) > 1
    assert float(dusk.sun.max()) == float(night.sun.max()) == 0
    assert float(dusk.zenith.min()) > 10 * float(night.zenith.min())  # the sky is still light


def test_drops_stay_fall_by_turns_and_differ_between_cameras() -> None:
    start = 1_600_000_000_000_000_000

    def changed(other: np.ndarray) -> float:
        return float((np.abs(other - picture(start)).max(axis=2) > 40).mean())

    soon, later = changed(picture(start + DROP_NS // 20)), changed(picture(start + DROP_NS))
    assert soon < 0.25 * later
    assert 0.3 * later < changed(picture(start + DROP_NS // 2)) < later
    assert changed(picture(start, "CAM_BACK")) > 0.5 * later
