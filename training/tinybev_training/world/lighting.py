"""Light: the sun, the sky, fog and the lamps of the night, as a handful of numbers.

Here and wherever many pixels are computed, vectors lie in planes: (3, N), not (N, 3). Arithmetic on planes is several
times as fast on a CPU.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from tinybev_training.world.noise import TILE, look_up, smooth_tile
from tinybev_training.world.weather import Weather


@dataclass(frozen=True)
class Light:
    """Linear radiance; tensors (3,) of red, green, blue, or of x, y, z.

    Attributes:
        to_sun: unit vector.
        sun: of direct sunlight on a surface that faces it.
        zenith, horizon: of the sky.
        bounce: what comes back from the ground.
        clouds: 0 to 1.
        fog: extinction per metre, ``fog_color`` its radiance.
        night: 0 to 1.
        wet: 0 to 1.
        exposure: of the cameras.
    """

    to_sun: Tensor
    sun: Tensor
    zenith: Tensor
    horizon: Tensor
    bounce: Tensor
    clouds: float
    fog: float
    fog_color: Tensor
    night: float
    wet: float
    exposure: float

    @classmethod
    def of(cls, weather: Weather, device: torch.device) -> Light:
        """The light of a weather."""

        def rgb(*values: float) -> Tensor:
            return torch.tensor(values, dtype=torch.float32, device=device)

        elevation = weather.sun_elevation
        to_sun = rgb(
            math.cos(elevation) * math.cos(weather.sun_azimuth),
            math.cos(elevation) * math.sin(weather.sun_azimuth),
            math.sin(elevation),
        )
        day = 1.0 - weather.night
        cover = max(weather.clouds, weather.fog, 0.8 * weather.rain)
        low = max(0.0, 1.0 - elevation / 0.7)
        up = weather.night == 0  # by night, also in the dusk, nothing casts a shadow
        sun = rgb(2.6, 2.45 - 0.35 * low, 2.2 - 0.9 * low) * (up * (1 - cover) ** 1.3)
        grey = rgb(0.78, 0.80, 0.83)
        dark = rgb(0.006, 0.007, 0.011)
        zenith = (rgb(0.26, 0.46, 0.86) * (1 - cover) + 0.80 * grey * cover) * day + dark * weather.night
        horizon = (rgb(0.80, 0.88, 0.98) * (1 - cover) + 0.95 * grey * cover) * day + 2.2 * dark * weather.night
        fog_color = 0.9 * grey * day + rgb(0.035, 0.034, 0.036) * weather.night
        return cls(
            to_sun=to_sun,
            sun=sun,
            zenith=zenith,
            horizon=horizon,
            bounce=rgb(0.30, 0.29, 0.27) * day + 0.7 * dark * weather.night,
            clouds=weather.clouds,
            fog=0.0009 + 0.085 * weather.fog**1.6 + 0.006 * weather.rain,
            fog_color=fog_color,
            night=weather.night,
            wet=weather.rain,
            exposure=0.68 + 0.22 * cover + 0.35 * weather.night,
        )


def sky_color(light: Light, directions: Tensor) -> Tensor:
    """The sky (3, N) seen along unit directions (3, N), clouds and the sun's glow included."""
    x, y, z = directions
    up = z.clamp(min=0.0)
    color = torch.lerp(light.zenith[:, None], light.horizon[:, None], (1 - up).pow(5))
    plane = 260.0 / (up + 0.12)
    drift = look_up(smooth_tile(z.device), x * plane + 4096, y * plane + 4096)
    cloud = ((drift - 1.0 + 2.2 * light.clouds) * 0.55).clamp_(0, 1) * (up * 6).clamp_(0, 1)
    white = light.horizon * 1.08 + light.sun * 0.05
    color = torch.lerp(color, white[:, None], 0.85 * cloud)
    color = torch.lerp(color, _skyline_color(light)[:, None], _skyline(x, y, z))
    toward = (light.to_sun @ directions).clamp_(min=0)
    toward = toward * toward
    glow = toward.pow(6) * 0.10 + toward.pow(160) * 0.8 + toward.pow(2000) * 12.0
    return color + light.sun[:, None] * (glow * (1 - 0.8 * cloud))


def _skyline(x: Tensor, y: Tensor, z: Tensor) -> Tensor:
    """1 where hills and far houses cover the sky above the horizon, by azimuth."""
    tile = smooth_tile(x.device)
    azimuth = torch.atan2(y, x) * (TILE / (2 * math.pi)) + TILE
    low = azimuth.floor()
    row = torch.zeros_like(low)
    hills = torch.lerp(look_up(tile, low, row), look_up(tile, low + 1, row), azimuth - low)
    block = (azimuth * 1.7).floor()
    houses = look_up(tile, block * 41, row + 77).clamp_(min=0) * 0.011
    return ((0.018 + 0.010 * hills + houses - z) * 900).clamp_(0, 1)


def _skyline_color(light: Light) -> Tensor:
    """Far things take the colour of the air before them."""
    return 0.66 * light.horizon + 0.05 * light.bounce


def ambient_light(light: Light, normal_z: Tensor) -> Tensor:
    """What the sky and the ground give a surface whose normal has that z (N,): (3, N)."""
    sky = 0.62 * light.zenith + 0.38 * light.horizon
    return torch.lerp(0.82 * light.bounce[:, None], 0.82 * sky[:, None], normal_z * 0.5 + 0.5)
