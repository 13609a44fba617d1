"""Cast shadows: the same rays, sent from the sun, remember how high above the ground the light ends."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from tinybev_training.world.raycast import find_spans, nearness_map

BIAS_M = 0.09
LIFT_M = 1000.0
"""Added to heights along the ray, so that nearness is positive."""


@dataclass(frozen=True)
class ShadowMap:
    """Rays from the sun on a square grid.

    Attributes:
        axes: (3, 3) rows: across, along, towards the sun.
        origin: (2,) of ray (0, 0) across and along.
        resolution: metres between rays.
        height: (rows, columns) towards the sun (plus ``LIFT_M``) at which each ray ends, 0 where it meets nothing.
    """

    axes: Tensor
    origin: Tensor
    resolution: float
    height: Tensor

    def sunlit(self, points: Tensor) -> Tensor:
        """The share (N,) of sunlight at points (3, N), interpolated over the four rays around each."""
        rows, columns = self.height.shape
        flat = self.height.view(-1)
        place = self.axes @ points
        u = (place[0] - self.origin[0]) * (1 / self.resolution)
        v = (place[1] - self.origin[1]) * (1 / self.resolution)
        u0, v0 = u.floor(), v.floor()
        fu, fv = u - u0, v - v0
        limit = place[2] + (LIFT_M + BIAS_M)
        inside = (u0 >= 0) & (u0 < columns - 1) & (v0 >= 0) & (v0 < rows - 1)
        # In float32 the index would lose its last digits.
        index = v0.clamp_(0, rows - 2).to(torch.int64) * columns + u0.clamp_(0, columns - 2).to(torch.int64)
        lit = [(flat.index_select(0, index + step) <= limit).to(torch.float32) for step in (0, 1, columns, columns + 1)]
        share = torch.lerp(torch.lerp(lit[0], lit[1], fu), torch.lerp(lit[2], lit[3], fu), fv)
        return torch.where(inside, share, 1.0)


def sun_axes(to_sun: Tensor) -> Tensor:
    """(3, 3) rows: two axes across the light, and the one towards it."""
    across = torch.linalg.cross(torch.tensor([0.0, 0.0, 1.0], device=to_sun.device), to_sun)
    across = across / across.norm().clamp(min=1e-6)
    return torch.stack([across, torch.linalg.cross(to_sun, across), to_sun])


def cast_shadows(corners: Tensor, to_sun: Tensor, low: Tensor, high: Tensor, resolution: float) -> ShadowMap:
    """Sends rays from the sun over the ground between ``low`` and ``high`` (2,) at triangles (T, 3, 3)."""
    axes = sun_axes(to_sun)
    ground = torch.tensor(
        [[low[0], low[1]], [low[0], high[1]], [high[0], low[1]], [high[0], high[1]]], device=corners.device
    )
    edge = ground @ axes[:2, :2].T
    origin, far = edge.amin(dim=0), edge.amax(dim=0)
    columns, rows = (int(x) + 2 for x in ((far - origin) / resolution).tolist())
    place = corners @ axes.T
    u = (place[..., 0] - origin[0]) / resolution
    v = (place[..., 1] - origin[1]) / resolution
    # The far sides cast the shadow: near sides would throw one on themselves wherever the grid is coarser than they
    # are. Seen from the sun far sides run clockwise upside down, which is the right way up for a camera's grid.
    spans = find_spans(u, v, place[..., 2] + LIFT_M, rows, columns)
    return ShadowMap(axes, origin, resolution, nearness_map(spans, rows, columns))
