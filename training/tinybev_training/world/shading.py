"""Colour of what rays hit: objects, ground and sky, in linear light. Vectors lie in planes, (3, N)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tinybev_training.world.facade import facade_look
from tinybev_training.world.ground import Ground, look_at_ground
from tinybev_training.world.lighting import Light, ambient_light, sky_color
from tinybev_training.world.materials import MATERIAL_TABLE, Material, Texture
from tinybev_training.world.noise import leaf_tile, look_up, smooth_tile
from tinybev_training.world.shadows import ShadowMap

_OWN_COLOR = {
    Material.PAINT: 0,
    Material.WALL: 0,
    Material.LEAVES: 0,
    Material.CLOTH: 1,
    Material.TARPAULIN: 1,
    Material.LEGWEAR: 2,
}
HEADLIGHT_REACH_M = 38.0
HEADLIGHT_AHEAD_M = 3.2


@dataclass(frozen=True)
class Palette:
    """Materials as tensors: (M, 7) table, (M,) which colour of the instance takes the table's place, -1 for none."""

    table: Tensor
    own_color: Tensor

    @classmethod
    def on(cls, device: torch.device) -> Palette:
        """The palette on a device."""
        own = [_OWN_COLOR.get(material, -1) for material in Material]
        return cls(torch.from_numpy(MATERIAL_TABLE).to(device), torch.tensor(own, device=device))


@dataclass(frozen=True)
class Surroundings:
    """What light a point gets: sun and sky, shadows, street lamps, and the headlights of an ego at (x, y, yaw)."""

    light: Light
    ground: Ground
    still_shadows: ShadowMap | None
    moving_shadows: ShadowMap | None
    ego: NDArray[np.float64]

    def direct(self, points: Tensor, still: Tensor | None = None) -> Tensor:
        """The share (N,) of the sun's light at points (3, N); ``still`` (N,) is what standing things leave."""
        if still is None:
            still = torch.ones_like(points[0]) if self.still_shadows is None else self.still_shadows.sunlit(points)
        return still if self.moving_shadows is None else still * self.moving_shadows.sunlit(points)

    def lamps(self, points: Tensor, normals: Tensor | None, street: Tensor | None = None) -> Tensor:
        """Light (3, N) of street lamps and of the ego's headlights; ``normals`` None is the ground."""
        x, y = points[0], points[1]
        street = self.ground.light_at(x, y) if street is None else street
        if normals is not None:
            street = street * (normals[2] * 0.35 + 0.65)
        light = torch.tensor([1.15, 0.84, 0.50], device=x.device)[:, None] * street
        cos, sin = float(np.cos(self.ego[2])), float(np.sin(self.ego[2]))
        dx = x - (float(self.ego[0]) + HEADLIGHT_AHEAD_M * cos)
        dy = y - (float(self.ego[1]) + HEADLIGHT_AHEAD_M * sin)
        ahead, side = cos * dx + sin * dy, cos * dy - sin * dx
        distance = torch.hypot(ahead, side).clamp_(min=1.0)
        wide = side / ahead.clamp(min=0.5) * (1 / 0.42)
        beam = torch.exp(-wide * wide) * (ahead > 0.3) * (1 - distance / HEADLIGHT_REACH_M).clamp_(min=0)
        beam = beam * 60.0 / (distance * distance * 0.25 + 22.0)
        if normals is None:
            facing = (1.6 / distance).clamp_(max=0.5) + 0.12
        else:
            facing = (-(normals[0] * dx + normals[1] * dy) / distance).clamp_(min=0.05)
        head = torch.tensor([0.95, 0.97, 1.0], device=x.device)[:, None] * (beam * facing)
        return (light + head) * self.light.night


@dataclass(frozen=True)
class Surface:
    """N hits on objects: where, facing where, made of what.

    Attributes:
        points, normals, view: (3, N); ``view`` is the unit direction of sight.
        distance: (N,) metres from the eye.
        footprint: (N,) metres that a pixel covers there.
        material: (N,).
        color: (3, N) of the material or of the instance.
        seed: (N,) 0 to 1, of the instance.
        lit: (N,) whether its lights are on at night.
    """

    points: Tensor
    normals: Tensor
    view: Tensor
    distance: Tensor
    footprint: Tensor
    material: Tensor
    color: Tensor
    seed: Tensor
    lit: Tensor


def shade_objects(surface: Surface, around: Surroundings, palette: Palette) -> Tensor:
    """Radiance (3, N) of objects."""
    light, normals, points = around.light, surface.normals, surface.points
    properties = palette.table[:, 3:].T.contiguous().index_select(1, surface.material)
    gloss, texture = properties[0], properties[3]
    glow = properties[1] + light.night * properties[2] * surface.lit
    albedo = _textured(surface, texture)
    emitted = albedo * glow
    facade = (texture == int(Texture.FACADE)).nonzero().squeeze(1)
    if len(facade):
        look = facade_look(
            points.index_select(1, facade),
            normals.index_select(1, facade),
            surface.color.index_select(1, facade),
            surface.seed.index_select(0, facade),
            surface.footprint.index_select(0, facade),
            light.night,
        )
        albedo = albedo.index_copy(1, facade, look.albedo)
        gloss = gloss.index_copy(0, facade, look.gloss)
        emitted = emitted.index_copy(1, facade, look.emitted)
    facing = (light.to_sun @ normals).clamp_(min=0)
    # Leaves let some light through.
    facing = torch.where(texture == int(Texture.FOLIAGE), 0.25 + 0.75 * facing, facing)
    direct = around.direct(points + 0.04 * normals)
    # Near the ground less of the sky is seen.
    open_sky = (0.62 + 0.25 * points[2]).clamp_(max=1.0)
    incoming = ambient_light(light, normals[2]) * open_sky + light.sun[:, None] * (facing * direct)
    if light.night > 0:
        incoming = incoming + around.lamps(points, normals)
    color = albedo * incoming
    shiny = (gloss > 0.08).nonzero().squeeze(1)
    if len(shiny):
        n, view = normals.index_select(1, shiny), surface.view.index_select(1, shiny)
        strength = gloss.index_select(0, shiny)
        cosine = (-(n * view).sum(dim=0)).clamp_(0, 1)
        mirrored = view + 2 * cosine * n
        below = (light.bounce * 0.40 + 0.02 * light.horizon)[:, None]
        seen = torch.where(mirrored[2] > 0.02, sky_color(light, mirrored).clamp_(max=3.0), below)
        fresnel = strength * (0.05 + 0.75 * (1 - cosine).pow(4))
        sparkle = (light.to_sun @ mirrored).clamp_(min=0).pow(90) * direct.index_select(0, shiny) * strength * 0.9
        shone = torch.lerp(color.index_select(1, shiny), seen, fresnel) + light.sun[:, None] * sparkle
        color = color.index_copy(1, shiny, shone)
    return _fogged(color + emitted, surface.distance, light)


def _textured(surface: Surface, texture: Tensor) -> Tensor:
    """The reflectance (3, N) with grain on rough materials and leaves on trees."""
    points, normals = surface.points, surface.normals
    tile = smooth_tile(points.device)
    factor = torch.ones_like(points[0])
    rough = (texture == int(Texture.ROUGH)).nonzero().squeeze(1)
    if len(rough):
        x, y, z = points.index_select(1, rough)
        fade = 0.07 * (0.03 / surface.footprint.index_select(0, rough).clamp_(min=0.03))
        grain = look_up(tile, (x + y) * 43 + 8192, z * 43 + x * 11 + 8192)
        factor[rough] = (1 + fade * grain).clamp_(0.4, 1.6)
    foliage = (texture == int(Texture.FOLIAGE)).nonzero().squeeze(1)
    if len(foliage):
        x, y, z = points.index_select(1, foliage)
        nx, ny, _ = normals.index_select(1, foliage)
        fade = (0.12 / surface.footprint.index_select(0, foliage).clamp_(min=0.02)).clamp_(max=1)
        spread = x * ny - y * nx
        leaf = look_up(leaf_tile(points.device), spread * 42 + 8192, (z + 0.3 * (x + y)) * 42 + 8192)
        clump = look_up(tile, spread * 30 + 8192, z * 30 + 8192)
        factor[foliage] = (1 + 0.42 * fade * leaf + 0.18 * clump).clamp_(0.2, 2)
    return surface.color * factor


def shade_ground(
    points: Tensor, view: Tensor, distance: Tensor, across: Tensor, along: Tensor, around: Surroundings
) -> Tensor:
    """Radiance (3, N) of the ground at points (3, N) seen along unit directions (3, N).

    ``distance`` (N,) is from the eye, ``across`` and ``along`` (N,) the pixel's footprint, metres.
    """
    light = around.light
    flat = view[:2] / torch.hypot(view[0], view[1]).clamp_(min=1e-6)
    look = look_at_ground(around.ground, points[0], points[1], across, along, flat, light)
    incoming = ambient_light(light, torch.ones_like(distance))
    if light.night == 0:
        share = around.direct(points, look.lit)
        incoming = incoming * (0.80 + 0.20 * share) + (light.sun * light.to_sun[2])[:, None] * share
    if light.night > 0:
        incoming = incoming + around.lamps(points, None, look.lit)
    color = look.albedo * incoming
    if light.wet > 0:
        mirrored = torch.stack([view[0], view[1], -view[2]])
        fresnel = look.gloss * (0.04 + 0.8 * (1 - mirrored[2].clamp(0, 1)).pow(5))
        color = torch.lerp(color, 0.85 * sky_color(light, mirrored).clamp_(max=2.0), fresnel)
    return _fogged(color, distance, light)


def shade_sky(view: Tensor, light: Light) -> Tensor:
    """Radiance (3, N) of the sky along unit directions (3, N); fog hides its lower part."""
    clear = sky_color(light, view)
    depth = 260.0 / (view[2].clamp(min=0.0) + 0.03) ** 0.9
    return torch.lerp(light.fog_color[:, None], clear, torch.exp(-max(light.fog - 0.0008, 0.0) * depth))


def _fogged(color: Tensor, distance: Tensor, light: Light) -> Tensor:
    haze = light.horizon if light.fog < 0.003 else light.fog_color
    return torch.lerp(haze[:, None], color, torch.exp(-light.fog * distance))
