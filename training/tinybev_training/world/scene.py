"""A scenario as triangles on a device: every object is one or more parts, every part an instance of a mesh."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from tinybev_training.world import people, street
from tinybev_training.world.catalogue import EGO_MODEL, MODELS
from tinybev_training.world.kerbs import kerbs
from tinybev_training.world.materials import CLOTHES, LEGWEARS, PAINT_SHARES, PAINTS, WALLS
from tinybev_training.world.meshes import TREE_VARIANTS, Meshes, pack, shared_meshes
from tinybev_training.world.parts import PartList, Parts
from tinybev_training.world.scenario import PropKind, Scenario, SignalState
from tinybev_training.world.shapes import Mesh


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
    _add_signals(scenario, names, parts)
    for kerb in kerbs(scenario):
        center = kerb.corners.reshape(-1, 3).mean(axis=0)
        radius = float(np.linalg.norm(kerb.corners.reshape(-1, 3) - center, axis=1).max())
        local = kerb.moved(-center[0], -center[1], 0.0)
        levels.append((local, local))
        parts.add(len(levels) - 1, -1, (1, 1, 1), radius, 0.0, pose=(center[0], center[1], 0.0))
    moved = np.linalg.norm(
        np.diff(scenario.agents.poses[:, :, :2].astype(float), axis=0, prepend=scenario.agents.poses[:1, :, :2]), axis=2
    )
    return Scene(scenario, pack(levels, torch.device(device)), parts.done(), moved.cumsum(axis=0))


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
        spot, seed = (float(pose[0]), float(pose[1]), float(pose[2])), float(rng.random())
        if kind == PropKind.BUILDING:
            length, width, height = size
            mesh = street.building(length, width, height, int(look))
            levels.append((mesh, mesh))
            wall = WALLS[rng.integers(len(WALLS))] * rng.uniform(0.8, 1.1)
            colors = np.stack([wall, wall, wall]).astype(np.float32)
            radius = float(np.linalg.norm([length + 1, width + 1, height * 1.5 + 3])) / 2
            parts.add(len(levels) - 1, -1, (1, 1, 1), radius, height / 2, colors=colors, pose=spot, seed=seed)
        elif kind == PropKind.TREE:
            species, spread, height = int(size[0]), size[1] / street.TREE_SPREAD, size[2] / street.TREE_HEIGHT
            leaf = np.array([[0.10, 0.20, 0.04], [0.05, 0.13, 0.05], [0.16, 0.22, 0.05]])[species] * rng.uniform(
                0.7, 1.25, 3
            )
            mesh_id = names[f"tree{species}.{rng.integers(TREE_VARIANTS)}"]
            colors = np.tile(leaf, (3, 1)).astype(np.float32)
            parts.add(
                mesh_id, -1, (spread, spread, height), size[2] * 0.6, size[2] / 2, colors=colors, pose=spot, seed=seed
            )
        elif kind == PropKind.BUSH:
            leaf = np.array([0.09, 0.17, 0.05]) * rng.uniform(0.7, 1.3, 3)
            colors = np.tile(leaf, (3, 1)).astype(np.float32)
            parts.add(names[f"bush{rng.integers(3)}"], -1, tuple(size), 1.3, 0.5, colors=colors, pose=spot, seed=seed)
        else:
            name = {PropKind.LAMP: "lamp", PropKind.BENCH: "bench", PropKind.HYDRANT: "hydrant"}.get(kind)
            if kind == PropKind.SIGN:
                name = f"sign{int(size[0])}"
            assert name is not None
            parts.add(
                names[name], -1, (1, 1, 1), 4.4 if size[2] > 3 else 1.6, size[2] / 2, lit=True, pose=spot, seed=seed
            )


def _add_signals(scenario: Scenario, names: dict[str, int], parts: PartList) -> None:
    """Each traffic light once in every colour, of which one at a time is there."""
    for index, pose in enumerate(scenario.signals.poses.astype(float)):
        spot = (float(pose[0]), float(pose[1]), float(pose[2]))
        for state in SignalState:
            parts.add(
                names[f"signal{state}"], -1, (1, 1, 1), 4.4, 2.7, lit=True, pose=spot, signal=index, shows=int(state)
            )
