"""Casts a grid of rays at triangles: which triangle does each ray meet first, and how near?

All rays of a camera leave from one point, all rays of the sun are parallel. Seen along such a bundle a triangle is
flat: the rays that meet it are those inside its projection, and the *nearness* (1 / depth for a camera, height above
the ground for the sun) is a linear function of the ray's place in the grid. So a triangle finds its rays row by row,
exactly, instead of every ray trying every triangle; a scatter-max keeps the nearest. Plain tensor operations, the same
on CPU and GPU, for all triangles at once.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import torch
from torch import Tensor

EDGE_SLACK = 2e-3
"""Pixels by which a triangle is widened, so that rounding leaves no gap between neighbours."""
MIN_AREA = 4e-3
"""Twice the area, in square pixels, below which a triangle is left out."""
MAX_PAIRS = 6_000_000
"""Rays and triangles tested at once; bounds the memory."""


@dataclass(frozen=True)
class Hits:
    """What each ray of the grid met first.

    Attributes:
        triangle: (height, width) index of the triangle, -1 where there is none.
        nearness: (height, width) of the hit, 0 where there is none.
    """

    triangle: Tensor
    nearness: Tensor


@dataclass(frozen=True)
class Spans:
    """Runs of rays: R rows of triangles, each ``count`` rays from ``first`` (flat index into the grid)."""

    triangle: Tensor
    first: Tensor
    count: Tensor
    nearness: Tensor
    step: Tensor


def clip_near(corners: Tensor, near: float) -> tuple[Tensor, Tensor]:
    """Cuts triangles (T, 3, 3) at depth z = ``near``.

    Returns:
        (S,) index of the triangle each piece comes from and (S, 3, 3) weights: its corners are weights @ corners.
    """
    ahead = corners[..., 2] > near
    inside = ahead.sum(dim=1)
    eye = torch.eye(3, device=corners.device, dtype=corners.dtype)
    whole = (inside == 3).nonzero().squeeze(1)
    sources, weights = [whole], [eye.expand(len(whole), 3, 3)]
    for count in (1, 2):
        cut = (inside == count).nonzero().squeeze(1)
        if len(cut) == 0:
            continue
        # Turn the odd one out to the front; the order round the triangle stays.
        odd = (ahead[cut] if count == 1 else ~ahead[cut]).to(torch.int64).argmax(dim=1)
        order = (odd[:, None] + torch.arange(3, device=odd.device)) % 3
        z = corners[cut, :, 2].gather(1, order)
        basis = eye[order]
        first = ((near - z[:, 0]) / (z[:, 1] - z[:, 0]))[:, None]
        second = ((near - z[:, 0]) / (z[:, 2] - z[:, 0]))[:, None]
        to_first = basis[:, 0] + first * (basis[:, 1] - basis[:, 0])
        to_second = basis[:, 0] + second * (basis[:, 2] - basis[:, 0])
        if count == 1:
            pieces = [torch.stack([basis[:, 0], to_first, to_second], dim=1)]
        else:
            pieces = [
                torch.stack([to_first, basis[:, 1], basis[:, 2]], dim=1),
                torch.stack([to_first, basis[:, 2], to_second], dim=1),
            ]
        for piece in pieces:
            sources.append(cut)
            weights.append(piece)
    return torch.cat(sources), torch.cat(weights)


def find_spans(u: Tensor, v: Tensor, nearness: Tensor, height: int, width: int) -> Spans:
    """The rays inside each triangle, row by row.

    Args:
        u, v: (T, 3) grid coordinates of the corners; ray (row, column) is at v = row, u = column. Triangles that run
            clockwise on the screen (x right, y down), that is those seen from the front, are kept.
        nearness: (T, 3) of the corners.
        height, width: of the grid.
    """
    du1, dv1 = u[:, 1] - u[:, 0], v[:, 1] - v[:, 0]
    du2, dv2 = u[:, 2] - u[:, 0], v[:, 2] - v[:, 0]
    area = du1 * dv2 - du2 * dv1
    top = torch.ceil(v.amin(dim=1) - EDGE_SLACK).clamp(min=0)
    bottom = torch.floor(v.amax(dim=1) + EDGE_SLACK).clamp(max=height - 1)
    left, right = u.amin(dim=1), u.amax(dim=1)
    kept = (area < -MIN_AREA) & (bottom >= top) & (right >= 0) & (left <= width - 1)
    kept &= torch.ceil(left - EDGE_SLACK) <= torch.floor(right + EDGE_SLACK)
    triangle = kept.nonzero().squeeze(1)
    top, rows = top[triangle], (bottom - top)[triangle].to(torch.int64) + 1
    owner = torch.repeat_interleave(rows)
    first_row = rows.cumsum(0) - rows
    y = top[owner] + (torch.arange(len(owner), device=u.device) - first_row[owner])
    # Along a row the triangle lies between its falling and its rising edges.
    kept_u, kept_v = u[triangle], v[triangle]
    low = torch.full_like(y, -float("inf"))
    high = torch.full_like(y, float("inf"))
    for a, b in ((0, 1), (1, 2), (2, 0)):
        fall = kept_v[:, b] - kept_v[:, a]
        slope = (kept_u[:, b] - kept_u[:, a]) / torch.where(fall == 0, torch.ones_like(fall), fall)
        x = kept_u[:, a][owner] + (y - kept_v[:, a][owner]) * slope[owner]
        falling = fall[owner]
        low = torch.where(falling > 0, torch.maximum(low, x), low)
        high = torch.where(falling < 0, torch.minimum(high, x), high)
    start = torch.ceil(low - EDGE_SLACK).clamp(min=0)
    end = torch.floor(high + EDGE_SLACK).clamp(max=width - 1)
    filled = (end >= start).nonzero().squeeze(1)
    owner, y, start, end = owner[filled], y[filled], start[filled], end[filled]
    source = triangle[owner]
    # Clamped to what the corners have, so that a sliver cannot shoot out of its own plane.
    w = nearness[triangle]
    gx = ((w[:, 1] - w[:, 0]) * dv2[triangle] - (w[:, 2] - w[:, 0]) * dv1[triangle]) / area[triangle]
    gy = ((w[:, 2] - w[:, 0]) * du1[triangle] - (w[:, 1] - w[:, 0]) * du2[triangle]) / area[triangle]
    floor, ceiling = w.amin(dim=1)[owner], w.amax(dim=1)[owner]
    anchor = w[:, 0][owner] + (y - kept_v[:, 0][owner]) * gy[owner]
    at_start = anchor + (start - kept_u[:, 0][owner]) * gx[owner]
    at_end = anchor + (end - kept_u[:, 0][owner]) * gx[owner]
    at_start = torch.minimum(torch.maximum(at_start, floor), ceiling)
    at_end = torch.minimum(torch.maximum(at_end, floor), ceiling)
    step = (at_end - at_start) / (end - start).clamp(min=1)
    first = y.to(torch.int64) * width + start.to(torch.int64)
    return Spans(source, first, (end - start).to(torch.int64) + 1, at_start, step)


def nearest_hits(spans: Spans, height: int, width: int) -> Hits:
    """The nearest triangle of every ray."""
    device = spans.first.device
    best = torch.full((height * width,), -1, dtype=torch.int64, device=device)
    for part in _batches(spans):
        row, offset = expand(part.count)
        nearness = part.nearness[row] + part.step[row] * offset
        # Positive floats sort like their bits: one integer carries nearness and triangle.
        key = (nearness.view(torch.int32).to(torch.int64) << 32) | part.triangle[row]
        best.scatter_reduce_(0, part.first[row] + offset, key, "amax")
    hit = best >= 0
    triangle = torch.where(hit, best & 0xFFFFFFFF, best)
    nearness = (best >> 32).to(torch.int32).view(torch.float32)
    return Hits(
        triangle.view(height, width), torch.where(hit, nearness, torch.zeros_like(nearness)).view(height, width)
    )


def nearness_map(spans: Spans, height: int, width: int) -> Tensor:
    """The nearness (height, width) of the nearest triangle of every ray, 0 where there is none."""
    best = torch.zeros(height * width, device=spans.first.device)
    for part in _batches(spans):
        row, offset = expand(part.count)
        best.scatter_reduce_(0, part.first[row] + offset, part.nearness[row] + part.step[row] * offset, "amax")
    return best.view(height, width)


def expand(count: Tensor) -> tuple[Tensor, Tensor]:
    """For runs of lengths ``count`` (R,): the run of every element, and its place in the run."""
    row = torch.repeat_interleave(count)
    return row, torch.arange(len(row), device=count.device) - (count.cumsum(0) - count)[row]


def _batches(spans: Spans) -> list[Spans]:
    if int(spans.count.sum()) <= MAX_PAIRS:
        return [spans]
    batch = spans.count.cumsum(0) // MAX_PAIRS
    cuts = torch.searchsorted(batch.contiguous(), torch.arange(int(batch[-1]) + 2, device=batch.device)).tolist()
    names = ("triangle", "first", "count", "nearness", "step")
    return [Spans(*(getattr(spans, name)[a:b] for name in names)) for a, b in itertools.pairwise(cuts)]
