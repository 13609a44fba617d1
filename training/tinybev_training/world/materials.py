"""Materials: what a surface is, as numbers that the shading understands."""

from __future__ import annotations

from enum import IntEnum

import numpy as np


class Texture(IntEnum):
    """Patterns that are computed where a ray hits."""

    NONE = 0
    FACADE = 1
    FOLIAGE = 2
    ROUGH = 3


class Material(IntEnum):
    """One material; ``PAINT``, ``CLOTH`` and ``LEGWEAR`` take their colour from the instance."""

    PAINT = 0
    CLOTH = 1
    LEGWEAR = 2
    SKIN = 3
    HAIR = 4
    GLASS = 5
    TYRE = 6
    RIM = 7
    TRIM = 8
    CHROME = 9
    HEADLIGHT = 10
    TAILLIGHT = 11
    PLATE = 12
    WHITE = 13
    ORANGE = 14
    RED = 15
    YELLOW = 16
    STEEL = 17
    BARK = 18
    LEAVES = 19
    WALL = 20
    ROOF = 21
    KERB = 22
    WOOD = 23
    LAMP_HEAD = 24
    SIGNAL_RED = 25
    SIGNAL_DARK = 26
    SIGN_BLUE = 27
    SIGN_RED = 28
    TARPAULIN = 29
    SIGNAL_GREEN = 30
    INDICATOR = 31
    SIGNAL_YELLOW = 32


# red, green, blue (linear reflectance), gloss (0 to 1), glow by day, glow at night, texture
_TABLE: dict[Material, tuple[float, float, float, float, float, float, Texture]] = {
    Material.PAINT: (0.5, 0.5, 0.5, 0.55, 0, 0, Texture.NONE),
    Material.CLOTH: (0.4, 0.3, 0.3, 0.0, 0, 0, Texture.ROUGH),
    Material.LEGWEAR: (0.1, 0.12, 0.2, 0.0, 0, 0, Texture.ROUGH),
    Material.SKIN: (0.62, 0.40, 0.28, 0.0, 0, 0, Texture.NONE),
    Material.HAIR: (0.06, 0.04, 0.03, 0.1, 0, 0, Texture.NONE),
    Material.GLASS: (0.02, 0.025, 0.03, 0.95, 0, 0, Texture.NONE),
    Material.TYRE: (0.022, 0.022, 0.024, 0.02, 0, 0, Texture.NONE),
    Material.RIM: (0.36, 0.37, 0.39, 0.45, 0, 0, Texture.NONE),
    Material.TRIM: (0.03, 0.03, 0.033, 0.15, 0, 0, Texture.NONE),
    Material.CHROME: (0.5, 0.5, 0.52, 0.8, 0, 0, Texture.NONE),
    Material.HEADLIGHT: (0.75, 0.77, 0.8, 0.7, 0.1, 5.0, Texture.NONE),
    Material.TAILLIGHT: (0.45, 0.02, 0.02, 0.6, 0.06, 1.6, Texture.NONE),
    Material.PLATE: (0.75, 0.75, 0.72, 0.1, 0, 0.05, Texture.NONE),
    Material.WHITE: (0.74, 0.74, 0.73, 0.12, 0, 0, Texture.NONE),
    Material.ORANGE: (0.80, 0.20, 0.03, 0.1, 0.03, 0, Texture.NONE),
    Material.RED: (0.58, 0.035, 0.03, 0.12, 0, 0, Texture.NONE),
    Material.YELLOW: (0.72, 0.42, 0.02, 0.3, 0, 0, Texture.NONE),
    Material.STEEL: (0.22, 0.23, 0.24, 0.25, 0, 0, Texture.NONE),
    Material.BARK: (0.12, 0.085, 0.055, 0.0, 0, 0, Texture.ROUGH),
    Material.LEAVES: (0.10, 0.19, 0.045, 0.0, 0, 0, Texture.FOLIAGE),
    Material.WALL: (0.5, 0.45, 0.4, 0.0, 0, 0, Texture.FACADE),
    Material.ROOF: (0.16, 0.13, 0.12, 0.0, 0, 0, Texture.ROUGH),
    Material.KERB: (0.42, 0.41, 0.39, 0.0, 0, 0, Texture.ROUGH),
    Material.WOOD: (0.30, 0.17, 0.08, 0.05, 0, 0, Texture.ROUGH),
    Material.LAMP_HEAD: (0.7, 0.68, 0.6, 0.2, 0, 4.0, Texture.NONE),
    Material.SIGNAL_RED: (0.8, 0.05, 0.03, 0.2, 0.7, 3.0, Texture.NONE),
    Material.SIGNAL_DARK: (0.03, 0.03, 0.03, 0.1, 0, 0, Texture.NONE),
    Material.SIGN_BLUE: (0.03, 0.12, 0.45, 0.2, 0, 0, Texture.NONE),
    Material.SIGN_RED: (0.6, 0.03, 0.03, 0.2, 0, 0, Texture.NONE),
    Material.TARPAULIN: (0.5, 0.5, 0.5, 0.08, 0, 0, Texture.ROUGH),
    Material.SIGNAL_GREEN: (0.05, 0.7, 0.3, 0.2, 0.7, 3.0, Texture.NONE),
    Material.INDICATOR: (0.85, 0.4, 0.05, 0.5, 0, 0, Texture.NONE),
    Material.SIGNAL_YELLOW: (0.8, 0.48, 0.03, 0.2, 0.7, 3.0, Texture.NONE),
}
MATERIAL_TABLE = np.array([_TABLE[material] for material in Material], dtype=np.float32)
"""(materials, 7): red, green, blue, gloss, glow by day, glow at night, texture."""

PAINTS = np.array(
    [
        [0.72, 0.73, 0.74],
        [0.62, 0.63, 0.65],
        [0.33, 0.34, 0.36],
        [0.10, 0.105, 0.115],
        [0.025, 0.026, 0.03],
        [0.42, 0.03, 0.03],
        [0.03, 0.08, 0.28],
        [0.05, 0.16, 0.36],
        [0.10, 0.20, 0.12],
        [0.48, 0.38, 0.24],
        [0.55, 0.24, 0.05],
        [0.18, 0.05, 0.06],
        [0.25, 0.35, 0.42],
        [0.60, 0.48, 0.10],
    ],
    dtype=np.float32,
)
PAINT_SHARES = np.array([20, 16, 14, 13, 14, 6, 6, 5, 3, 3, 2, 2, 3, 1.5])
CLOTHES = np.array(
    [
        [0.55, 0.05, 0.05],
        [0.04, 0.10, 0.32],
        [0.65, 0.65, 0.62],
        [0.05, 0.05, 0.06],
        [0.08, 0.24, 0.12],
        [0.62, 0.42, 0.06],
        [0.34, 0.10, 0.32],
        [0.10, 0.34, 0.42],
        [0.45, 0.30, 0.20],
        [0.70, 0.30, 0.32],
    ],
    dtype=np.float32,
)
LEGWEARS = np.array(
    [[0.05, 0.07, 0.16], [0.03, 0.03, 0.035], [0.20, 0.16, 0.10], [0.12, 0.12, 0.13], [0.32, 0.30, 0.27]], np.float32
)
WALLS = np.array(
    [
        [0.50, 0.43, 0.34],
        [0.42, 0.20, 0.14],
        [0.58, 0.55, 0.50],
        [0.36, 0.36, 0.37],
        [0.50, 0.34, 0.22],
        [0.62, 0.58, 0.46],
        [0.30, 0.17, 0.13],
        [0.44, 0.47, 0.48],
        [0.52, 0.40, 0.36],
    ],
    dtype=np.float32,
)
