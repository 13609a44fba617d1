"""Meshes of the cars, out of a few numbers each: x forward, and fitted to exactly fill their boxes."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from tinybev_training.world.materials import Material
from tinybev_training.world.shapes import (
    Mesh,
    box,
    cylinder,
    ellipsoid,
    fitted,
    framed,
    join,
    loft,
    quads,
    rounded_ring,
)


@dataclass(frozen=True)
class CarShape:
    """The side view of a car, as shares of its length (x, from -0.5 at the rear) and height.

    Attributes:
        size: length, width, height, metres.
        hood: height of the bonnet at its front and at the windscreen.
        deck: height of the body at the rear end and at the rear window.
        cabin: x of the rear window's foot, its top, the windscreen's top, its foot.
        wheel: radius, metres.
        axles: x of the rear and of the front wheels.
    """

    size: tuple[float, float, float]
    hood: tuple[float, float]
    deck: tuple[float, float]
    cabin: tuple[float, float, float, float]
    wheel: float
    axles: tuple[float, float] = (-0.31, 0.32)


CARS: dict[str, CarShape] = {
    "hatchback": CarShape((4.0, 1.76, 1.50), (0.47, 0.62), (0.58, 0.64), (-0.485, -0.38, 0.06, 0.25), 0.31),
    "sedan": CarShape((4.7, 1.84, 1.46), (0.46, 0.61), (0.57, 0.64), (-0.36, -0.22, 0.04, 0.20), 0.33),
    "suv": CarShape((4.65, 1.94, 1.72), (0.52, 0.63), (0.60, 0.64), (-0.490, -0.43, 0.06, 0.21), 0.37),
    "van": CarShape((5.1, 1.98, 1.98), (0.42, 0.54), (0.52, 0.55), (-0.495, -0.47, 0.20, 0.36), 0.34),
    "pickup": CarShape((5.4, 1.98, 1.82), (0.50, 0.59), (0.54, 0.56), (-0.10, -0.05, 0.13, 0.24), 0.39),
    "ego": CarShape((4.1, 1.75, 1.56), (0.46, 0.60), (0.58, 0.62), (-0.485, -0.36, 0.08, 0.28), 0.31),
}


def car(shape: CarShape, detail: int) -> Mesh:
    """A car; ``detail`` 1 is what is seen from afar."""
    length, width, height = shape.size
    count = 20 if detail > 1 else 10
    xs = np.array([-0.5, -0.492, -0.46, -0.40, shape.cabin[0] + 0.02, shape.cabin[3], 0.36, 0.45, 0.485, 0.5])
    xs = np.sort(xs)
    top = np.interp(
        xs,
        [-0.5, -0.49, shape.cabin[0] + 0.02, shape.cabin[3], 0.46, 0.5],
        [shape.deck[0] - 0.10, shape.deck[0], shape.deck[1], shape.hood[1], shape.hood[0], shape.hood[0] - 0.12],
    )
    low = np.interp(xs, [-0.5, -0.44, -0.3, 0.3, 0.44, 0.5], [0.24, 0.17, 0.125, 0.125, 0.16, 0.22])
    wide = np.interp(xs, [-0.5, -0.485, -0.42, 0.36, 0.47, 0.5], [0.80, 0.93, 1.0, 1.0, 0.90, 0.74])
    rings = [
        rounded_ring(width / 2 * w, z * height, t * height, count, 4.5, 0.06)
        for w, z, t in zip(wide, low, top, strict=True)
    ]
    body = loft(xs * length, rings, Material.PAINT).smoothed(38.0)
    # Below the sills everything is dark plastic.
    sill = body.corners[:, :, 2].mean(axis=1) < (low.min() + 0.075) * height
    body = Mesh(body.corners, body.normals, np.where(sill, np.uint8(Material.TRIM), body.materials))
    parts = [body, _cabin(shape, detail), _wheels(shape, detail)]
    if detail > 1:
        parts.append(_car_details(shape))
    if shape is CARS["pickup"]:
        bed = box(
            (length * 0.36, width * 0.80, 0.03), Material.TRIM, (-0.30 * length, 0, shape.deck[1] * height + 0.005)
        )
        parts.append(bed)
    parts.append(_car_lights(shape))
    return fitted(join(*parts), shape.size)


def _cabin(shape: CarShape, detail: int) -> Mesh:
    """The greenhouse: glass all round, in frames that are the pillars, under a crowned roof."""
    length, width, height = shape.size
    rear_foot, rear_top, front_top, front_foot = (x * length for x in shape.cabin)
    foot_y, roof_y = width * 0.455, width * 0.36
    if shape is CARS["van"]:
        roof_y = width * 0.42
    rear_z, front_z = shape.deck[1] * height - 0.03, shape.hood[1] * height - 0.03
    roof_z = height * 0.965
    pillar = 0.065
    foot = {"r": (rear_foot, rear_z), "f": (front_foot, front_z)}
    middle_x = 0.45 * rear_top + 0.55 * front_top
    middle_z = (rear_z + front_z) / 2
    front_pane = [
        (foot["f"][0], foot_y, front_z),
        (foot["f"][0], -foot_y, front_z),
        (front_top, -roof_y, roof_z),
        (front_top, roof_y, roof_z),
    ]
    front_pane = [front_pane[1], front_pane[0], front_pane[3], front_pane[2]]
    rear_pane = [
        (rear_foot, foot_y, rear_z),
        (rear_foot, -foot_y, rear_z),
        (rear_top, -roof_y, roof_z),
        (rear_top, roof_y, roof_z),
    ]
    sides = [
        [
            (middle_x, -foot_y, middle_z),
            (front_foot, -foot_y, front_z),
            (front_top, -roof_y, roof_z),
            (middle_x, -roof_y, roof_z),
        ],
        [
            (rear_foot, -foot_y, rear_z),
            (middle_x, -foot_y, middle_z),
            (middle_x, -roof_y, roof_z),
            (rear_top, -roof_y, roof_z),
        ],
    ]
    rear_glass = Material.PAINT if shape is CARS["van"] else Material.GLASS
    right = join(
        framed(sides[0], pillar, Material.PAINT, Material.GLASS), framed(sides[1], pillar, Material.PAINT, rear_glass)
    )
    xs = np.array([rear_top, rear_top * 0.75 + front_top * 0.25, rear_top * 0.2 + front_top * 0.8, front_top])
    crown = np.array([0.0, 0.85, 1.0, 0.0]) * 0.035 * height
    ys = np.linspace(-1, 1, 7 if detail > 1 else 3)
    grid = np.stack(
        [
            np.broadcast_to(xs[:, None], (len(xs), len(ys))),
            np.broadcast_to(ys * roof_y, (len(xs), len(ys))),
            roof_z + crown[:, None] * (1 - 0.55 * ys**2) + np.where(np.abs(ys) == 1, -0.012, 0.0),
        ],
        axis=2,
    )
    roof = quads(
        np.stack([grid[:-1, :-1], grid[1:, :-1], grid[1:, 1:], grid[:-1, 1:]], axis=2), Material.PAINT
    ).smoothed(45.0)
    return join(
        framed(front_pane, pillar, Material.PAINT, Material.GLASS),
        framed(rear_pane, pillar * 1.3, Material.PAINT, Material.GLASS),
        right,
        right.mirrored(),
        roof,
    )


def _wheels(shape: CarShape, detail: int) -> Mesh:
    length, width, _ = shape.size
    parts = []
    for share in shape.axles:
        one = wheel(shape.wheel, 0.21, detail).moved(share * length, -width / 2 + 0.105, shape.wheel)
        arch = cylinder(shape.wheel * 1.17, 0.03, Material.TRIM, 16 if detail > 1 else 8, "y").moved(
            share * length, -width / 2 + 0.024, shape.wheel * 1.03
        )
        parts += [one, one.mirrored(), arch, arch.mirrored()]
    return join(*parts)


def wheel(radius: float, width: float, detail: int = 2) -> Mesh:
    """A wheel about the origin, rolling along x; its outer side is to the right (-y)."""
    count = 18 if detail > 1 else 8
    tyre = cylinder(radius, width, Material.TYRE, count, "y")
    if detail == 1:
        return join(tyre, cylinder(radius * 0.6, 0.01, Material.RIM, 6, "y").moved(0, -width / 2 - 0.004))
    rim = cylinder(radius * 0.66, 0.012, Material.TRIM, 16, "y").moved(0, -width / 2 - 0.003)
    spokes = [
        box((radius * 1.22, 0.012, radius * 0.17), Material.RIM, (0, -width / 2 - 0.010, 0)).turned(
            "y", index * math.pi / 5
        )
        for index in range(5)
    ]
    ring = cylinder(radius * 0.68, 0.008, Material.RIM, 16, "y").moved(0, -width / 2 + 0.002)
    return join(tyre, ring, rim, *spokes)


def _car_lights(shape: CarShape) -> Mesh:
    length, width, height = shape.size
    front_z, rear_z = (shape.hood[0] - 0.055) * height, (shape.deck[0] - 0.07) * height
    front = box((0.26, 0.36, 0.115), Material.HEADLIGHT, (0.458 * length, -0.315 * width, front_z), taper=0.86).turned(
        "z", 0.0
    )
    rear = box((0.14, 0.26, 0.16), Material.TAILLIGHT, (-0.479 * length, -0.355 * width, rear_z), taper=0.9)
    return join(front, front.mirrored(), rear, rear.mirrored())


def _car_details(shape: CarShape) -> Mesh:
    length, width, height = shape.size
    grille = box((0.06, 0.80, 0.17), Material.TRIM, (0.4905 * length, 0, (shape.hood[0] - 0.11) * height))
    bar = box((0.06, 0.34, 0.03), Material.CHROME, (0.4935 * length, 0, (shape.hood[0] - 0.075) * height))
    lower = box((0.06, 1.15, 0.11), Material.TRIM, (0.4865 * length, 0, 0.215 * height))
    bumper = box((0.06, 1.25, 0.10), Material.TRIM, (-0.4885 * length, 0, 0.235 * height))
    plates = [
        box((0.02, 0.48, 0.11), Material.PLATE, (x * length, 0, z * height))
        for x, z in ((0.503, 0.27), (-0.5025, 0.36))
    ]
    mirror = ellipsoid(
        (0.09, 0.11, 0.07),
        Material.PAINT,
        8,
        ((shape.cabin[3] - 0.055) * length, -0.53 * width, (shape.hood[1] + 0.03) * height),
    )
    handles = [
        box((0.17, 0.02, 0.025), Material.CHROME, (x * length, -width / 2 * 0.985, (shape.hood[1] - 0.07) * height))
        for x in (0.015, -0.2)
    ]
    return join(
        grille, bar, lower, bumper, *plates, mirror, mirror.mirrored(), *handles, *(h.mirrored() for h in handles)
    )
