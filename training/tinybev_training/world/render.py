"""Pictures: one camera at one moment, with depth and the instance in every pixel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tinybev.geometry import Array, invert
from tinybev_training.world.cameras import MountedCamera
from tinybev_training.world.develop import develop
from tinybev_training.world.ground import Ground, build_ground
from tinybev_training.world.lighting import Light
from tinybev_training.world.raycast import Hits, Spans, clip_near, find_spans, nearest_hits
from tinybev_training.world.scenario import Moment, Scenario
from tinybev_training.world.scene import Instances, Scene, build_scene, place_parts
from tinybev_training.world.shading import Palette, Surface, Surroundings, shade_ground, shade_objects, shade_sky
from tinybev_training.world.shadows import ShadowMap, cast_shadows
from tinybev_training.world.weather import Weather

NEAR_M = 0.15
FAR_M = 190.0
FINE_RADIUS_PX = 26.0
"""Objects that look larger than this are drawn with all their detail."""
MIN_RADIUS_PX = 0.6
STILL_SHADOW_M = 0.14
MOVING_SHADOW_M = 0.10
MOVING_SHADOW_REACH_M = 60.0


@dataclass(frozen=True)
class World:
    """A scenario ready to be looked at, in one kind of weather."""

    scene: Scene
    weather: Weather
    light: Light
    ground: Ground
    palette: Palette
    still_shadows: ShadowMap | None
    colors: Tensor
    """(P, 3, 3) the instances' own colours."""
    seeds: Tensor
    lit: Tensor
    agents: Tensor
    """(P,) index of the agent of each part, negative for what gets no box."""

    @property
    def scenario(self) -> Scenario:
        """What is shown."""
        return self.scene.scenario


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


def build_world(scenario: Scenario, weather: Weather, device: torch.device | str = "cpu") -> World:
    """Meshes, ground and still shadows of a scenario; takes a second or two, once per scene."""
    where = torch.device(device)
    scene = build_scene(scenario, where)
    light = Light.of(weather, where)
    parts = scene.parts
    shadows = None
    if weather.night == 0 and float(light.sun.max()) > 0.02:
        parked = np.concatenate([scenario.agents.parked, [False, False]])
        still = (parts.agent == -1) | ((parts.agent >= 0) & parked[parts.agent])
        moment = scenario.at(scenario.start_ns)
        corners = _world_corners(scene, place_parts(scene, moment), np.flatnonzero(still), fine=False)
        track = torch.from_numpy(scenario.ego[:, :2].astype(np.float32)).to(where)
        shadows = cast_shadows(corners, light.to_sun, track.amin(0) - 85.0, track.amax(0) + 85.0, STILL_SHADOW_M)
    return World(
        scene=scene,
        weather=weather,
        light=light,
        ground=build_ground(scenario, shadows if weather.night == 0 else None, where, night=weather.night > 0),
        palette=Palette.on(where),
        still_shadows=shadows,
        colors=torch.from_numpy(parts.colors).to(where),
        seeds=torch.from_numpy(parts.seed).to(where),
        lit=torch.from_numpy(parts.lit.astype(np.float32)).to(where),
        agents=torch.from_numpy(parts.agent).to(where),
    )


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
        moment = Moment(stamp_ns, np.asarray(ego, dtype=np.float64), moment.poses, moment.present)
    if camera.name in world.weather.dead:
        return _dead(world, camera)
    instances = place_parts(world.scene, moment)
    scene_T_camera = pose_matrix(moment.ego) @ camera.base_T_camera
    view = _look(world.scene, instances, scene_T_camera, camera)
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
        coverage = _coverage(world, view, camera, total)
        seen = agent[agent >= 0]
        visible = torch.bincount(seen, minlength=total).cpu().numpy()
    rgb = develop(color, world.light, world.weather, stamp_ns, camera.name)
    return Picture(rgb, depth, agent, coverage, visible)


def pose_matrix(pose: NDArray[np.float64]) -> Array:
    """(4, 4) of x, y, yaw."""
    matrix = np.eye(4)
    cos, sin = np.cos(pose[2]), np.sin(pose[2])
    matrix[:2, :2] = [[cos, -sin], [sin, cos]]
    matrix[:2, 3] = pose[:2]
    return matrix


@dataclass(frozen=True)
class _View:
    """The triangles in front of a camera: pieces left by the near plane, their parts, corners, and spans of pixels."""

    source: Tensor
    part: Tensor
    weights: Tensor
    u: Tensor
    v: Tensor
    nearness: Tensor
    spans: Spans
    normal_matrix: Tensor


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


def _world_corners(scene: Scene, instances: Instances, chosen: NDArray[np.int64], *, fine: bool) -> Tensor:
    triangle, part = select_triangles(scene, chosen, np.full(len(chosen), fine))
    corners = scene.meshes.corners[triangle]
    return torch.baddbmm(instances.offset[part].unsqueeze(1), corners, instances.linear[part].transpose(1, 2))


def _look(scene: Scene, instances: Instances, scene_T_camera: Array, camera: MountedCamera) -> _View:
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
    return _View(triangle[piece], part[piece], weights, u, v, nearness, spans, instances.normal)


def _shade(
    world: World, view: _View, hits: Hits, scene_T_camera: Array, camera: MountedCamera, around: Surroundings
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
    view: _View,
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
    corners = _world_corners(world.scene, instances, chosen, fine=False)
    middle = torch.from_numpy(moment.ego[:2].astype(np.float32)).to(world.scene.device)
    return cast_shadows(
        corners, world.light.to_sun, middle - MOVING_SHADOW_REACH_M, middle + MOVING_SHADOW_REACH_M, MOVING_SHADOW_M
    )


def _coverage(world: World, view: _View, camera: MountedCamera, total: int) -> NDArray[np.int64]:
    """Pixels (N,) that each agent covers by itself: rows of its triangles, painted on a sheet of its own."""
    from tinybev_training.world.raycast import expand

    agent = world.agents[view.part[view.spans.triangle]]
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
