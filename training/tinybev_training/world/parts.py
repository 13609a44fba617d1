"""The parts of a scene: instances of meshes, each with a place, a scale and colours."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


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
        signal: (P,) index of the traffic light it is, -1 for none; it is there while that shows ``shows`` (P,).
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
    signal: NDArray[np.int64]
    shows: NDArray[np.int64]


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
        signal: int = -1,
        shows: int = -1,
    ) -> None:
        """One part; see :class:`Parts`."""
        look = np.full((3, 3), 0.5, np.float32) if colors is None else colors
        self._rows.append((mesh, agent, scale, pivot, swing, pose, radius, middle, look, seed, lit, signal, shows))

    def done(self) -> Parts:
        """All of them."""
        columns = list(zip(*self._rows, strict=True))
        whole, real = np.int64, float
        kinds = (whole, whole, real, real, real, real, real, real, np.float32, np.float32, bool, whole, whole)
        return Parts(*(np.array(column, dtype=kind) for column, kind in zip(columns, kinds, strict=True)))
