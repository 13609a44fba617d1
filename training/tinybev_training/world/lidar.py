"""A 32-beam lidar by the same meshes: which triangle does each beam meet first?

Its rays leave from one point too, but in rings, not in a plane: here every triangle finds the beams of its range of
azimuths and elevations, and each of those is tested against the three planes through the eye and its edges.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tinybev.geometry import invert
from tinybev_training.world.cameras import BASE_T_LIDAR
from tinybev_training.world.instances import place_parts
from tinybev_training.world.raycast import expand
from tinybev_training.world.view import select_triangles
from tinybev_training.world.world import World, pose_matrix

RINGS = 32
LOWEST_DEG, HIGHEST_DEG = -30.67, 10.67
STEPS = 1084
"""Azimuths of one turn."""
RANGE_M = (1.0, 85.0)
NOISE_M = 0.012


@dataclass(frozen=True)
class Sweep:
    """One turn: (P, 5) x, y, z in the lidar's frame, intensity 0 to 255, ring; (P,) agent hit, -1 for none."""

    points: NDArray[np.float32]
    agents: NDArray[np.int64]

    def count(self, agents: int) -> NDArray[np.int64]:
        """(agents,) how many beams met each agent."""
        return np.bincount(self.agents[self.agents >= 0], minlength=agents).astype(np.int64)


def beam_directions(device: torch.device | str = "cpu") -> Tensor:
    """(RINGS, STEPS, 3) unit vectors in the lidar's frame: rings from below, azimuths from its x axis to its y axis."""
    elevation = torch.deg2rad(torch.linspace(LOWEST_DEG, HIGHEST_DEG, RINGS, device=device))[:, None]
    azimuth = (torch.arange(STEPS, device=device) * (2 * math.pi / STEPS) - math.pi)[None, :]
    flat = elevation.cos()
    return torch.stack([flat * azimuth.cos(), flat * azimuth.sin(), elevation.sin().expand(RINGS, STEPS)], dim=2)


def take_sweep(world: World, stamp_ns: int) -> Sweep:
    """One turn at a stamp, frozen in time (nuScenes' sweeps are motion-compensated): what the beams met."""
    moment = world.scenario.at(stamp_ns)
    scene = world.scene
    scene_T_lidar = pose_matrix(moment.ego) @ BASE_T_LIDAR
    instances = place_parts(scene, moment)
    lidar_T_scene = torch.from_numpy(invert(scene_T_lidar).astype(np.float32)).to(scene.device)
    rotation, shift = lidar_T_scene[:3, :3], lidar_T_scene[:3, 3]
    distance = (instances.center @ rotation.T + shift).norm(dim=1).cpu().numpy()
    near = instances.present & (distance - scene.parts.radius < RANGE_M[1]) & (scene.parts.agent != -2)
    chosen = np.flatnonzero(near)
    triangle, part = select_triangles(scene, chosen, distance[chosen] < 14.0)
    linear = rotation @ instances.linear
    offset = instances.offset @ rotation.T + shift
    corners = torch.baddbmm(offset[part].unsqueeze(1), scene.meshes.corners[triangle], linear[part].transpose(1, 2))
    beams = beam_directions(scene.device)
    hit, reach = first_hits(corners, beams)
    ground = -float(scene_T_lidar[2, 3]) / beams[..., 2].clamp(max=-1e-6)
    on_ground = (ground < reach) & (beams[..., 2] < -1e-4)
    reach = torch.where(on_ground, ground, reach)
    hit = torch.where(on_ground, torch.full_like(hit, -1), hit)
    agent = torch.where(hit >= 0, world.agents[part[hit.clamp(min=0)]], torch.full_like(hit, -1))
    return _sweep(world, beams, reach, hit, triangle, agent, stamp_ns)


def first_hits(corners: Tensor, beams: Tensor) -> tuple[Tensor, Tensor]:
    """The first triangle (RINGS, STEPS) that each beam meets from the front, -1 for none, and the distance to it.

    Args:
        corners: (T, 3, 3) in the lidar's frame.
        beams: of :func:`beam_directions`.
    """
    edge1, edge2 = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    normal = torch.linalg.cross(edge1, edge2)
    facing = -(normal * corners[:, 0]).sum(dim=1)  # positive: seen from the front
    ring_low, ring_high, step_low, step_count = _beam_windows(corners)
    kept = ((facing > 1e-9) & (ring_high >= ring_low) & (step_count > 0)).nonzero().squeeze(1)
    width, height = step_count[kept], (ring_high - ring_low + 1)[kept]
    owner, place = expand(width * height)
    ring = ring_low[kept][owner] + torch.div(place, width[owner], rounding_mode="floor")
    step = (step_low[kept][owner] + place % width[owner]) % STEPS
    beam = ring * STEPS + step
    # A beam is inside when it is on the inner side of the planes through the eye and the edges.
    c = corners[kept]
    planes = torch.stack([torch.linalg.cross(c[:, b], c[:, a]) for a, b in ((0, 1), (1, 2), (2, 0))], dim=1)
    scale = planes.norm(dim=2, keepdim=True).clamp(min=1e-12)
    direction = beams.view(-1, 3)[beam]
    inside = (torch.bmm((planes / scale)[owner], direction.unsqueeze(2)).squeeze(2) >= -1e-7).all(dim=1)
    owner, beam, direction = owner[inside], beam[inside], direction[inside]
    towards = -(normal[kept][owner] * direction).sum(dim=1)
    reach = facing[kept][owner] / towards.clamp(min=1e-12)
    key = ((1.0 / reach.clamp(min=1e-3)).view(torch.int32).to(torch.int64) << 32) | kept[owner]
    best = torch.full((RINGS * STEPS,), -1, dtype=torch.int64, device=beams.device)
    best.scatter_reduce_(0, beam, key, "amax")
    hit = torch.where(best >= 0, best & 0xFFFFFFFF, best)
    nearness = torch.where(
        best >= 0, (best >> 32).to(torch.int32).view(torch.float32), torch.zeros(1, device=beams.device)
    )
    return hit.view(RINGS, STEPS), (1.0 / nearness).view(RINGS, STEPS)


def _beam_windows(corners: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Rings (low, high) and azimuth steps (first, count) within which each triangle surely lies."""
    x, y, z = corners.unbind(dim=2)
    azimuth = torch.atan2(y, x)
    turn = azimuth - azimuth[:, :1]
    turn = turn - 2 * math.pi * torch.round(turn / (2 * math.pi))
    first, last = turn.amin(dim=1), turn.amax(dim=1)
    per_step = 2 * math.pi / STEPS
    low = torch.ceil((azimuth[:, 0] + first + math.pi) / per_step - 1e-3)
    high = torch.floor((azimuth[:, 0] + last + math.pi) / per_step + 1e-3)
    # Seen from above, how near does the triangle come to the eye? That bounds the elevations between its corners'.
    nearest = torch.full_like(first, float("inf"))
    signs = []
    for a, b in ((0, 1), (1, 2), (2, 0)):
        dx, dy = x[:, b] - x[:, a], y[:, b] - y[:, a]
        t = (-(x[:, a] * dx + y[:, a] * dy) / (dx * dx + dy * dy).clamp(min=1e-9)).clamp(0, 1)
        nearest = torch.minimum(nearest, torch.hypot(x[:, a] + t * dx, y[:, a] + t * dy))
        signs.append(x[:, a] * y[:, b] - y[:, a] * x[:, b])
    sign = torch.stack(signs)
    overhead = (sign > 0).all(dim=0) | (sign < 0).all(dim=0)
    wide = overhead | (last - first > math.pi)
    nearest = torch.where(overhead, torch.full_like(nearest, 1e-3), nearest.clamp(min=1e-3))
    farthest = torch.hypot(x, y).amax(dim=1)
    top, bottom = z.amax(dim=1), z.amin(dim=1)
    highest = torch.atan2(top, torch.where(top > 0, nearest, farthest))
    lowest = torch.atan2(bottom, torch.where(bottom < 0, nearest, farthest))
    per_ring = math.radians(HIGHEST_DEG - LOWEST_DEG) / (RINGS - 1)
    start = math.radians(LOWEST_DEG)
    ring_low = torch.ceil((lowest - start) / per_ring - 1e-3).clamp(0, RINGS).to(torch.int64)
    ring_high = torch.floor((highest - start) / per_ring + 1e-3).clamp(-1, RINGS - 1).to(torch.int64)
    count = torch.where(wide, torch.full_like(low, STEPS), (high - low + 1).clamp(0, STEPS)).to(torch.int64)
    return ring_low, ring_high, low.to(torch.int64) % STEPS, count


def _sweep(
    world: World, beams: Tensor, reach: Tensor, hit: Tensor, triangle: Tensor, agent: Tensor, stamp_ns: int
) -> Sweep:
    """Points with noise and intensity; what is too far, or lost in fog or rain, gives no echo."""
    rng = np.random.default_rng(stamp_ns % (1 << 62))
    distance = np.minimum(reach.cpu().numpy().astype(np.float64), 1e4)
    table = world.palette.table
    material = world.scene.meshes.materials[triangle[hit.clamp(min=0)]] if len(triangle) else torch.zeros_like(hit)
    bright = torch.where(
        hit >= 0, table[material, :3].mean(dim=-1) * 90 + table[material, 3] * 12, torch.full_like(reach, 12.0)
    )
    noise = rng.normal(0, 1, (2, *distance.shape))
    heard = (distance > RANGE_M[0]) & (distance < RANGE_M[1])
    heard &= rng.random(distance.shape) > np.clip((distance - 45.0) / 60.0, 0.02, 1.0)
    fog = world.light.fog
    heard &= rng.random(distance.shape) < np.exp(-0.4 * fog * np.minimum(distance, 1e3))
    spots = beams.cpu().numpy() * (distance + NOISE_M * noise[0])[..., None]
    intensity = np.clip(bright.cpu().numpy() * (1 + 0.15 * noise[1]), 0, 255)
    ring = np.broadcast_to(np.arange(RINGS)[:, None], distance.shape)
    points = np.concatenate([np.where(heard[..., None], spots, 0), intensity[..., None], ring[..., None]], axis=2)
    return Sweep(np.ascontiguousarray(points[heard], dtype=np.float32), agent.cpu().numpy()[heard])
