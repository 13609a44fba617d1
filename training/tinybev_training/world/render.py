"""Pictures: one camera at one moment, with depth and the instance in every pixel."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tinybev.geometry import Array
from tinybev_training.world.cameras import MountedCamera
from tinybev_training.world.develop import develop
from tinybev_training.world.instances import Instances, place_parts
from tinybev_training.world.raycast import Hits, nearest_hits
from tinybev_training.world.scenario import Moment
from tinybev_training.world.shading import Surface, Surroundings, shade_ground, shade_objects, shade_sky
from tinybev_training.world.shadows import ShadowMap, cast_shadows
from tinybev_training.world.view import FAR_M, View, count_coverage, look, world_corners
from tinybev_training.world.world import World, pose_matrix

MOVING_SHADOW_M = 0.10

MOVING_SHADOW_REACH_M = 60.0


@dataclass(frozen=True)
class Picture:
    """One image and what comes with it.

    Attributes:
        rgb: (H, W, 3) uint8.
        depth: (H, W) metres along the optical axis, infinite in the sky.
        instances: (H, W) index of the agent in the pixel, -1 for none.
        coverage: (N,) pixels that each agent would cover if nothing stood in front of it; None unless asked for.
        visible: (N,) pixels in which each agent is seen; None unless asked for.
    """

    rgb: NDArray[np.uint8]
    depth: Tensor
    instances: Tensor
    coverage: NDArray[np.int64] | None
    visible: NDArray[np.int64] | None


def render_camera(
    world: World, camera: MountedCamera, stamp_ns: int, *, ego: NDArray[np.float64] | None = None, count: bool = False
) -> Picture:
    """What a camera of the ego sees at a stamp.

    Args:
        world: to look at.
        camera: mounted on the ego.
        stamp_ns: of the exposure; everybody is where they are then.
        ego: (3,) x, y, yaw of base_link, where it is not where the scenario has it.
        count: whether to count each agent's pixels.
    """
    moment = world.scenario.at(stamp_ns)
    if ego is not None:
        moment = replace(moment, ego=np.asarray(ego, dtype=np.float64))
    if camera.name in world.weather.dead:
        return _dead(world, camera)
    instances = place_parts(world.scene, moment)
    scene_T_camera = pose_matrix(moment.ego) @ camera.base_T_camera
    view = look(world.scene, instances, scene_T_camera, camera)
    hits = nearest_hits(view.spans, camera.height, camera.width)
    around = Surroundings(
        world.light,
        world.ground,
        world.still_shadows,
        _moving_shadows(world, instances, moment),
        moment.ego,
    )
    color, depth, agent = _shade(world, view, hits, scene_T_camera, camera, around)
    coverage = visible = None
    if count:
        total = len(world.scenario.agents)
        coverage = count_coverage(world.agents, view, camera, total)
        seen = agent[agent >= 0]
        visible = torch.bincount(seen, minlength=total).cpu().numpy()
    rgb = develop(color, world.light, world.weather, stamp_ns, camera.name)
    return Picture(rgb, depth, agent, coverage, visible)


def _shade(
    world: World, view: View, hits: Hits, scene_T_camera: Array, camera: MountedCamera, around: Surroundings
) -> tuple[Tensor, Tensor, Tensor]:
    """Colour (3, H, W), depth (H, W) and agent (H, W) of every pixel."""
    device = world.scene.device
    height, width = camera.height, camera.width
    fx, fy = float(camera.intrinsics[0, 0]), float(camera.intrinsics[1, 1])
    cx, cy = float(camera.intrinsics[0, 2]), float(camera.intrinsics[1, 2])
    pose = torch.from_numpy(scene_T_camera.astype(np.float32)).to(device)
    right = (torch.arange(width, device=device, dtype=torch.float32) - cx) / fx
    down = (torch.arange(height, device=device, dtype=torch.float32) - cy) / fy
    # Per unit of depth: the ray's direction in the scenario's frame.
    axes = pose[:3, :3, None, None]
    rays = (axes[:, 0] * right[None, None, :] + axes[:, 1] * down[None, :, None] + axes[:, 2]).view(3, -1)
    eye = pose[:3, 3]
    nearness, triangle = hits.nearness.view(-1), hits.triangle.view(-1)
    ground_nearness = rays[2] / -eye[2]
    on_ground = (ground_nearness > nearness) & (ground_nearness > 1 / FAR_M)
    color = torch.empty(3, height * width, device=device)
    length = (rays * rays).sum(dim=0).sqrt_()

    pixel = on_ground.nonzero().squeeze(1)
    if len(pixel):
        ray, reach, long = rays.index_select(1, pixel), 1 / ground_nearness[pixel], length[pixel]
        distance = long * reach
        across = distance * (1 / fx)
        along = across * distance / eye[2]
        color[:, pixel] = shade_ground(eye[:, None] + ray * reach, ray / long, distance, across, along, around)

    pixel = (~on_ground & (triangle >= 0)).nonzero().squeeze(1)
    agent = torch.full((height * width,), -1, dtype=torch.int64, device=device)
    if len(pixel):
        surface, parts = _surface(
            world,
            view,
            triangle[pixel],
            nearness[pixel],
            pixel,
            rays.index_select(1, pixel),
            length[pixel],
            eye,
            camera,
        )
        color[:, pixel] = shade_objects(surface, around, world.palette)
        agent[pixel] = world.agents[parts]

    pixel = (~on_ground & (triangle < 0)).nonzero().squeeze(1)
    if len(pixel):
        color[:, pixel] = shade_sky(rays.index_select(1, pixel) / length[pixel], world.light)
    depth = 1 / torch.where(on_ground, ground_nearness, nearness)
    return color.view(3, height, width), depth.view(height, width), agent.view(height, width)


def _surface(
    world: World,
    view: View,
    piece: Tensor,
    nearness: Tensor,
    pixel: Tensor,
    rays: Tensor,
    length: Tensor,
    eye: Tensor,
    camera: MountedCamera,
) -> tuple[Surface, Tensor]:
    """Where rays hit pieces of triangles, with interpolated normals; and the part hit."""
    # Only the pieces that are seen, each once.
    is_used = torch.zeros(len(view.part), dtype=torch.bool, device=piece.device)
    is_used[piece] = True
    used = is_used.nonzero().squeeze(1)
    slot = (is_used.cumsum(0) - 1).index_select(0, piece)
    part = view.part[used]
    # Normals times nearness are linear on the screen, like nearness itself.
    normals = torch.bmm(world.scene.meshes.normals[view.source[used]], view.normal_matrix[part].transpose(1, 2))
    normals = torch.bmm(view.weights[used], normals) * view.nearness[used].unsqueeze(2)
    u, v = view.u[used], view.v[used]
    du1, dv1, du2, dv2 = u[:, 1] - u[:, 0], v[:, 1] - v[:, 0], u[:, 2] - u[:, 0], v[:, 2] - v[:, 0]
    area = du1 * dv2 - du2 * dv1
    step1, step2 = normals[:, 1] - normals[:, 0], normals[:, 2] - normals[:, 0]
    along_u = (step1 * dv2.unsqueeze(1) - step2 * dv1.unsqueeze(1)) / area.unsqueeze(1)
    along_v = (step2 * du1.unsqueeze(1) - step1 * du2.unsqueeze(1)) / area.unsqueeze(1)
    material = world.scene.meshes.materials[view.source[used]]
    own = world.palette.own_color[material]
    color = torch.where(
        (own >= 0).unsqueeze(1), world.colors[part, own.clamp(min=0)], world.palette.table[material, :3]
    )
    columns = [
        u[:, :1],
        v[:, :1],
        normals[:, 0],
        along_u,
        along_v,
        color,
        world.seeds[part, None],
        world.lit[part, None],
    ]
    row = torch.cat(columns, dim=1).index_select(0, slot).T.contiguous()
    x = (pixel % camera.width) - row[0]
    y = torch.div(pixel, camera.width, rounding_mode="floor") - row[1]
    normal = row[2:5] + x * row[5:8] + y * row[8:11]
    normal = normal / (normal * normal).sum(dim=0).sqrt_().clamp_(min=1e-9)
    depth = 1 / nearness
    surface = Surface(
        points=eye[:, None] + rays * depth,
        normals=normal,
        view=rays / length,
        distance=length * depth,
        footprint=depth * (1 / float(camera.intrinsics[0, 0])),
        material=material.index_select(0, slot),
        color=row[11:14],
        seed=row[14],
        lit=row[15],
    )
    return surface, part.index_select(0, slot)


def _moving_shadows(world: World, instances: Instances, moment: Moment) -> ShadowMap | None:
    """The shadows of what moves, the ego's own among them."""
    if world.still_shadows is None:
        return None
    parts = world.scene.parts
    parked = np.concatenate([world.scenario.agents.parked, [True, False]])  # -2: the ego, -1: what gets no box
    center = instances.center[:, :2].cpu().numpy()
    near = np.linalg.norm(center - moment.ego[:2], axis=1) < MOVING_SHADOW_REACH_M
    chosen = np.flatnonzero(
        near & instances.present & np.where(parts.agent == -2, True, ~parked[parts.agent] & (parts.agent >= 0))
    )
    corners = world_corners(world.scene, instances, chosen, fine=False)
    middle = torch.from_numpy(moment.ego[:2].astype(np.float32)).to(world.scene.device)
    return cast_shadows(
        corners, world.light.to_sun, middle - MOVING_SHADOW_REACH_M, middle + MOVING_SHADOW_REACH_M, MOVING_SHADOW_M
    )


def _dead(world: World, camera: MountedCamera) -> Picture:
    shape = (camera.height, camera.width)
    device = world.scene.device
    nothing = np.zeros(len(world.scenario.agents), dtype=np.int64)
    return Picture(
        np.zeros((*shape, 3), np.uint8),
        torch.full(shape, float("inf"), device=device),
        torch.full(shape, -1, dtype=torch.int64, device=device),
        nothing,
        nothing,
    )
