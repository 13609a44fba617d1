"""A scenario ready to be looked at: its meshes, its ground, its light, its still shadows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tinybev.geometry import Array
from tinybev_training.world.ground import Ground
from tinybev_training.world.ground_table import build_ground
from tinybev_training.world.instances import place_parts
from tinybev_training.world.lighting import Light
from tinybev_training.world.scenario import Scenario
from tinybev_training.world.scene import Scene, build_scene
from tinybev_training.world.shading import Palette
from tinybev_training.world.shadows import ShadowMap, cast_shadows
from tinybev_training.world.view import world_corners
from tinybev_training.world.weather import Weather

STILL_SHADOW_M = 0.14


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


def build_world(scenario: Scenario, weather: Weather, device: torch.device | str = "cpu") -> World:
    """Meshes, ground and still shadows of a scenario; takes a second or two, once per scene."""
    where = torch.device(device)
    scene = build_scene(scenario, where)
    light = Light.of(weather, where)
    parts = scene.parts
    shadows = None
    if weather.night == 0 and float(light.sun.max()) > 0.02:
        parked = np.concatenate([scenario.agents.parked, [False, False]])
        instances = place_parts(scene, scenario.at(scenario.start_ns))
        still = (parts.agent == -1) & instances.present | ((parts.agent >= 0) & parked[parts.agent])
        corners = world_corners(scene, instances, np.flatnonzero(still), fine=False)
        track = torch.from_numpy(scenario.ego[:, :2].astype(np.float32)).to(where)
        shadows = cast_shadows(corners, light.to_sun, track.amin(0) - 85.0, track.amax(0) + 85.0, STILL_SHADOW_M)
    return World(
        scene=scene,
        weather=weather,
        light=light,
        ground=build_ground(scenario, shadows, where, night=weather.night > 0),
        palette=Palette.on(where),
        still_shadows=shadows,
        colors=torch.from_numpy(parts.colors).to(where),
        seeds=torch.from_numpy(parts.seed).to(where),
        lit=torch.from_numpy(parts.lit.astype(np.float32)).to(where),
        agents=torch.from_numpy(parts.agent).to(where),
    )


def pose_matrix(pose: NDArray[np.float64]) -> Array:
    """(4, 4) of x, y, yaw."""
    matrix = np.eye(4)
    cos, sin = np.cos(pose[2]), np.sin(pose[2])
    matrix[:2, :2] = [[cos, -sin], [sin, cos]]
    matrix[:2, 3] = pose[:2]
    return matrix
