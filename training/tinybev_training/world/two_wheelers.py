"""Meshes of bicycles and motorcycles without their riders."""

from __future__ import annotations

import math

import numpy as np

from tinybev_training.world.materials import Material
from tinybev_training.world.shapes import (
    Mesh,
    box,
    cylinder,
    ellipsoid,
    join,
    quads,
    tube,
)


def _bike_wheel(radius: float, thick: float, detail: int) -> Mesh:
    """A thin wheel: a ring of tyre, and spokes."""
    count = 20 if detail > 1 else 10
    angle = np.arange(count + 1) * 2 * math.pi / count
    hub = [np.stack([np.cos(angle), np.zeros_like(angle), np.sin(angle)], axis=1) * r for r in (radius, radius - thick)]
    outer, inner = hub
    shift = np.array([0, thick / 2, 0])
    rings = [outer - shift, outer + shift, inner + shift, inner - shift]
    faces = [
        np.stack([rings[i][:-1], rings[i][1:], rings[(i + 1) % 4][1:], rings[(i + 1) % 4][:-1]], axis=1)
        for i in range(4)
    ]
    skin = quads(np.concatenate(faces), Material.TYRE)
    # Either side may be seen through the spokes, so both windings are there.
    skin = join(skin, Mesh(skin.corners[:, ::-1], -skin.normals[:, ::-1], skin.materials))
    spokes = [
        tube((0, 0, -radius + thick), (0, 0, radius - thick), 0.008, Material.STEEL, 4).turned("y", k * math.pi / 4)
        for k in range(4)
    ]
    return join(skin, *spokes, cylinder(0.05, 0.1, Material.STEEL, 8, "y"))


def bicycle(detail: int) -> Mesh:
    """A bicycle without its rider."""
    r = 0.34
    wheels = [_bike_wheel(r, 0.045, detail).moved(x, 0, r) for x in (-0.53, 0.53)]
    joints = {
        "crank": (-0.08, 0, 0.30),
        "seat": (-0.20, 0, 0.86),
        "head": (0.36, 0, 0.84),
        "rear": (-0.53, 0, r),
        "front": (0.53, 0, r),
    }
    pairs = [
        ("crank", "seat"),
        ("seat", "head"),
        ("crank", "head"),
        ("rear", "crank"),
        ("rear", "seat"),
        ("head", "front"),
    ]
    frame = [tube(joints[a], joints[b], 0.028, Material.PAINT, 6) for a, b in pairs]
    saddle = ellipsoid((0.14, 0.08, 0.04), Material.TRIM, 8, (-0.22, 0, 0.93))
    bar = join(
        tube((0.36, 0, 0.84), (0.33, 0, 1.02), 0.025, Material.STEEL, 6),
        tube((0.30, -0.27, 1.05), (0.30, 0.27, 1.05), 0.024, Material.TRIM, 6),
    )
    lamps = join(
        box((0.05, 0.06, 0.06), Material.HEADLIGHT, (0.42, 0, 0.9)),
        box((0.04, 0.06, 0.05), Material.TAILLIGHT, (-0.36, 0, 0.74)),
    )
    return join(*wheels, *frame, saddle, bar, lamps)


def motorcycle(detail: int) -> Mesh:
    """A motorcycle without its rider."""
    count = 12 if detail > 1 else 8
    wheels = [_bike_wheel(0.32, 0.11, detail).moved(x, 0, 0.32) for x in (-0.72, 0.72)]
    engine = box((0.55, 0.36, 0.36), Material.STEEL, (0.02, 0, 0.44), taper=0.85)
    tank = ellipsoid((0.32, 0.19, 0.17), Material.PAINT, count, (0.20, 0, 0.84))
    seat = ellipsoid((0.42, 0.15, 0.09), Material.TRIM, count, (-0.36, 0, 0.80))
    tail = ellipsoid((0.28, 0.12, 0.09), Material.PAINT, count, (-0.68, 0, 0.80))
    fairing = ellipsoid((0.22, 0.22, 0.24), Material.PAINT, count, (0.56, 0, 0.92))
    screen = ellipsoid((0.10, 0.16, 0.14), Material.GLASS, 8, (0.56, 0, 1.12))
    forks = [tube((0.50, s * 0.10, 0.95), (0.72, s * 0.10, 0.32), 0.035, Material.CHROME, 6) for s in (-1, 1)]
    swing = tube((-0.1, 0.1, 0.4), (-0.72, 0.1, 0.32), 0.04, Material.STEEL, 6)
    exhaust = tube((0.1, -0.2, 0.28), (-0.75, -0.22, 0.45), 0.055, Material.CHROME, 8)
    bar = tube((0.42, -0.36, 1.04), (0.42, 0.36, 1.04), 0.03, Material.TRIM, 6)
    lamps = join(
        ellipsoid((0.06, 0.11, 0.09), Material.HEADLIGHT, 8, (0.75, 0, 0.92)),
        box((0.05, 0.18, 0.07), Material.TAILLIGHT, (-0.95, 0, 0.80)),
    )
    return join(*wheels, engine, tank, seat, tail, fairing, screen, *forks, swing, exhaust, bar, lamps)
