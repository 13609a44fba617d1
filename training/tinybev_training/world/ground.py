"""The ground: asphalt, pavement, paint and grass, as a table of distances to their edges.

A table of colours would be coarse near the camera and would flicker far away. Distances to edges can be interpolated:
near, every line has a sharp edge; far away its share of the pixel's footprint on the ground is known, along and across.
Eight bytes a cell, read with one gather.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from tinybev_training.world.distance_field import CELL_M, STEPS_PER_M
from tinybev_training.world.lighting import Light
from tinybev_training.world.noise import look_up, smooth_tile

ASPHALT, PAVEMENT, PAINT, NORMAL_X, NORMAL_Y, YELLOW, LIT, TONE = range(8)


@dataclass(frozen=True)
class Ground:
    """The table: (rows, columns, 8) bytes, ``origin`` (2,) the x and y of the middle of cell (0, 0)."""

    table: Tensor
    origin: tuple[float, float]

    def cells(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Bytes (8, N) as floats at points (N,), interpolated, and whether (N,) the table reaches there."""
        rows, columns, _ = self.table.shape
        packed = self.table.view(torch.int64).view(-1)
        u = (x - self.origin[0]) * (1 / CELL_M)
        v = (y - self.origin[1]) * (1 / CELL_M)
        u0, v0 = u.floor(), v.floor()
        fu, fv = u - u0, v - v0
        inside = (u0 >= 0) & (u0 < columns - 1) & (v0 >= 0) & (v0 < rows - 1)
        index = v0.clamp_(0, rows - 2).to(torch.int64) * columns + u0.clamp_(0, columns - 2).to(torch.int64)
        corner = [
            packed.index_select(0, index + step)
            .view(torch.uint8)
            .view(-1, 8)
            .T.to(torch.float32, memory_format=torch.contiguous_format)
            for step in (0, 1, columns, columns + 1)
        ]
        return corner[0].lerp_(corner[1], fu).lerp_(corner[2].lerp_(corner[3], fu), fv), inside

    def light_at(self, x: Tensor, y: Tensor) -> Tensor:
        """The share (N,) of the lamps' light at points (N,), nearest cell."""
        rows, columns, _ = self.table.shape
        u = ((x - self.origin[0]) / CELL_M).to(torch.int64).clamp(0, columns - 1)
        v = ((y - self.origin[1]) / CELL_M).to(torch.int64).clamp(0, rows - 1)
        return self.table[v, u, LIT].to(torch.float32) / 255


@dataclass(frozen=True)
class GroundLook:
    """What the ground is like at N points: (3, N) reflectance, (N,) baked share of direct light, (N,) gloss."""

    albedo: Tensor
    lit: Tensor
    gloss: Tensor


def look_at_ground(
    ground: Ground, x: Tensor, y: Tensor, across: Tensor, along: Tensor, view: Tensor, light: Light
) -> GroundLook:
    """What the ground is like where rays meet it.

    Args:
        ground: the table.
        x, y: (N,) points.
        across, along: (N,) size of the pixel's footprint across and along the line of sight, metres.
        view: (2, N) unit direction of sight on the ground.
        light: for wetness.
    """
    cell, inside = ground.cells(x, y)
    tile = smooth_tile(x.device)
    broad = look_up(tile, x * 3.1 + 4096, y * 3.1 + 4096)
    fine = look_up(tile, x * 61 + 8192, y * 61 + 8192) * (0.06 / across.clamp(min=0.012)).clamp_(max=1.0)

    def coverage(channel: int, footprint: Tensor) -> Tensor:
        distance = (cell[channel] - 128) * (1 / STEPS_PER_M)
        distance = torch.where(distance.abs() > 0.3, distance * 50, distance)
        return (0.5 + distance / footprint).clamp_(0, 1) * inside

    extent = (across * along).sqrt_().clamp_(min=0.02)
    asphalt = coverage(ASPHALT, extent)
    pavement = coverage(PAVEMENT, extent)
    nx, ny = (cell[NORMAL_X] - 128) * (1 / 127), (cell[NORMAL_Y] - 128) * (1 / 127)
    ahead = (nx * view[0] + ny * view[1]).abs_()
    side = (nx * view[1] - ny * view[0]).abs_()
    footprint = (ahead * along + side * across).clamp_(min=0.012)
    # A line narrower than the footprint fills only a part of it.
    paint = coverage(PAINT, footprint) * (0.20 / footprint).clamp_(max=1.0) * asphalt
    worn = (0.93 + 0.10 * broad + 0.10 * fine).clamp_(0.5, 1)

    def rgb(*values: float) -> Tensor:
        return torch.tensor(values, device=x.device)[:, None]

    meadow = look_up(tile, x * 14 + 8192, y * 14 + 8192)
    green = (0.45 + 0.22 * broad + 0.3 * fine + 0.25 * meadow).clamp_(0, 1)
    color = torch.lerp(rgb(0.065, 0.115, 0.030), rgb(0.165, 0.185, 0.065), green)
    slab = 0.36 + 0.02 * broad + 0.025 * fine
    color = torch.lerp(color, slab * rgb(1.0, 0.97, 0.92), pavement)
    tone = (cell[TONE] - 128) * (1 / 128)
    tar = (0.098 + 0.0035 * broad + 0.016 * fine + 0.05 * tone).clamp_(min=0.03) * (1 - 0.45 * light.wet)
    color = torch.lerp(color, tar * rgb(1.0, 1.0, 1.03), asphalt)
    marking = torch.lerp(rgb(0.72, 0.72, 0.70), rgb(0.70, 0.48, 0.08), cell[YELLOW] * (1 / 255))
    color = torch.lerp(color, marking, paint * worn)
    lit = torch.where(inside, cell[LIT] * (1 / 255), 0.0 if light.night else 1.0)
    gloss = light.wet * (asphalt * 0.55 + pavement * 0.25) * (0.75 + 0.3 * broad).clamp_(0, 1)
    return GroundLook(color, lit, gloss)
