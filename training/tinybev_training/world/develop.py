"""From linear light to the bytes of a picture: exposure, grain, smooth edges, and what is wrong with the lens."""

from __future__ import annotations

import hashlib
import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import avg_pool2d, conv2d, grid_sample, pad

from tinybev_training.world.lighting import Light
from tinybev_training.world.noise import TILE, grain_tile
from tinybev_training.world.weather import Weather

GRAIN = 0.011
EDGE_THRESHOLD = 0.06
DROP_NS = 6_000_000_000
"""How long a drop stays on a lens; ours."""


def develop(radiance: Tensor, light: Light, weather: Weather, stamp_ns: int, camera: str) -> NDArray[np.uint8]:
    """A picture (H, W, 3) uint8 of linear radiance (3, H, W); grain and drops depend on stamp, camera and weather."""
    rng = _random(f"{stamp_ns}{camera}")
    image = _glare(radiance) if light.night > 0.2 else radiance
    exposure = light.exposure * (1 + 0.03 * float(rng.standard_normal()))
    x = image * exposure
    # The usual filmic curve: dark stays dark, bright never burns out at once.
    x = (x * (2.51 * x + 0.03)) / (x * (2.43 * x + 0.59) + 0.14)
    x = x.clamp_(0, 1).pow_(1 / 2.2)
    x = smooth_edges(x)
    if weather.rain > 0:
        x = _drops(x, weather.rain, stamp_ns, camera)
    if weather.blur > 0:
        x = _blurred(x, weather.blur * 0.008 * x.shape[2])
    height, width = x.shape[1:]
    dx, dy = (int(v) for v in rng.integers(0, TILE, 2))
    device = x.device
    rows = ((torch.arange(height, device=device) + dy) & (TILE - 1)) * TILE
    columns = (torch.arange(width, device=device) * 1 + dx) & (TILE - 1)
    grain = grain_tile(device)[rows[:, None] + columns[None, :]]
    strength = GRAIN * (1 + 1.6 * light.night)
    x = x + strength * grain
    x = x * vignette(height, width, device)
    return (x.clamp_(0, 1) * 255 + 0.5).to(torch.uint8).permute(1, 2, 0).contiguous().cpu().numpy()


def vignette(height: int, width: int, device: torch.device) -> Tensor:
    """(H, W) how much darker the corners are."""
    y = torch.linspace(-1, 1, height, device=device)[:, None] * height / width
    x = torch.linspace(-1, 1, width, device=device)[None, :]
    return 1 - 0.10 * (x * x + y * y)


def smooth_edges(image: Tensor) -> Tensor:
    """Blends pixels at edges of contrast along the edge (3, H, W): one ray a pixel leaves stairs."""
    luma = (0.3 * image[0] + 0.59 * image[1] + 0.11 * image[2])[None, None]
    p = pad(luma, (1, 1, 1, 1), mode="replicate")[0, 0]
    c = p[1:-1, 1:-1]
    n, s, w, e = p[:-2, 1:-1], p[2:, 1:-1], p[1:-1, :-2], p[1:-1, 2:]
    low = torch.minimum(torch.minimum(n, s), torch.minimum(w, e)).minimum(c)
    high = torch.maximum(torch.maximum(n, s), torch.maximum(w, e)).maximum(c)
    contrast = high - low
    across = (n + s - 2 * c).abs()
    beside = (w + e - 2 * c).abs()
    edge = (contrast > EDGE_THRESHOLD * (0.5 + high)).to(image.dtype)
    # Where the step is up and down, blend up and down; a pixel that stands out of its row is blended more.
    average = 0.25 * (n + s + w + e)
    amount = edge * (((average - c).abs() / contrast.clamp(min=1e-3)).clamp(0, 1) * 0.75)
    vertical = (across >= beside).to(image.dtype)
    q = pad(image[None], (1, 1, 1, 1), mode="replicate")[0]
    up_down = 0.5 * (q[:, :-2, 1:-1] + q[:, 2:, 1:-1])
    left_right = 0.5 * (q[:, 1:-1, :-2] + q[:, 1:-1, 2:])
    blend = left_right + vertical * (up_down - left_right)
    return image + amount * (blend - image)


def _blurred(image: Tensor, sigma: float) -> Tensor:
    reach = max(1, math.ceil(2.5 * sigma))
    x = torch.arange(-reach, reach + 1, device=image.device, dtype=image.dtype)
    kernel = torch.exp(-0.5 * (x / max(sigma, 0.2)) ** 2)
    kernel = (kernel / kernel.sum()).expand(3, 1, -1)
    smooth = conv2d(pad(image[None], (reach, reach, 0, 0), mode="replicate"), kernel.unsqueeze(2), groups=3)
    return conv2d(pad(smooth, (0, 0, reach, reach), mode="replicate"), kernel.unsqueeze(3), groups=3)[0]


def _glare(image: Tensor) -> Tensor:
    """Bright lamps spill over their surroundings."""
    bright = (image - 0.9).clamp(min=0, max=3)
    small = avg_pool2d(bright[None], 4, ceil_mode=True)[0]
    halo = 0.6 * _blurred(small, 2.0) + 0.4 * _blurred(small, 6.0)
    grown = torch.nn.functional.interpolate(halo[None], size=image.shape[1:], mode="bilinear", align_corners=False)[0]
    return image + 0.55 * grown


def _random(name: str) -> np.random.Generator:
    return np.random.default_rng(int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big"))


def _drops(image: Tensor, strength: float, stamp_ns: int, camera: str) -> Tensor:
    """Drops on the lens, each a small lens that shows its surroundings upside down, unsharp.

    A drop stays for ``DROP_NS``, then another falls elsewhere; they do so by turns.
    """
    height, width = image.shape[1:]
    soft = _blurred(image, 0.004 * width)
    y, x = torch.meshgrid(
        torch.linspace(-1, 1, height, device=image.device),
        torch.linspace(-1, 1, width, device=image.device),
        indexing="ij",
    )
    shift_x, shift_y, cover = torch.zeros_like(x), torch.zeros_like(x), torch.zeros_like(x)
    ratio = width / height
    count = int(10 + 60 * strength)
    for number in range(count):
        fallen = (stamp_ns + number * DROP_NS // count) // DROP_NS
        rng = _random(f"drop {number} {fallen} {camera}")
        cx, cy = rng.uniform(-1, 1, 2)
        radius = float(rng.gamma(2.0, 0.010 + 0.010 * strength) + 0.008)
        x0, x1 = ((np.array([cx - radius, cx + radius]) + 1) / 2 * width).clip(0, width).astype(int)
        y0, y1 = (
            ((np.array([cy - radius * ratio * 1.2, cy + radius * ratio * 1.2]) + 1) / 2 * height)
            .clip(0, height)
            .astype(int)
        )
        if x1 <= x0 or y1 <= y0:
            continue
        px, py = (x[y0:y1, x0:x1] - float(cx)) / radius, (y[y0:y1, x0:x1] - float(cy)) / (radius * ratio * 1.15)
        inside = ((1 - px * px - py * py) * 2.5).clamp(0, 1)
        cover[y0:y1, x0:x1] = torch.maximum(cover[y0:y1, x0:x1], inside)
        shift_x[y0:y1, x0:x1] = torch.where(inside > 0, -px * radius * 4.0, shift_x[y0:y1, x0:x1])
        shift_y[y0:y1, x0:x1] = torch.where(inside > 0, -py * radius * 6.0, shift_y[y0:y1, x0:x1])
    grid = torch.stack([x + shift_x, y + shift_y], dim=2)[None]
    seen = grid_sample(soft[None], grid, padding_mode="border", align_corners=True)[0]
    return image + cover * (seen * 1.03 - image)
