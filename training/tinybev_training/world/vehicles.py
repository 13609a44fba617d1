"""Meshes of the vehicles. Each is built at its nominal size, x forward, and then fitted to exactly fill its box."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from tinybev_training.world.materials import Material as M  # noqa: N817  (a mesh names one on every line)
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
    tube,
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
    body = loft(xs * length, rings, M.PAINT).smoothed(38.0)
    # Below the sills everything is dark plastic.
    sill = body.corners[:, :, 2].mean(axis=1) < (low.min() + 0.075) * height
    body = Mesh(body.corners, body.normals, np.where(sill, np.uint8(M.TRIM), body.materials))
    parts = [body, _cabin(shape, detail), _wheels(shape, detail)]
    if detail > 1:
        parts.append(_car_details(shape))
    if shape is CARS["pickup"]:
        bed = box((length * 0.36, width * 0.80, 0.03), M.TRIM, (-0.30 * length, 0, shape.deck[1] * height + 0.005))
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
    rear_glass = M.PAINT if shape is CARS["van"] else M.GLASS
    right = join(framed(sides[0], pillar, M.PAINT, M.GLASS), framed(sides[1], pillar, M.PAINT, rear_glass))
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
    roof = quads(np.stack([grid[:-1, :-1], grid[1:, :-1], grid[1:, 1:], grid[:-1, 1:]], axis=2), M.PAINT).smoothed(45.0)
    return join(
        framed(front_pane, pillar, M.PAINT, M.GLASS),
        framed(rear_pane, pillar * 1.3, M.PAINT, M.GLASS),
        right,
        right.mirrored(),
        roof,
    )


def _wheels(shape: CarShape, detail: int) -> Mesh:
    length, width, _ = shape.size
    parts = []
    for share in shape.axles:
        one = wheel(shape.wheel, 0.21, detail).moved(share * length, -width / 2 + 0.105, shape.wheel)
        arch = cylinder(shape.wheel * 1.17, 0.03, M.TRIM, 16 if detail > 1 else 8, "y").moved(
            share * length, -width / 2 + 0.024, shape.wheel * 1.03
        )
        parts += [one, one.mirrored(), arch, arch.mirrored()]
    return join(*parts)


def wheel(radius: float, width: float, detail: int = 2) -> Mesh:
    """A wheel about the origin, rolling along x; its outer side is to the right (-y)."""
    count = 18 if detail > 1 else 8
    tyre = cylinder(radius, width, M.TYRE, count, "y")
    if detail == 1:
        return join(tyre, cylinder(radius * 0.6, 0.01, M.RIM, 6, "y").moved(0, -width / 2 - 0.004))
    rim = cylinder(radius * 0.66, 0.012, M.TRIM, 16, "y").moved(0, -width / 2 - 0.003)
    spokes = [
        box((radius * 1.22, 0.012, radius * 0.17), M.RIM, (0, -width / 2 - 0.010, 0)).turned("y", index * math.pi / 5)
        for index in range(5)
    ]
    ring = cylinder(radius * 0.68, 0.008, M.RIM, 16, "y").moved(0, -width / 2 + 0.002)
    return join(tyre, ring, rim, *spokes)


def _car_lights(shape: CarShape) -> Mesh:
    length, width, height = shape.size
    front_z, rear_z = (shape.hood[0] - 0.055) * height, (shape.deck[0] - 0.07) * height
    front = box((0.26, 0.36, 0.115), M.HEADLIGHT, (0.458 * length, -0.315 * width, front_z), taper=0.86).turned(
        "z", 0.0
    )
    rear = box((0.14, 0.26, 0.16), M.TAILLIGHT, (-0.479 * length, -0.355 * width, rear_z), taper=0.9)
    return join(front, front.mirrored(), rear, rear.mirrored())


def _car_details(shape: CarShape) -> Mesh:
    length, width, height = shape.size
    grille = box((0.06, 0.80, 0.17), M.TRIM, (0.4905 * length, 0, (shape.hood[0] - 0.11) * height))
    bar = box((0.06, 0.34, 0.03), M.CHROME, (0.4935 * length, 0, (shape.hood[0] - 0.075) * height))
    lower = box((0.06, 1.15, 0.11), M.TRIM, (0.4865 * length, 0, 0.215 * height))
    bumper = box((0.06, 1.25, 0.10), M.TRIM, (-0.4885 * length, 0, 0.235 * height))
    plates = [
        box((0.02, 0.48, 0.11), M.PLATE, (x * length, 0, z * height)) for x, z in ((0.503, 0.27), (-0.5025, 0.36))
    ]
    mirror = ellipsoid(
        (0.09, 0.11, 0.07),
        M.PAINT,
        8,
        ((shape.cabin[3] - 0.055) * length, -0.53 * width, (shape.hood[1] + 0.03) * height),
    )
    handles = [
        box((0.17, 0.02, 0.025), M.CHROME, (x * length, -width / 2 * 0.985, (shape.hood[1] - 0.07) * height))
        for x in (0.015, -0.2)
    ]
    return join(
        grille, bar, lower, bumper, *plates, mirror, mirror.mirrored(), *handles, *(h.mirrored() for h in handles)
    )


def _lorry_wheels(xs: list[float], width: float, radius: float, detail: int) -> Mesh:
    parts = []
    for x in xs:
        one = wheel(radius, 0.30, detail).moved(x, -width / 2 + 0.19, radius)
        parts += [one, one.mirrored()]
    return join(*parts)


def _truck_cab(front: float, length: float, width: float, low: float, high: float, detail: int) -> Mesh:
    """A cab-over cab whose front is at x = ``front``."""
    count = 16 if detail > 1 else 8
    xs = np.array([front - length, front - length + 0.06, front - 0.5, front - 0.1, front])
    tops = np.array([high - 0.06, high, high, high - 0.12, high - 0.32])
    rings = [
        rounded_ring(width / 2 * w, low, t, count, 7.0, 0.02)
        for w, t in zip([0.96, 1, 1, 0.985, 0.93], tops, strict=True)
    ]
    shell = loft(xs, rings, M.PAINT).smoothed(35.0)
    z0, z1, y = low + (high - low) * 0.46, low + (high - low) * 0.83, width / 2 * 0.90
    screen = framed(
        [(front + 0.015, -y, z0), (front + 0.015, y, z0), (front - 0.06, y * 0.97, z1), (front - 0.06, -y * 0.97, z1)],
        0.05,
        M.TRIM,
        M.GLASS,
    )
    side = framed(
        [
            (front - length * 0.62, -width / 2 * 1.004, z0),
            (front - 0.22, -width / 2 * 1.004, z0),
            (front - 0.34, -width / 2 * 1.004, z1),
            (front - length * 0.62, -width / 2 * 1.004, z1),
        ],
        0.05,
        M.TRIM,
        M.GLASS,
    )
    grille = box((0.05, width * 0.62, (high - low) * 0.2), M.TRIM, (front + 0.005, 0, low + (high - low) * 0.26))
    bumper = box((0.16, width * 0.98, 0.3), M.TRIM, (front - 0.06, 0, low + 0.02))
    lamp = box((0.05, 0.36, 0.17), M.HEADLIGHT, (front + 0.02, -width * 0.37, low + 0.10))
    mirror = box((0.10, 0.16, 0.42), M.TRIM, (front - 0.15, -width / 2 - 0.1, z0 + 0.25))
    return join(shell, screen, side, side.mirrored(), grille, bumper, lamp, lamp.mirrored(), mirror, mirror.mirrored())


def _cargo(rear: float, length: float, width: float, low: float, high: float, material: M) -> Mesh:
    body = box((length, width, high - low), material, (rear + length / 2, 0, (low + high) / 2))
    rails = [
        box((length + 0.02, 0.05, 0.09), M.STEEL, (rear + length / 2, s * (width / 2 - 0.015), z))
        for s in (-1, 1)
        for z in (low + 0.05, high - 0.05)
    ]
    doors = [
        box((0.03, 0.035, high - low - 0.3), M.STEEL, (rear - 0.01, y, (low + high) / 2)) for y in (-0.35, 0.0, 0.35)
    ]
    return join(body, *rails, *doors)


def _rear_lamps(rear: float, width: float, z: float) -> Mesh:
    lamp = box((0.06, 0.34, 0.14), M.TAILLIGHT, (rear, -width * 0.36, z))
    plate = box((0.04, 0.50, 0.12), M.PLATE, (rear, 0, z))
    return join(lamp, lamp.mirrored(), plate)


def box_truck(detail: int) -> Mesh:
    """A delivery lorry: a cab and a box body on a chassis."""
    cab = _truck_cab(3.7, 1.9, 2.2, 0.55, 2.55, detail)
    chassis = box((7.0, 0.9, 0.28), M.TRIM, (-0.1, 0, 0.70))
    cargo = _cargo(-3.66, 5.3, 2.42, 0.95, 3.25, M.TARPAULIN)
    guard = box((2.4, 0.06, 0.45), M.STEEL, (-0.35, -1.12, 0.62))
    wheels = _lorry_wheels([-2.2, 2.7], 2.35, 0.46, detail)
    return fitted(
        join(cab, chassis, cargo, guard, guard.mirrored(), wheels, _rear_lamps(-3.68, 2.4, 0.78)), (7.4, 2.45, 3.25)
    )


def tractor(detail: int) -> Mesh:
    """The tractor of an articulated lorry."""
    cab = _truck_cab(3.0, 2.2, 2.45, 0.6, 3.3, detail)
    spoiler = loft([1.0, 1.4, 2.6], [rounded_ring(1.05, 3.2, t, 10, 5.0) for t in (3.5, 3.5, 3.28)], M.PAINT).smoothed(
        35
    )
    chassis = box((5.4, 0.9, 0.3), M.TRIM, (-0.25, 0, 0.80))
    plate = cylinder(0.55, 0.12, M.STEEL, 12).moved(-1.6, 0, 1.08)
    tanks = box((1.3, 0.55, 0.55), M.CHROME, (0.2, -0.92, 0.78))
    wheels = _lorry_wheels([-2.2, -1.0, 2.0], 2.5, 0.50, detail)
    return fitted(
        join(cab, spoiler, chassis, plate, tanks, tanks.mirrored(), wheels, _rear_lamps(-2.97, 2.2, 0.85)),
        (6.0, 2.5, 3.5),
    )


def trailer(detail: int) -> Mesh:
    """A box trailer on two axles."""
    cargo = _cargo(-4.78, 9.58, 2.48, 1.05, 3.8, M.TARPAULIN)
    frame = box((9.2, 1.0, 0.25), M.TRIM, (0, 0, 0.92))
    skirt = box((3.6, 0.05, 0.5), M.STEEL, (0.2, -1.2, 0.72))
    leg = box((0.14, 0.14, 0.9), M.STEEL, (2.9, -0.6, 0.48))
    wheels = _lorry_wheels([-3.6, -2.35], 2.5, 0.50, detail)
    return fitted(
        join(cargo, frame, skirt, skirt.mirrored(), leg, leg.mirrored(), wheels, _rear_lamps(-4.79, 2.45, 0.85)),
        (9.6, 2.5, 3.8),
    )


def bus(detail: int) -> Mesh:
    """A city bus: a long rounded body with a band of windows and doors."""
    count = 20 if detail > 1 else 10
    xs = np.array([-5.8, -5.74, -5.6, 5.45, 5.7, 5.8])
    tops, wide = [2.9, 3.02, 3.1, 3.1, 3.0, 2.8], [0.95, 0.985, 1.0, 1.0, 0.975, 0.93]
    shell = loft(
        xs, [rounded_ring(1.24 * w, 0.34, t, count, 8.0) for w, t in zip(wide, tops, strict=True)], M.PAINT
    ).smoothed(35.0)
    y = -1.247
    right, left = [], []
    for index in range(8):
        x0 = -5.3 + index * 1.32
        door = index in (3, 7)
        low = 0.55 if door else 1.35
        pane = framed([(x0, y, low), (x0 + 1.27, y, low), (x0 + 1.27, y, 2.62), (x0, y, 2.62)], 0.05, M.TRIM, M.GLASS)
        right.append(pane)
        whole = framed(
            [(x0, y, 1.35), (x0 + 1.27, y, 1.35), (x0 + 1.27, y, 2.62), (x0, y, 2.62)], 0.05, M.TRIM, M.GLASS
        )
        left.append(whole.mirrored())
    front = framed(
        [(5.815, -1.08, 1.0), (5.815, 1.08, 1.0), (5.78, 1.05, 2.55), (5.78, -1.05, 2.55)], 0.06, M.TRIM, M.GLASS
    )
    sign = box((0.04, 1.5, 0.24), M.INDICATOR, (5.76, 0, 2.74))
    back = framed(
        [(-5.81, 1.0, 1.6), (-5.81, -1.0, 1.6), (-5.79, -0.98, 2.6), (-5.79, 0.98, 2.6)], 0.06, M.TRIM, M.GLASS
    )
    lamps = box((0.06, 0.34, 0.18), M.HEADLIGHT, (5.79, -0.9, 0.72))
    rear = box((0.06, 0.18, 0.5), M.TAILLIGHT, (-5.80, -1.02, 1.15))
    mirror = box((0.12, 0.14, 0.36), M.TRIM, (5.82, -1.25, 2.3))
    roof = box((3.0, 1.5, 0.18), M.WHITE, (-2.5, 0, 3.1))
    wheels = _lorry_wheels([-3.4, 3.2], 2.55, 0.48, detail)
    arches = [cylinder(0.56, 0.02, M.TRIM, 16, "y").moved(x, -1.243, 0.52) for x in (-3.4, 3.2)]
    skirt = box((11.2, 2.30, 0.16), M.TRIM, (0, 0, 0.36))
    return fitted(
        join(
            shell,
            *right,
            *left,
            front,
            back,
            sign,
            lamps,
            lamps.mirrored(),
            rear,
            rear.mirrored(),
            mirror,
            mirror.mirrored(),
            roof,
            wheels,
            *arches,
            *(arch.mirrored() for arch in arches),
            skirt,
        ),
        (11.6, 2.55, 3.15),
    )


def excavator(detail: int) -> Mesh:
    """A tracked excavator with its arm folded over the front."""
    count = 12 if detail > 1 else 8
    track = loft(
        [-1.9, -1.7, 1.1, 1.3], [rounded_ring(0.28, 0.04 + d, 0.86 - d, count, 4.0) for d in (0.22, 0, 0, 0.22)], M.TYRE
    )
    track = track.smoothed(30.0).moved(0, -1.0, 0)
    rollers = [cylinder(0.26, 0.04, M.STEEL, 10, "y").moved(x, -1.29, 0.45) for x in (-1.6, -0.8, 0.0, 0.9)]
    base = box((1.6, 1.5, 0.35), M.TRIM, (-0.3, 0, 0.78))
    house = loft(
        [-2.6, -2.45, -0.9, -0.2],
        [rounded_ring(w, 0.98, t, count, 5.0) for w, t in ((1.1, 1.7), (1.22, 1.98), (1.22, 2.05), (1.2, 1.55))],
        M.YELLOW,
    ).smoothed(40)
    deck = box((2.3, 2.3, 0.3), M.YELLOW, (-0.05, 0, 1.12))
    cabin = box((1.3, 0.95, 1.65), M.YELLOW, (0.35, 0.62, 2.05), taper=0.9)
    panes = [
        framed([(1.005, 0.2, 1.45), (1.005, 1.04, 1.45), (0.96, 1.0, 2.75), (0.96, 0.24, 2.75)], 0.06, M.TRIM, M.GLASS),
        framed([(-0.2, 0.14, 1.65), (0.9, 0.14, 1.65), (0.86, 0.16, 2.75), (-0.16, 0.16, 2.75)], 0.06, M.TRIM, M.GLASS),
        framed([(-0.2, 0.14, 1.65), (0.9, 0.14, 1.65), (0.86, 0.16, 2.75), (-0.16, 0.16, 2.75)], 0.06, M.TRIM, M.GLASS)
        .mirrored()
        .moved(0, 1.24, 0),
    ]
    boom = join(
        tube((0.5, -0.2, 1.3), (2.2, -0.2, 2.95), 0.24, M.YELLOW, 8, 0.85),
        tube((2.15, -0.2, 2.95), (3.45, -0.2, 2.2), 0.2, M.YELLOW, 8, 0.8),
    )
    stick = join(
        tube((3.4, -0.2, 2.3), (3.0, -0.2, 0.85), 0.15, M.YELLOW, 8, 0.8),
        tube((1.5, -0.2, 2.1), (2.9, -0.2, 2.62), 0.06, M.CHROME, 8),
    )
    bucket = box((0.75, 1.0, 0.65), M.STEEL, (3.05, -0.2, 0.5), taper=0.75)
    stripes = [box((0.02, 0.34, 0.16), M.TRIM, (-2.61, y, 1.35)) for y in (-0.7, 0.0, 0.7)]
    return fitted(
        join(
            track,
            track.mirrored(),
            *rollers,
            *(r.mirrored() for r in rollers),
            base,
            house,
            deck,
            cabin,
            *panes,
            boom,
            stick,
            bucket,
            *stripes,
        ),
        (6.4, 2.6, 3.1),
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
    skin = quads(np.concatenate(faces), M.TYRE)
    # Either side may be seen through the spokes, so both windings are there.
    skin = join(skin, Mesh(skin.corners[:, ::-1], -skin.normals[:, ::-1], skin.materials))
    spokes = [
        tube((0, 0, -radius + thick), (0, 0, radius - thick), 0.008, M.STEEL, 4).turned("y", k * math.pi / 4)
        for k in range(4)
    ]
    return join(skin, *spokes, cylinder(0.05, 0.1, M.STEEL, 8, "y"))


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
    frame = [tube(joints[a], joints[b], 0.028, M.PAINT, 6) for a, b in pairs]
    saddle = ellipsoid((0.14, 0.08, 0.04), M.TRIM, 8, (-0.22, 0, 0.93))
    bar = join(
        tube((0.36, 0, 0.84), (0.33, 0, 1.02), 0.025, M.STEEL, 6),
        tube((0.30, -0.27, 1.05), (0.30, 0.27, 1.05), 0.024, M.TRIM, 6),
    )
    lamps = join(
        box((0.05, 0.06, 0.06), M.HEADLIGHT, (0.42, 0, 0.9)), box((0.04, 0.06, 0.05), M.TAILLIGHT, (-0.36, 0, 0.74))
    )
    return join(*wheels, *frame, saddle, bar, lamps)


def motorcycle(detail: int) -> Mesh:
    """A motorcycle without its rider."""
    count = 12 if detail > 1 else 8
    wheels = [_bike_wheel(0.32, 0.11, detail).moved(x, 0, 0.32) for x in (-0.72, 0.72)]
    engine = box((0.55, 0.36, 0.36), M.STEEL, (0.02, 0, 0.44), taper=0.85)
    tank = ellipsoid((0.32, 0.19, 0.17), M.PAINT, count, (0.20, 0, 0.84))
    seat = ellipsoid((0.42, 0.15, 0.09), M.TRIM, count, (-0.36, 0, 0.80))
    tail = ellipsoid((0.28, 0.12, 0.09), M.PAINT, count, (-0.68, 0, 0.80))
    fairing = ellipsoid((0.22, 0.22, 0.24), M.PAINT, count, (0.56, 0, 0.92))
    screen = ellipsoid((0.10, 0.16, 0.14), M.GLASS, 8, (0.56, 0, 1.12))
    forks = [tube((0.50, s * 0.10, 0.95), (0.72, s * 0.10, 0.32), 0.035, M.CHROME, 6) for s in (-1, 1)]
    swing = tube((-0.1, 0.1, 0.4), (-0.72, 0.1, 0.32), 0.04, M.STEEL, 6)
    exhaust = tube((0.1, -0.2, 0.28), (-0.75, -0.22, 0.45), 0.055, M.CHROME, 8)
    bar = tube((0.42, -0.36, 1.04), (0.42, 0.36, 1.04), 0.03, M.TRIM, 6)
    lamps = join(
        ellipsoid((0.06, 0.11, 0.09), M.HEADLIGHT, 8, (0.75, 0, 0.92)),
        box((0.05, 0.18, 0.07), M.TAILLIGHT, (-0.95, 0, 0.80)),
    )
    return join(*wheels, engine, tank, seat, tail, fairing, screen, *forks, swing, exhaust, bar, lamps)
