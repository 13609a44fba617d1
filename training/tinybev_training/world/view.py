"""What a camera may see: which triangles, how detailed, and which pixels they cover."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tinybev.geometry import Array, invert
from tinybev_training.world.cameras import MountedCamera
from tinybev_training.world.instances import Instances
from tinybev_training.world.raycast import Spans, clip_near, expand, find_spans
from tinybev_training.world.scene import Scene

NEAR_M = 0.15

FAR_M = 190.0

FINE_RADIUS_PX = 26.0
"""Objects that look larger than this are drawn with all their detail."""

MIN_RADIUS_PX = 0.6


@dataclass(frozen=True)
class View:
    """The triangles in front of a camera: pieces left by the near plane, their parts, corners, and spans of pixels."""

    source: Tensor
    part: Tensor
    weights: Tensor
    u: Tensor
    v: Tensor
    nearness: Tensor
    spans: Spans
    normal_matrix: Tensor


def look(scene: Scene, instances: Instances, scene_T_camera: Array, camera: MountedCamera) -> View:
    """The triangles that a camera may see, projected."""
    device = scene.device
    camera_T_scene = torch.from_numpy(invert(scene_T_camera).astype(np.float32)).to(device)
    rotation, shift = camera_T_scene[:3, :3], camera_T_scene[:3, 3]
    center = (instances.center @ rotation.T + shift).cpu().numpy()
    radius = scene.parts.radius
    focal = camera.intrinsics[0, 0]
    x, y, z = center.T
    # Outside one of the planes through the image's edges by more than the radius: not seen.
    half_u, half_v = (
        camera.width / 2 / focal,
        max(camera.intrinsics[1, 2], camera.height - camera.intrinsics[1, 2]) / focal,
    )
    beside = (np.abs(x) - half_u * z) / np.hypot(1, half_u) < radius
    beside &= (np.abs(y) - half_v * z) / np.hypot(1, half_v) < radius
    size = radius * focal / np.maximum(np.linalg.norm(center, axis=1) - 0.5 * radius, 0.5)
    seen = (
        beside
        & (z > -radius)
        & (z - radius < FAR_M)
        & (size > MIN_RADIUS_PX)
        & instances.present
        & (scene.parts.agent != -2)
    )
    chosen = np.flatnonzero(seen)
    triangle, part = select_triangles(scene, chosen, size[chosen] > FINE_RADIUS_PX)
    to_camera = rotation @ instances.linear
    offset = instances.offset @ rotation.T + shift
    corners = torch.baddbmm(offset[part].unsqueeze(1), scene.meshes.corners[triangle], to_camera[part].transpose(1, 2))
    piece, weights = clip_near(corners, NEAR_M)
    corners = torch.bmm(weights, corners[piece]) if len(piece) else corners[:0]
    nearness = 1.0 / corners[..., 2].clamp(min=NEAR_M * 0.99)
    u = corners[..., 0] * nearness * float(focal) + float(camera.intrinsics[0, 2])
    v = corners[..., 1] * nearness * float(camera.intrinsics[1, 1]) + float(camera.intrinsics[1, 2])
    spans = find_spans(u, v, nearness, camera.height, camera.width)
    return View(triangle[piece], part[piece], weights, u, v, nearness, spans, instances.normal)


def select_triangles(scene: Scene, chosen: NDArray[np.int64], fine: NDArray[np.bool_]) -> tuple[Tensor, Tensor]:
    """Triangles of the chosen parts, at their level of detail: index of the triangle, index of the part."""
    ranges = scene.meshes.ranges[scene.parts.mesh[chosen], np.where(fine, 0, 1)]
    counts = ranges[:, 1] - ranges[:, 0]
    device = scene.device
    count = torch.from_numpy(counts).to(device)
    start = torch.from_numpy(ranges[:, 0] - (counts.cumsum() - counts)).to(device)
    owner = torch.repeat_interleave(count)
    triangle = torch.arange(len(owner), device=device) + start[owner]
    return triangle, torch.from_numpy(chosen).to(device)[owner]


def world_corners(scene: Scene, instances: Instances, chosen: NDArray[np.int64], *, fine: bool) -> Tensor:
    triangle, part = select_triangles(scene, chosen, np.full(len(chosen), fine))
    corners = scene.meshes.corners[triangle]
    return torch.baddbmm(instances.offset[part].unsqueeze(1), corners, instances.linear[part].transpose(1, 2))


def count_coverage(agents: Tensor, view: View, camera: MountedCamera, total: int) -> NDArray[np.int64]:
    """Pixels (N,) that each agent covers by itself: rows of its triangles, painted on a sheet of its own."""
    agent = agents[view.part[view.spans.triangle]]
    mine = (agent >= 0).nonzero().squeeze(1)
    agent, first, count = agent[mine], view.spans.first[mine], view.spans.count[mine]
    if len(agent) == 0:
        return np.zeros(total, dtype=np.int64)
    sheet, used = torch.unique(agent, return_inverse=True)
    row, column = torch.div(first, camera.width, rounding_mode="floor"), first % camera.width
    big = camera.height * camera.width
    top = torch.full((len(sheet),), big, device=row.device).scatter_reduce_(0, used, row, "amin")
    bottom = torch.zeros(len(sheet), dtype=torch.int64, device=row.device).scatter_reduce_(0, used, row, "amax")
    left = torch.full((len(sheet),), big, device=row.device).scatter_reduce_(0, used, column, "amin")
    right = torch.zeros(len(sheet), dtype=torch.int64, device=row.device).scatter_reduce_(
        0, used, column + count - 1, "amax"
    )
    wide = right - left + 1
    area = wide * (bottom - top + 1)
    base = area.cumsum(0) - area
    start = base[used] + (row - top[used]) * wide[used] + column - left[used]
    painted = torch.zeros(int(area.sum()), dtype=torch.uint8, device=row.device)
    run, offset = expand(count)
    painted[start[run] + offset] = 1
    ends = torch.cat([torch.zeros(1, dtype=torch.int64, device=row.device), painted.cumsum(0, dtype=torch.int64)])
    covered = ends[base + area] - ends[base]
    result = torch.zeros(total, dtype=torch.int64, device=row.device)
    result[sheet] = covered
    return result.cpu().numpy()
