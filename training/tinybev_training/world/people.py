"""People: on foot, with limbs that swing, and in the saddle."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tinybev_training.world.materials import Material
from tinybev_training.world.shapes import Mesh, capsule, ellipsoid, fitted, join, loft, rounded_ring, tube
from tinybev_training.world.two_wheelers import bicycle, motorcycle

HEIGHT = 1.74
STRIDE_M = 1.45
"""Two steps."""
SWING_RAD = 0.42


@dataclass(frozen=True)
class Limb:
    """A part that swings about an axis to the left through ``pivot`` (x, z); ``swing`` is its share, with a sign."""

    mesh: Mesh
    pivot: tuple[float, float]
    swing: float


def pedestrian(detail: int, hair_long: bool) -> list[Limb]:
    """An adult of ``HEIGHT`` who looks along x, as a trunk and four limbs."""
    count = 10 if detail > 1 else 6
    levels = [0.80, 0.90, 1.02, 1.15, 1.30, 1.42, 1.48]
    widths = [0.150, 0.170, 0.150, 0.165, 0.195, 0.175, 0.07]
    rings = np.stack([rounded_ring(w, -0.11, 0.11, count, 2.6) * np.array([1, 0.98]) for w in widths])
    trunk = loft(levels, rings, Material.CLOTH).turned("y", -np.pi / 2)
    # The loft ran along x: after the turn its height is z and its depth is -x, which a trunk does not mind.
    trunk = trunk.smoothed(60.0)
    hips = ellipsoid((0.115, 0.165, 0.12), Material.LEGWEAR, count, (0, 0, 0.86))
    neck = tube((0, 0, 1.44), (0.01, 0, 1.54), 0.055, Material.SKIN, 6)
    head = ellipsoid((0.098, 0.080, 0.122), Material.SKIN, count, (0.015, 0, 1.615))
    hair = ellipsoid((0.100, 0.088, 0.110), Material.HAIR, count, (-0.018, 0, 1.645))
    parts = [trunk, hips, neck, head, hair]
    if hair_long:
        parts.append(ellipsoid((0.055, 0.085, 0.15), Material.HAIR, count, (-0.07, 0, 1.53)))
    limbs = [Limb(join(*parts), (0.0, 0.0), 0.0)]
    for side in (-1, 1):
        leg = join(
            capsule((0, side * 0.09, 0.84), (0, side * 0.09, 0.47), 0.082, Material.LEGWEAR, count, 0.72),
            capsule((0, side * 0.09, 0.47), (-0.01, side * 0.09, 0.10), 0.058, Material.LEGWEAR, count, 0.75),
            ellipsoid((0.125, 0.048, 0.05), Material.TRIM, count, (0.045, side * 0.09, 0.05)),
        )
        limbs.append(Limb(leg, (0.0, 0.86), float(side)))
        arm = join(
            capsule((0, side * 0.215, 1.38), (-0.01, side * 0.235, 1.12), 0.050, Material.CLOTH, count, 0.85),
            capsule((-0.01, side * 0.235, 1.12), (0.06, side * 0.235, 0.90), 0.040, Material.CLOTH, count, 0.85),
            ellipsoid((0.035, 0.028, 0.05), Material.SKIN, count, (0.075, side * 0.235, 0.83)),
        )
        limbs.append(Limb(arm, (0.0, 1.40), -0.8 * side))
    return limbs


def _rider(
    detail: int, lean: float, saddle_z: float, hands: tuple[float, float], feet: tuple[float, float], helmet: Material
) -> Mesh:
    """Somebody in the saddle at x = -0.2: leaning forward by ``lean`` metres at the shoulders."""
    count = 10 if detail > 1 else 6
    hip, shoulder = np.array([-0.22, 0, saddle_z + 0.08]), np.array([-0.22 + lean, 0, saddle_z + 0.56])
    parts = [
        capsule(hip, shoulder, 0.155, Material.CLOTH, count, 0.95),
        ellipsoid((0.10, 0.082, 0.12), Material.SKIN, count, shoulder + np.array([0.07, 0, 0.24])),
        ellipsoid((0.125, 0.105, 0.115), helmet, count, shoulder + np.array([0.05, 0, 0.29])),
    ]
    for side in (-1, 1):
        knee = np.array([0.16, side * 0.13, saddle_z - 0.12 + 0.10 * side * (helmet == Material.WHITE)])
        foot = np.array([feet[0], side * 0.13, feet[1] + 0.10 * side * (helmet == Material.WHITE)])
        elbow = (shoulder + np.array([hands[0], 0, hands[1]])) / 2 + np.array([-0.02, side * 0.24, -0.06])
        parts += [
            capsule(hip + np.array([0, side * 0.09, 0]), knee, 0.082, Material.LEGWEAR, count, 0.8),
            capsule(knee, foot, 0.06, Material.LEGWEAR, count, 0.75),
            ellipsoid((0.12, 0.045, 0.045), Material.TRIM, count, foot + np.array([0.05, 0, -0.03])),
            capsule(shoulder + np.array([0, side * 0.17, -0.04]), elbow, 0.05, Material.CLOTH, count, 0.85),
            capsule(elbow, [hands[0], side * 0.26, hands[1]], 0.042, Material.CLOTH, count, 0.8),
        ]
    return join(*parts)


def ridden_bicycle(detail: int) -> Mesh:
    """A bicycle and who rides it, filling the box of both."""
    rider = _rider(detail, 0.30, 0.90, (0.30, 1.07), (0.0, 0.30), Material.WHITE)
    return fitted(join(bicycle(detail), rider), (1.78, 0.60, 1.74))


def ridden_motorcycle(detail: int) -> Mesh:
    """A motorcycle and who rides it, filling the box of both."""
    rider = _rider(detail, 0.26, 0.84, (0.40, 1.06), (0.05, 0.38), Material.TRIM)
    return fitted(join(motorcycle(detail), rider), (2.1, 0.80, 1.68))
