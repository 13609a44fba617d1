"""Walls of houses: storeys, windows, frames and shop fronts, computed where a ray hits."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from tinybev_training.world.noise import look_up, smooth_tile

STOREY_M = 3.1


@dataclass(frozen=True)
class FacadeLook:
    """What N points on walls are like: (3, N) reflectance, (N,) gloss, (3, N) light that comes out of windows."""

    albedo: Tensor
    gloss: Tensor
    emitted: Tensor


def facade_look(
    points: Tensor, normals: Tensor, base: Tensor, seed: Tensor, footprint: Tensor, night: float
) -> FacadeLook:
    """The wall at points (3, N) with normals (3, N).

    Args:
        points, normals: where, in metres.
        base: (3, N) colour of the wall.
        seed: (N,) 0 to 1, the same for a whole house; everything that differs between houses comes from it.
        footprint: (N,) metres that a pixel covers.
        night: 0 to 1.
    """
    footprint = footprint.clamp(min=0.01)
    along = points[1] * normals[0] - points[0] * normals[1] + 1000.0
    height = points[2]
    pitch = 2.3 + 1.6 * seed
    u, v = along / pitch, height * (1 / STOREY_M)
    column, row = u.floor(), v.floor()
    fu, fv = u - column - 0.5, v - row - 0.5
    shop = (row < 0.5) & (_share(seed, 13) > 0.45)
    half_u = torch.where(shop, 0.44, 0.24 + 0.16 * _share(seed, 7))
    from_side = (half_u - fu.abs()) * pitch
    from_sill = (torch.where(shop, 0.36, 0.29) - (fv + 0.02).abs()) * STOREY_M
    inside = torch.minimum(from_side, from_sill)

    def within(margin: Tensor | float) -> Tensor:
        return (0.5 + margin / footprint).clamp_(0, 1)

    frame = within(inside + 0.10)
    mullion = within(0.03 - fu.abs() * pitch) * (pitch > 2.8)
    pane = within(inside - 0.055) * (1 - 0.9 * mullion)
    tile = smooth_tile(points.device)
    pick = look_up(tile, column * 37 + seed * 977 + 8192, row * 53 + 8192)
    bright = base.mean(dim=0)
    course = ((height * 11.0) % 1.0 - 0.5).abs()
    mortar = 0.18 * ((course - 0.40) * 8).clamp_(0, 1) * (0.05 / footprint).clamp_(max=1) * (bright < 0.32)
    stain = 0.06 * look_up(tile, along * 2.3 + 8192, height * 1.1 + 8192) - 0.10 * (1 - height / 3).clamp_(0, 1)
    ledge = within(0.07 - (v - v.round()).abs() * STOREY_M) * ((row > 0) & (_share(seed, 5) > 0.4))
    wall = base * (1 + stain + mortar + 0.18 * ledge)
    trim = torch.where(bright > 0.42, base * 0.55, base * 0.4 + 0.38)
    color = torch.lerp(wall, trim, frame)
    warm_grey = torch.tensor([1.0, 0.97, 0.92], device=points.device)[:, None]
    behind = warm_grey * (0.03 + 0.10 * (pick > 0.7) + 0.02 * pick.clamp(-1, 1))
    color = torch.lerp(color, behind, pane)
    lamp = torch.tensor([0.80, 0.59, 0.34], device=points.device)[:, None]
    emitted = lamp * ((pick > 0.55) * night * (0.55 + 0.2 * pick) * pane)
    return FacadeLook(color, pane * 0.85, emitted)


def _share(seed: Tensor, turns: int) -> Tensor:
    """Another number from 0 to 1 out of the same seed."""
    return (seed * turns) % 1.0
