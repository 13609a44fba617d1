"""Meshes of the large vehicles: lorries, buses, excavators."""

from __future__ import annotations

import numpy as np

from tinybev_training.world.cars import wheel
from tinybev_training.world.materials import Material
from tinybev_training.world.shapes import (
    Mesh,
    box,
    cylinder,
    fitted,
    framed,
    join,
    loft,
    rounded_ring,
    tube,
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
    shell = loft(xs, rings, Material.PAINT).smoothed(35.0)
    z0, z1, y = low + (high - low) * 0.46, low + (high - low) * 0.83, width / 2 * 0.90
    screen = framed(
        [(front + 0.015, -y, z0), (front + 0.015, y, z0), (front - 0.06, y * 0.97, z1), (front - 0.06, -y * 0.97, z1)],
        0.05,
        Material.TRIM,
        Material.GLASS,
    )
    side = framed(
        [
            (front - length * 0.62, -width / 2 * 1.004, z0),
            (front - 0.22, -width / 2 * 1.004, z0),
            (front - 0.34, -width / 2 * 1.004, z1),
            (front - length * 0.62, -width / 2 * 1.004, z1),
        ],
        0.05,
        Material.TRIM,
        Material.GLASS,
    )
    grille = box((0.05, width * 0.62, (high - low) * 0.2), Material.TRIM, (front + 0.005, 0, low + (high - low) * 0.26))
    bumper = box((0.16, width * 0.98, 0.3), Material.TRIM, (front - 0.06, 0, low + 0.02))
    lamp = box((0.05, 0.36, 0.17), Material.HEADLIGHT, (front + 0.02, -width * 0.37, low + 0.10))
    mirror = box((0.10, 0.16, 0.42), Material.TRIM, (front - 0.15, -width / 2 - 0.1, z0 + 0.25))
    return join(shell, screen, side, side.mirrored(), grille, bumper, lamp, lamp.mirrored(), mirror, mirror.mirrored())


def _cargo(rear: float, length: float, width: float, low: float, high: float, material: Material) -> Mesh:
    body = box((length, width, high - low), material, (rear + length / 2, 0, (low + high) / 2))
    rails = [
        box((length + 0.02, 0.05, 0.09), Material.STEEL, (rear + length / 2, s * (width / 2 - 0.015), z))
        for s in (-1, 1)
        for z in (low + 0.05, high - 0.05)
    ]
    doors = [
        box((0.03, 0.035, high - low - 0.3), Material.STEEL, (rear - 0.01, y, (low + high) / 2))
        for y in (-0.35, 0.0, 0.35)
    ]
    return join(body, *rails, *doors)


def _rear_lamps(rear: float, width: float, z: float) -> Mesh:
    lamp = box((0.06, 0.34, 0.14), Material.TAILLIGHT, (rear, -width * 0.36, z))
    plate = box((0.04, 0.50, 0.12), Material.PLATE, (rear, 0, z))
    return join(lamp, lamp.mirrored(), plate)


def box_truck(detail: int) -> Mesh:
    """A delivery lorry: a cab and a box body on a chassis."""
    cab = _truck_cab(3.7, 1.9, 2.2, 0.55, 2.55, detail)
    chassis = box((7.0, 0.9, 0.28), Material.TRIM, (-0.1, 0, 0.70))
    cargo = _cargo(-3.66, 5.3, 2.42, 0.95, 3.25, Material.TARPAULIN)
    guard = box((2.4, 0.06, 0.45), Material.STEEL, (-0.35, -1.12, 0.62))
    wheels = _lorry_wheels([-2.2, 2.7], 2.35, 0.46, detail)
    return fitted(
        join(cab, chassis, cargo, guard, guard.mirrored(), wheels, _rear_lamps(-3.68, 2.4, 0.78)), (7.4, 2.45, 3.25)
    )


def tractor(detail: int) -> Mesh:
    """The tractor of an articulated lorry."""
    cab = _truck_cab(3.0, 2.2, 2.45, 0.6, 3.3, detail)
    spoiler = loft(
        [1.0, 1.4, 2.6], [rounded_ring(1.05, 3.2, t, 10, 5.0) for t in (3.5, 3.5, 3.28)], Material.PAINT
    ).smoothed(35)
    chassis = box((5.4, 0.9, 0.3), Material.TRIM, (-0.25, 0, 0.80))
    plate = cylinder(0.55, 0.12, Material.STEEL, 12).moved(-1.6, 0, 1.08)
    tanks = box((1.3, 0.55, 0.55), Material.CHROME, (0.2, -0.92, 0.78))
    wheels = _lorry_wheels([-2.2, -1.0, 2.0], 2.5, 0.50, detail)
    return fitted(
        join(cab, spoiler, chassis, plate, tanks, tanks.mirrored(), wheels, _rear_lamps(-2.97, 2.2, 0.85)),
        (6.0, 2.5, 3.5),
    )


def trailer(detail: int) -> Mesh:
    """A box trailer on two axles."""
    cargo = _cargo(-4.78, 9.58, 2.48, 1.05, 3.8, Material.TARPAULIN)
    frame = box((9.2, 1.0, 0.25), Material.TRIM, (0, 0, 0.92))
    skirt = box((3.6, 0.05, 0.5), Material.STEEL, (0.2, -1.2, 0.72))
    leg = box((0.14, 0.14, 0.9), Material.STEEL, (2.9, -0.6, 0.48))
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
        xs, [rounded_ring(1.24 * w, 0.34, t, count, 8.0) for w, t in zip(wide, tops, strict=True)], Material.PAINT
    ).smoothed(35.0)
    y = -1.247
    right, left = [], []
    for index in range(8):
        x0 = -5.3 + index * 1.32
        door = index in (3, 7)
        low = 0.55 if door else 1.35
        pane = framed(
            [(x0, y, low), (x0 + 1.27, y, low), (x0 + 1.27, y, 2.62), (x0, y, 2.62)],
            0.05,
            Material.TRIM,
            Material.GLASS,
        )
        right.append(pane)
        whole = framed(
            [(x0, y, 1.35), (x0 + 1.27, y, 1.35), (x0 + 1.27, y, 2.62), (x0, y, 2.62)],
            0.05,
            Material.TRIM,
            Material.GLASS,
        )
        left.append(whole.mirrored())
    front = framed(
        [(5.815, -1.08, 1.0), (5.815, 1.08, 1.0), (5.78, 1.05, 2.55), (5.78, -1.05, 2.55)],
        0.06,
        Material.TRIM,
        Material.GLASS,
    )
    sign = box((0.04, 1.5, 0.24), Material.INDICATOR, (5.76, 0, 2.74))
    back = framed(
        [(-5.81, 1.0, 1.6), (-5.81, -1.0, 1.6), (-5.79, -0.98, 2.6), (-5.79, 0.98, 2.6)],
        0.06,
        Material.TRIM,
        Material.GLASS,
    )
    lamps = box((0.06, 0.34, 0.18), Material.HEADLIGHT, (5.79, -0.9, 0.72))
    rear = box((0.06, 0.18, 0.5), Material.TAILLIGHT, (-5.80, -1.02, 1.15))
    mirror = box((0.12, 0.14, 0.36), Material.TRIM, (5.82, -1.25, 2.3))
    roof = box((3.0, 1.5, 0.18), Material.WHITE, (-2.5, 0, 3.1))
    wheels = _lorry_wheels([-3.4, 3.2], 2.55, 0.48, detail)
    arches = [cylinder(0.56, 0.02, Material.TRIM, 16, "y").moved(x, -1.243, 0.52) for x in (-3.4, 3.2)]
    skirt = box((11.2, 2.30, 0.16), Material.TRIM, (0, 0, 0.36))
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
        [-1.9, -1.7, 1.1, 1.3],
        [rounded_ring(0.28, 0.04 + d, 0.86 - d, count, 4.0) for d in (0.22, 0, 0, 0.22)],
        Material.TYRE,
    )
    track = track.smoothed(30.0).moved(0, -1.0, 0)
    rollers = [cylinder(0.26, 0.04, Material.STEEL, 10, "y").moved(x, -1.29, 0.45) for x in (-1.6, -0.8, 0.0, 0.9)]
    base = box((1.6, 1.5, 0.35), Material.TRIM, (-0.3, 0, 0.78))
    house = loft(
        [-2.6, -2.45, -0.9, -0.2],
        [rounded_ring(w, 0.98, t, count, 5.0) for w, t in ((1.1, 1.7), (1.22, 1.98), (1.22, 2.05), (1.2, 1.55))],
        Material.YELLOW,
    ).smoothed(40)
    deck = box((2.3, 2.3, 0.3), Material.YELLOW, (-0.05, 0, 1.12))
    cabin = box((1.3, 0.95, 1.65), Material.YELLOW, (0.35, 0.62, 2.05), taper=0.9)
    panes = [
        framed(
            [(1.005, 0.2, 1.45), (1.005, 1.04, 1.45), (0.96, 1.0, 2.75), (0.96, 0.24, 2.75)],
            0.06,
            Material.TRIM,
            Material.GLASS,
        ),
        framed(
            [(-0.2, 0.14, 1.65), (0.9, 0.14, 1.65), (0.86, 0.16, 2.75), (-0.16, 0.16, 2.75)],
            0.06,
            Material.TRIM,
            Material.GLASS,
        ),
        framed(
            [(-0.2, 0.14, 1.65), (0.9, 0.14, 1.65), (0.86, 0.16, 2.75), (-0.16, 0.16, 2.75)],
            0.06,
            Material.TRIM,
            Material.GLASS,
        )
        .mirrored()
        .moved(0, 1.24, 0),
    ]
    boom = join(
        tube((0.5, -0.2, 1.3), (2.2, -0.2, 2.95), 0.24, Material.YELLOW, 8, 0.85),
        tube((2.15, -0.2, 2.95), (3.45, -0.2, 2.2), 0.2, Material.YELLOW, 8, 0.8),
    )
    stick = join(
        tube((3.4, -0.2, 2.3), (3.0, -0.2, 0.85), 0.15, Material.YELLOW, 8, 0.8),
        tube((1.5, -0.2, 2.1), (2.9, -0.2, 2.62), 0.06, Material.CHROME, 8),
    )
    bucket = box((0.75, 1.0, 0.65), Material.STEEL, (3.05, -0.2, 0.5), taper=0.75)
    stripes = [box((0.02, 0.34, 0.16), Material.TRIM, (-2.61, y, 1.35)) for y in (-0.7, 0.0, 0.7)]
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
