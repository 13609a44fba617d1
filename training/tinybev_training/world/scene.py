"""A scenario as triangles on a device: every object is one or more parts, every part an instance of a mesh."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tinybev_training.world import people, street, vehicles
from tinybev_training.world.catalogue import EGO_MODEL, EGO_REAR_AXLE_TO_CENTER, MODELS
from tinybev_training.world.materials import CLOTHES, LEGWEARS, PAINT_SHARES, PAINTS, WALLS, Material
from tinybev_training.world.scenario import TICK_NS, Moment, PropKind, Scenario
from tinybev_training.world.shapes import Mesh, fitted, from_triangles, join

DETAILS = (2, 1)
"""Meshes come in two levels: near and far."""
KERB_HEIGHT = 0.11
KERB_WIDTH = 0.16
TREE_VARIANTS = 6


@dataclass(frozen=True)
class Meshes:
    """Meshes one after another: (T, 3, 3) corners, normals, (T,) materials; ``ranges`` (M, 2 levels, 2) start, end."""

    corners: Tensor
    normals: Tensor
    materials: Tensor
    ranges: NDArray[np.int64]


@dataclass(frozen=True)
class Parts:
    """P instances.

    Attributes:
        mesh: (P,) index into the meshes' ranges.
        agent: (P,) index of the agent it belongs to, -1 for what gets no box, -2 for the ego.
        scale: (P, 3) of the mesh.
        pivot: (P, 2) x, z of the axis about which it swings, in metres after scaling.
        swing: (P,) share of the swing, 0 for rigid parts.
        pose: (P, 3) x, y, yaw of what stands still.
        radius: (P,) of a sphere about the middle of the object's height that holds it; ``middle`` (P,) that height.
        colors: (P, 3, 3) what the instance's paint, cloth and legwear are.
        seed: (P,) 0 to 1, varies textures.
        lit: (P,) whether its lights are on at night.
    """

    mesh: NDArray[np.int64]
    agent: NDArray[np.int64]
    scale: NDArray[np.float64]
    pivot: NDArray[np.float64]
    swing: NDArray[np.float64]
    pose: NDArray[np.float64]
    radius: NDArray[np.float64]
    middle: NDArray[np.float64]
    colors: NDArray[np.float32]
    seed: NDArray[np.float32]
    lit: NDArray[np.bool_]


class PartList:
    """Collects parts one object at a time."""

    def __init__(self) -> None:
        self._rows: list[tuple[object, ...]] = []

    def add(
        self,
        mesh: int,
        agent: int,
        scale: tuple[float, float, float],
        radius: float,
        middle: float,
        *,
        pose: tuple[float, float, float] = (0.0, 0.0, 0.0),
        pivot: tuple[float, float] = (0.0, 0.0),
        swing: float = 0.0,
        colors: NDArray[np.float32] | None = None,
        seed: float = 0.0,
        lit: bool = False,
    ) -> None:
        """One part; see :class:`Parts`."""
        look = np.full((3, 3), 0.5, np.float32) if colors is None else colors
        self._rows.append((mesh, agent, scale, pivot, swing, pose, radius, middle, look, seed, lit))

    def done(self) -> Parts:
        """All of them."""
        columns = list(zip(*self._rows, strict=True))
        kinds = (np.int64, np.int64, float, float, float, float, float, float, np.float32, np.float32, bool)
        return Parts(*(np.array(column, dtype=kind) for column, kind in zip(columns, kinds, strict=True)))


@lru_cache(maxsize=1)
def shared_meshes() -> dict[str, tuple[Mesh, ...]]:
    """The meshes that every scene uses, by name, each at two levels of detail."""
    made: dict[str, tuple[Mesh, ...]] = {}

    def both(name: str, *levels: Mesh) -> None:
        made[name] = levels if len(levels) == 2 else (levels[0], levels[0])

    for name, shape in vehicles.CARS.items():
        both(name, *(vehicles.car(shape, detail) for detail in DETAILS))
    for build in (vehicles.box_truck, vehicles.tractor, vehicles.trailer, vehicles.bus, vehicles.excavator):
        both(build.__name__, *(build(detail) for detail in DETAILS))
    both("bicycle", *(people.ridden_bicycle(detail) for detail in DETAILS))
    both("motorcycle", *(people.ridden_motorcycle(detail) for detail in DETAILS))
    both("parked_bicycle", *(fitted(vehicles.bicycle(detail), (1.78, 0.52, 1.08)) for detail in DETAILS))
    both("parked_motorcycle", *(fitted(vehicles.motorcycle(detail), (2.1, 0.76, 1.18)) for detail in DETAILS))
    for hair in (0, 1):
        near, far = (people.pedestrian(detail, bool(hair)) for detail in DETAILS)
        for index in range(len(near)):
            both(f"person{hair}.{index}", near[index].mesh, far[index].mesh)
    both("traffic_cone", *(street.cone(detail) for detail in DETAILS))
    both("barrier", street.barrier())
    for species in range(3):
        for variant in range(TREE_VARIANTS):
            both(f"tree{species}.{variant}", *(street.tree(species, 7 + variant, detail) for detail in DETAILS))
    for variant in range(3):
        both(f"bush{variant}", *(street.bush(40 + variant, detail) for detail in DETAILS))
    both("lamp", street.lamp())
    both("signal0", street.signal(False))
    both("signal1", street.signal(True))
    for kind in range(4):
        both(f"sign{kind}", street.sign(kind))
    both("bench", street.bench())
    both("hydrant", street.hydrant())
    return made


@dataclass(frozen=True)
class Scene:
    """A scenario ready to be rendered on a device."""

    scenario: Scenario
    meshes: Meshes
    parts: Parts
    walked: NDArray[np.float64]
    """(T, N) metres that each agent has gone since the first tick: people swing their legs by it."""

    @property
    def device(self) -> torch.device:
        """Where the triangles are."""
        return self.meshes.corners.device


def build_scene(scenario: Scenario, device: torch.device | str = "cpu") -> Scene:
    """Instances of meshes for everything in a scenario."""
    shared = shared_meshes()
    names = {name: index for index, name in enumerate(shared)}
    levels: list[tuple[Mesh, ...]] = list(shared.values())
    parts = PartList()
    _add_agents(scenario, names, parts)
    _add_props(scenario, names, levels, parts)
    for kerb in kerbs(scenario):
        center = kerb.corners.reshape(-1, 3).mean(axis=0)
        radius = float(np.linalg.norm(kerb.corners.reshape(-1, 3) - center, axis=1).max())
        local = kerb.moved(-center[0], -center[1], 0.0)
        levels.append((local, local))
        parts.add(len(levels) - 1, -1, (1, 1, 1), radius, 0.0, pose=(center[0], center[1], 0.0))
    moved = np.linalg.norm(
        np.diff(scenario.agents.poses[:, :, :2].astype(float), axis=0, prepend=scenario.agents.poses[:1, :, :2]), axis=2
    )
    return Scene(scenario, _pack(levels, torch.device(device)), parts.done(), moved.cumsum(axis=0))


def _pack(levels: list[tuple[Mesh, ...]], device: torch.device) -> Meshes:
    meshes, ranges, start = [], [], 0
    for pair in levels:
        row = []
        for index, mesh in enumerate(pair):
            if index and mesh is pair[0]:
                row.append(row[0])
                continue
            row.append((start, start + len(mesh)))
            meshes.append(mesh)
            start += len(mesh)
        ranges.append(row)
    whole = join(*meshes)
    return Meshes(
        torch.from_numpy(whole.corners.astype(np.float32)).to(device),
        torch.from_numpy(whole.normals.astype(np.float32)).to(device),
        torch.from_numpy(whole.materials.astype(np.int64)).to(device),
        np.array(ranges, dtype=np.int64),
    )


def _add_agents(scenario: Scenario, names: dict[str, int], parts: PartList) -> None:
    agents = scenario.agents
    for index, (model_id, size, look) in enumerate(
        zip(agents.models, agents.sizes.astype(float), agents.looks, strict=True)
    ):
        model = MODELS[model_id]
        rng = np.random.default_rng(int(look))
        colors = _colors(model.name, rng)
        radius, middle = float(np.linalg.norm(size)) / 2, size[2] / 2
        if model.detection_class == "pedestrian":
            hair = int(rng.random() < 0.45)
            scale = size[2] / people.HEIGHT
            for number, limb in enumerate(people.pedestrian(1, bool(hair))):
                parts.add(
                    names[f"person{hair}.{number}"],
                    index,
                    (scale, scale, scale),
                    radius,
                    middle,
                    pivot=(limb.pivot[0] * scale, limb.pivot[1] * scale),
                    swing=limb.swing,
                    colors=colors,
                )
            continue
        factors = size / np.array(model.size)
        lit = not agents.parked[index]
        parts.add(
            names[model.name], index, tuple(factors), radius, middle, colors=colors, seed=float(rng.random()), lit=lit
        )
    length, _, height = EGO_MODEL.size
    parts.add(names["ego"], -2, (1, 1, 1), length / 2 + 0.5, height / 2, colors=np.full((3, 3), 0.6, np.float32))


def _colors(model: str, rng: np.random.Generator) -> NDArray[np.float32]:
    paint = PAINTS[rng.choice(len(PAINTS), p=PAINT_SHARES / PAINT_SHARES.sum())] * rng.uniform(0.85, 1.15)
    if model == "bus":
        paint = np.array(
            [[0.62, 0.06, 0.05], [0.70, 0.50, 0.05], [0.05, 0.22, 0.42], [0.10, 0.32, 0.18], [0.68, 0.68, 0.66]]
        )[rng.integers(5)]
    cloth = CLOTHES[rng.integers(len(CLOTHES))] * rng.uniform(0.75, 1.2)
    if model in ("box_truck", "trailer"):
        # The tarpaulin of a lorry takes the place of clothes.
        cloth = np.array(
            [[0.68, 0.68, 0.66], [0.55, 0.56, 0.58], [0.08, 0.16, 0.36], [0.50, 0.08, 0.06], [0.62, 0.52, 0.12]]
        )[rng.integers(5)]
    return np.stack([paint, cloth, LEGWEARS[rng.integers(len(LEGWEARS))]]).astype(np.float32)


def _add_props(scenario: Scenario, names: dict[str, int], levels: list[tuple[Mesh, ...]], parts: PartList) -> None:
    props = scenario.props
    for kind, pose, size, look in zip(
        props.kinds, props.poses.astype(float), props.sizes.astype(float), props.looks, strict=True
    ):
        rng = np.random.default_rng(int(look))
        where = {"pose": tuple(pose), "seed": float(rng.random())}
        if kind == PropKind.BUILDING:
            length, width, height = size
            mesh = street.building(length, width, height, int(look))
            levels.append((mesh, mesh))
            wall = WALLS[rng.integers(len(WALLS))] * rng.uniform(0.8, 1.1)
            colors = np.stack([wall, wall, wall]).astype(np.float32)
            radius = float(np.linalg.norm([length + 1, width + 1, height * 1.5 + 3])) / 2
            parts.add(len(levels) - 1, -1, (1, 1, 1), radius, height / 2, colors=colors, **where)
        elif kind == PropKind.TREE:
            species, spread, height = int(size[0]), size[1] / street.TREE_SPREAD, size[2] / street.TREE_HEIGHT
            leaf = np.array([[0.10, 0.20, 0.04], [0.05, 0.13, 0.05], [0.16, 0.22, 0.05]])[species] * rng.uniform(
                0.7, 1.25, 3
            )
            mesh_id = names[f"tree{species}.{rng.integers(TREE_VARIANTS)}"]
            colors = np.tile(leaf, (3, 1)).astype(np.float32)
            parts.add(mesh_id, -1, (spread, spread, height), size[2] * 0.6, size[2] / 2, colors=colors, **where)
        elif kind == PropKind.BUSH:
            leaf = np.array([0.09, 0.17, 0.05]) * rng.uniform(0.7, 1.3, 3)
            colors = np.tile(leaf, (3, 1)).astype(np.float32)
            parts.add(names[f"bush{rng.integers(3)}"], -1, tuple(size), 1.3, 0.5, colors=colors, **where)
        else:
            name = {PropKind.LAMP: "lamp", PropKind.BENCH: "bench", PropKind.HYDRANT: "hydrant"}.get(kind)
            if kind == PropKind.SIGN:
                name = f"sign{int(size[0])}"
            elif kind == PropKind.SIGNAL:
                name = f"signal{int(rng.random() < 0.5)}"
            assert name is not None
            parts.add(names[name], -1, (1, 1, 1), 4.4 if size[2] > 3 else 1.6, size[2] / 2, lit=True, **where)


def kerbs(scenario: Scenario) -> list[Mesh]:
    """Kerb stones along the asphalt, in stretches of some twenty metres; lowered where people cross."""
    from shapely import MultiPolygon, Point, prepare

    crossings = MultiPolygon(scenario.roads.crossings.polygons()).buffer(0.6)
    prepare(crossings)
    stretches: list[Mesh] = []
    for polygon in scenario.roads.drivable.polygons():
        for ring in (polygon.exterior, *polygon.interiors):
            line = np.asarray(ring.coords)
            if ring.is_ccw == (ring is not polygon.exterior):
                line = line[::-1]  # the asphalt is on the left
            a, b = line[:-1], line[1:]
            step = b - a
            length = np.linalg.norm(step, axis=1)
            out = np.stack([step[:, 1], -step[:, 0]], axis=1) / np.maximum(length, 1e-9)[:, None] * KERB_WIDTH
            kept = np.array([not crossings.contains(Point(*point)) for point in (a + b) / 2]) & (length > 1e-3)
            low = np.zeros((len(a), 1))
            high = np.full((len(a), 1), KERB_HEIGHT)
            near = [np.hstack([p, z]) for p in (a, b) for z in (low, high)]
            far = [np.hstack([p + out, z]) for p in (a, b) for z in (low, high)]
            face = np.stack([near[2], near[0], near[1], near[3]], axis=1)
            top = np.stack([near[3], near[1], far[1], far[3]], axis=1)
            back = np.stack([far[0], far[2], far[3], far[1]], axis=1)
            quad = np.stack([face, top, back], axis=1)[kept]
            for start in range(0, len(quad), 12):
                q = quad[start : start + 12].reshape(-1, 4, 3)
                stretches.append(from_triangles(np.stack([q[:, [0, 1, 2]], q[:, [0, 2, 3]]], axis=1), Material.KERB))
    return [stretch for stretch in stretches if len(stretch)]


@dataclass(frozen=True)
class Instances:
    """The parts at one moment: (P, 3, 3) ``linear`` and (P, 3) ``offset`` take a mesh's points to the scenario's frame.

    ``normal`` (P, 3, 3) takes its normals; ``center`` (P, 3) is the middle of a sphere around each part;
    ``present`` (P,).
    """

    linear: Tensor
    offset: Tensor
    normal: Tensor
    center: Tensor
    present: NDArray[np.bool_]


def place_parts(scene: Scene, moment: Moment) -> Instances:
    """Where every part is at a moment."""
    parts, scenario = scene.parts, scene.scenario
    pose = parts.pose.copy()
    present = np.ones(len(pose), dtype=bool)
    of_agent = parts.agent >= 0
    index = parts.agent[of_agent]
    pose[of_agent] = moment.poses[index]
    present[of_agent] = moment.present[index]
    ego = parts.agent == -2
    yaw = moment.ego[2]
    pose[ego] = moment.ego + EGO_REAR_AXLE_TO_CENTER * np.array([np.cos(yaw), np.sin(yaw), 0.0])
    tick = np.clip((moment.stamp_ns - scenario.start_ns) / TICK_NS, 0, len(scenario.ego) - 1)
    low = int(tick)
    high = min(low + 1, len(scenario.ego) - 1)
    walked = scene.walked[low] + (tick - low) * (scene.walked[high] - scene.walked[low])
    speed = (scene.walked[high] - scene.walked[low]) / (TICK_NS / 1e9)
    swing = np.zeros(len(pose))
    phase = 2 * np.pi * walked[index] / people.STRIDE_M + scenario.agents.looks[index] % 7
    swing[of_agent] = parts.swing[of_agent] * people.SWING_RAD * np.sin(phase) * np.clip(speed[index] / 0.8, 0.12, 1.0)
    linear, offset = _transforms(pose, parts.scale, parts.pivot, swing)
    normal = np.linalg.inv(linear).transpose(0, 2, 1)
    center = np.concatenate([pose[:, :2], parts.middle[:, None]], axis=1)

    def on_device(array: NDArray[np.float64]) -> Tensor:
        return torch.from_numpy(array.astype(np.float32)).to(scene.device)

    return Instances(on_device(linear), on_device(offset), on_device(normal), on_device(center), present)


def _transforms(
    pose: NDArray[np.float64], scale: NDArray[np.float64], pivot: NDArray[np.float64], swing: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Scale, then swing about the pivot, then stand at the pose."""
    zeros, ones = np.zeros(len(pose)), np.ones(len(pose))
    cos, sin = np.cos(swing), np.sin(swing)
    swung = np.stack([cos, zeros, sin, zeros, ones, zeros, -sin, zeros, cos], axis=1).reshape(-1, 3, 3)
    axis = np.stack([pivot[:, 0], zeros, pivot[:, 1]], axis=1)
    cos, sin = np.cos(pose[:, 2]), np.sin(pose[:, 2])
    turned = np.stack([cos, -sin, zeros, sin, cos, zeros, zeros, zeros, ones], axis=1).reshape(-1, 3, 3)
    linear = turned @ swung * scale[:, None, :]
    shift = axis - np.einsum("pij,pj->pi", swung, axis)
    offset = np.einsum("pij,pj->pi", turned, shift) + np.concatenate([pose[:, :2], zeros[:, None]], axis=1)
    return linear, offset
