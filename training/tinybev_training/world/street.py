"""Meshes of what stands in a street: trees, houses, lamps, lights, signs, cones and barriers."""

from __future__ import annotations

import math

import numpy as np

from tinybev_training.world.materials import Material
from tinybev_training.world.scenario import SignalState
from tinybev_training.world.shapes import Mesh, box, cylinder, ellipsoid, fitted, join, quads, tube

TREE_HEIGHT = 8.0
TREE_SPREAD = 5.0


def tree(species: int, seed: int, detail: int) -> Mesh:
    """A tree of ``TREE_HEIGHT`` and about ``TREE_SPREAD``: 0 broad, 1 a conifer, 2 a slim one."""
    rng = np.random.default_rng(seed)
    count = 12 if detail > 1 else 7
    if species == 1:
        layers = [
            cylinder(2.1 * (1 - k / 5.2), 2.6 - 0.2 * k, Material.LEAVES, count, taper=0.12).moved(
                rng.normal(0, 0.05), rng.normal(0, 0.05), 2.2 + k * 1.15
            )
            for k in range(5)
        ]
        return join(tube((0, 0, 0), (0, 0, 3), 0.17, Material.BARK, 7), *layers)
    slim = 0.55 if species == 2 else 1.0
    fork = 2.6 if species == 0 else 1.9
    parts = [tube((0, 0, 0), (0.05, 0, fork + 0.4), 0.19, Material.BARK, 8, 0.7)]
    blobs = 8 if detail > 1 else 4
    for index in range(blobs):
        angle = index * 2.4 + rng.uniform(0, 1)
        reach = rng.uniform(0.6, 1.45) * slim * (index > 0)
        z = fork + 1.1 + (TREE_HEIGHT - fork - 2.4) * (index / blobs) + rng.normal(0, 0.25)
        at = np.array([reach * math.cos(angle), reach * math.sin(angle), z])
        radius = rng.uniform(1.15, 1.6) * (1.0 if species == 0 else 0.8) * (1 - 0.25 * index / blobs)
        if detail > 1 and index < 5:
            parts.append(tube((0.05, 0, fork), at, 0.09, Material.BARK, 5, 0.5))
        parts.append(
            ellipsoid(
                (radius * slim, radius * slim, radius * 0.85),
                Material.LEAVES,
                count,
                at,
                0.16,
                int(rng.integers(1 << 20)),
            )
        )
    return join(*parts)


def bush(seed: int, detail: int) -> Mesh:
    """A bush in a box of 1 x 1 x 1."""
    rng = np.random.default_rng(seed)
    parts = [
        ellipsoid(
            (0.32, 0.32, 0.34),
            Material.LEAVES,
            10 if detail > 1 else 6,
            (rng.uniform(-0.2, 0.2), rng.uniform(-0.2, 0.2), 0.3),
            0.18,
            seed + k,
        )
        for k in range(3)
    ]
    return fitted(join(*parts), (1.0, 1.0, 1.0))


def building(length: float, width: float, height: float, seed: int) -> Mesh:
    """A house: walls with computed windows, a cornice, a parapet or a pitched roof, things on top."""
    rng = np.random.default_rng(seed)
    walls = box((length, width, height), Material.WALL, (0, 0, height / 2))
    sides = np.abs(walls.normals[:, 0, 2]) < 0.5
    walls = Mesh(walls.corners[sides], walls.normals[sides], walls.materials[sides])
    parts = [walls]
    if height < 11 and rng.random() < 0.6:
        over, ridge = 0.5, height + 0.32 * width
        x, y = length / 2 + over, width / 2 + over
        slopes = [
            [(-x, -y, height - 0.1), (x, -y, height - 0.1), (x, 0, ridge), (-x, 0, ridge)],
            [(x, y, height - 0.1), (-x, y, height - 0.1), (-x, 0, ridge), (x, 0, ridge)],
        ]
        parts.append(quads(np.array(slopes), Material.ROOF))
        for end in (-1, 1):
            edge = [
                (end * length / 2, -end * width / 2, height),
                (end * length / 2, end * width / 2, height),
                (end * length / 2, 0, ridge - 0.2),
            ]
            parts.append(
                Mesh(np.array([edge]), np.tile([float(end), 0.0, 0.0], (1, 3, 1)), np.array([Material.KERB], np.uint8))
            )
        parts.append(box((0.7, 0.7, 1.6), Material.BARK, (length * 0.25, width * 0.1, ridge)))
    else:
        parts.append(
            quads(
                [
                    [
                        (-length / 2, -width / 2, height),
                        (length / 2, -width / 2, height),
                        (length / 2, width / 2, height),
                        (-length / 2, width / 2, height),
                    ]
                ],
                Material.ROOF,
            )
        )
        parts.append(box((length + 0.5, width + 0.5, 0.45), Material.KERB, (0, 0, height)))
        if rng.random() < 0.6:
            parts.append(
                box((length * 0.3, width * 0.3, 2.2), Material.KERB, (length * rng.uniform(-0.2, 0.2), 0, height + 1.1))
            )
    parts.append(box((length + 0.12, width + 0.12, 0.7), Material.KERB, (0, 0, 0.35)))
    return join(*parts)


def lamp() -> Mesh:
    """A street lamp, 7.2 m high, its arm to the left."""
    pole = tube((0, 0, 0), (0, 0, 7.0), 0.09, Material.STEEL, 8, 0.6)
    arm = tube((0, 0, 6.95), (0, 2.0, 7.15), 0.05, Material.STEEL, 6)
    head = box((0.28, 0.75, 0.10), Material.LAMP_HEAD, (0, 2.05, 7.10))
    return join(pole, arm, head, cylinder(0.14, 0.8, Material.STEEL, 8).moved(0, 0, 0.4))


_SIGNAL_LIGHTS = {
    SignalState.RED: (0, Material.SIGNAL_RED),
    SignalState.YELLOW: (1, Material.SIGNAL_YELLOW),
    SignalState.GREEN: (2, Material.SIGNAL_GREEN),
}
"""Which lamp from the top is on, and its material."""


def signal(state: SignalState) -> Mesh:
    """A traffic light on a mast whose arm reaches over the lane to the left; it faces +x."""
    pole = tube((0, 0, 0), (0, 0, 5.6), 0.10, Material.STEEL, 8, 0.8)
    # Seen from the front the road is on the right-hand side of the mast.
    arm = tube((0, 0, 5.4), (0, -3.6, 5.5), 0.06, Material.STEEL, 6)
    parts = [pole, arm]
    place, glowing = _SIGNAL_LIGHTS[state]
    for at in ((0.0, -3.3, 5.2), (0.12, -0.02, 3.0)):
        lights = [Material.SIGNAL_DARK] * 3
        lights[place] = glowing
        parts.append(box((0.22, 0.36, 1.0), Material.TRIM, at))
        for index, material in enumerate(lights):
            parts.append(
                cylinder(0.12, 0.08, material, 10, "x").moved(at[0] + 0.13, at[1], at[2] + 0.31 - 0.31 * index)
            )
    return join(*parts)


def sign(kind: int) -> Mesh:
    """A traffic sign that faces +x: 0 blue disc, 1 red ring, 2 red triangle, 3 blue square."""
    pole = tube((0, 0, 0), (0, 0, 2.65), 0.035, Material.STEEL, 6)
    if kind == 0:
        plates = [
            cylinder(0.31, 0.02, Material.SIGN_BLUE, 18, "x").moved(0.05),
            box((0.01, 0.09, 0.36), Material.WHITE, (0.066, 0, 0)),
        ]
    elif kind == 1:
        plates = [
            cylinder(0.31, 0.02, Material.SIGN_RED, 18, "x").moved(0.05),
            cylinder(0.23, 0.01, Material.WHITE, 18, "x").moved(0.066),
            box((0.01, 0.16, 0.2), Material.TRIM, (0.074, 0, 0)),
        ]
    elif kind == 2:
        plates = [
            cylinder(0.38, 0.02, Material.SIGN_RED, 3, "x").turned("x", math.pi / 2).moved(0.05),
            cylinder(0.24, 0.01, Material.WHITE, 3, "x").turned("x", math.pi / 2).moved(0.066),
        ]
    else:
        plates = [
            box((0.02, 0.6, 0.6), Material.SIGN_BLUE, (0.05, 0, 0)),
            box((0.01, 0.22, 0.36), Material.WHITE, (0.066, 0, 0)),
        ]
    return join(pole, join(*plates).moved(0, 0, 2.3))


def bench() -> Mesh:
    """A park bench along x."""
    slats = [box((1.7, 0.11, 0.04), Material.WOOD, (0, y, 0.45)) for y in (-0.2, -0.05, 0.1)]
    back = [box((1.7, 0.04, 0.11), Material.WOOD, (0, 0.22, z)) for z in (0.62, 0.78)]
    legs = [box((0.06, 0.45, 0.45), Material.STEEL, (x, 0, 0.22)) for x in (-0.7, 0.7)]
    return join(*slats, *back, *legs)


def hydrant() -> Mesh:
    """A fire hydrant."""
    body = cylinder(0.11, 0.55, Material.RED, 10).moved(0, 0, 0.30)
    return join(
        body,
        ellipsoid((0.12, 0.12, 0.1), Material.RED, 10, (0, 0, 0.6)),
        cylinder(0.06, 0.34, Material.RED, 8, "y").moved(0, 0, 0.42),
    )


def cone(detail: int) -> Mesh:
    """A traffic cone: orange, two white bands, on a dark foot."""
    count = 16 if detail > 1 else 8
    levels = [0.04, 0.22, 0.34, 0.44, 0.54, 0.76]
    radius = np.interp(levels, [0.04, 0.76], [0.145, 0.03])
    parts = [box((0.38, 0.38, 0.05), Material.TRIM, (0, 0, 0.025))]
    for index, material in enumerate(
        (Material.ORANGE, Material.WHITE, Material.ORANGE, Material.WHITE, Material.ORANGE)
    ):
        low, high = levels[index], levels[index + 1]
        segment = cylinder(radius[index], high - low, material, count, taper=radius[index + 1] / radius[index])
        parts.append(segment.moved(0, 0, (low + high) / 2))
    return fitted(join(*parts), (0.38, 0.38, 0.76))


def barrier() -> Mesh:
    """A road-works barrier, striped red and white on both faces, across x."""
    parts = [box((0.5, 0.12, 0.08), Material.TRIM, (0, y, 0.04)) for y in (-0.75, 0.75)]
    parts += [box((0.06, 0.06, 1.0), Material.STEEL, (0, y, 0.5)) for y in (-0.75, 0.75)]
    for low, high in ((0.70, 1.02), (0.30, 0.52)):
        for index in range(8):
            material = Material.RED if index % 2 == 0 else Material.WHITE
            parts.append(
                box((0.07, 1.9 / 8, high - low), material, (0, -0.95 + (index + 0.5) * 1.9 / 8, (low + high) / 2))
            )
    return fitted(join(*parts), (0.5, 1.9, 1.02))
