"""Light, weather and damage on request, each with a strength from 0 to 1."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields, replace

import numpy as np

from tinybev.errors import UserError
from tinybev.types import CAMERAS


@dataclass(frozen=True)
class Weather:
    """What the day is like.

    Attributes:
        sun_azimuth: radians in the scenario's frame, towards the sun.
        sun_elevation: radians above the horizon.
        clouds: 0 a clear sky, 1 an overcast one without shadows.
        night: 0 day, 1 night with street lamps and headlights; between them the sun is down and the sky still light.
        fog: 0 clear, 1 some 35 m of sight.
        rain: 0 dry, 1 a wet road and drops all over the lenses.
        blur: 0 sharp, 1 badly out of focus.
        dead: cameras that give no picture at all.
    """

    sun_azimuth: float = 0.8
    sun_elevation: float = 0.75
    clouds: float = 0.25
    night: float = 0.0
    fog: float = 0.0
    rain: float = 0.0
    blur: float = 0.0
    dead: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("clouds", "night", "fog", "rain", "blur"):
            value = getattr(self, name)
            if not 0.0 <= value <= 1.0:
                raise UserError(f"expected {name} to be a strength from 0 to 1, got {value}.")
        if not 0.0 < self.sun_elevation < math.pi / 2 or not math.isfinite(self.sun_azimuth):
            raise UserError(
                "expected a sun above the horizon, sun_elevation from 0 to 1.57 and any sun_azimuth in radians, got "
                f"{self.sun_elevation} and {self.sun_azimuth}; for the dark there is night."
            )
        unknown = [name for name in self.dead if name not in CAMERAS]
        if unknown:
            raise UserError(f"expected a camera out of {', '.join(CAMERAS)}, got {unknown[0]!r}.")


def draw_weather(rng: np.random.Generator) -> Weather:
    """An ordinary day: any sun, some clouds; now and then dusk, mist or wet roads."""
    kind = rng.random()
    return Weather(
        sun_azimuth=float(rng.uniform(-math.pi, math.pi)),
        sun_elevation=float(rng.uniform(0.35, 1.15)),
        clouds=float(rng.uniform(0, 0.5) if rng.random() < 0.75 else rng.uniform(0.6, 1.0)),
        night=float(rng.uniform(0.7, 1.0)) if kind < 0.10 else 0.0,
        fog=float(rng.uniform(0.1, 0.6)) if 0.10 <= kind < 0.18 else 0.0,
        rain=float(rng.uniform(0.2, 0.7)) if 0.18 <= kind < 0.26 else 0.0,
    )


def with_strengths(weather: Weather, assignments: list[str]) -> Weather:
    """``weather`` with ``name=strength`` replaced, e.g. ``fog=0.6``; ``dead=CAM_BACK`` switches a camera off.

    Raises:
        UserError: an assignment has another form, or the name is none of ``Weather``'s.
    """
    known = [field.name for field in fields(Weather)]
    for assignment in assignments:
        name, _, value = assignment.partition("=")
        if name not in known or not value:
            raise UserError(f"expected NAME=STRENGTH with a name out of {', '.join(known)}, got {assignment!r}.")
        if name == "dead":
            weather = replace(weather, dead=(*weather.dead, value.upper()))
            continue
        try:
            number = float(value)
        except ValueError as error:
            raise UserError(f"expected a number after {name}=, got {value!r}.") from error
        weather = Weather(**{**asdict(weather), name: number})
    return weather
