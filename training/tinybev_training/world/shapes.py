"""Triangle meshes of simple solids, from which everything in the world is put together."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tinybev_training.world.materials import Material

Points = NDArray[np.float64]


@dataclass(frozen=True)
class Mesh:
    """T triangles, counter-clockwise seen from outside: (T, 3, 3) corners and their normals, (T,) materials."""

    corners: Points
    normals: Points
    materials: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.corners)

    def moved(self, x: float = 0.0, y: float = 0.0, z: float = 0.0) -> Mesh:
        """Shifted."""
        return Mesh(self.corners + np.array([x, y, z]), self.normals, self.materials)

    def turned(self, axis: str, angle: float) -> Mesh:
        """Turned by ``angle`` radians about the x, y or z axis."""
        i, j = {"x": (1, 2), "y": (2, 0), "z": (0, 1)}[axis]
        rotation = np.eye(3)
        rotation[i, i] = rotation[j, j] = math.cos(angle)
        rotation[i, j], rotation[j, i] = -math.sin(angle), math.sin(angle)
        return Mesh(self.corners @ rotation.T, self.normals @ rotation.T, self.materials)

    def scaled(self, factors: ArrayLike) -> Mesh:
        """Scaled along the axes by positive factors."""
        factor = np.asarray(factors, dtype=np.float64)
        return Mesh(self.corners * factor, _unit(self.normals / factor), self.materials)

    def mirrored(self) -> Mesh:
        """Mirrored left to right."""
        flip = np.array([1.0, -1.0, 1.0])
        return Mesh((self.corners * flip)[:, ::-1], (self.normals * flip)[:, ::-1], self.materials)

    def smoothed(self, crease_deg: float = 42.0) -> Mesh:
        """With normals averaged over neighbours that meet at less than the crease angle."""
        flat = _unit(np.cross(self.corners[:, 1] - self.corners[:, 0], self.corners[:, 2] - self.corners[:, 0]))
        _, vertex = np.unique(np.round(self.corners.reshape(-1, 3), 4), axis=0, return_inverse=True)
        vertex = vertex.reshape(-1)
        order = np.argsort(vertex, kind="stable")
        bounds = np.flatnonzero(np.diff(vertex[order], prepend=-1, append=vertex.max() + 1))
        normals = np.empty((len(vertex), 3))
        for start, end in itertools.pairwise(bounds):
            corners = order[start:end]
            faces = flat[corners // 3]
            normals[corners] = (faces @ faces.T > math.cos(math.radians(crease_deg))) @ faces
        return Mesh(self.corners, _unit(normals).reshape(-1, 3, 3), self.materials)


def _unit(vectors: Points) -> Points:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)


def join(*meshes: Mesh) -> Mesh:
    """Several meshes as one."""
    return Mesh(
        *(np.concatenate([getattr(mesh, name) for mesh in meshes]) for name in ("corners", "normals", "materials"))
    )


def from_triangles(corners: ArrayLike, material: Material | Sequence[Material]) -> Mesh:
    """Flat-shaded triangles (T, 3, 3); those without an area are dropped."""
    triangles = np.asarray(corners, dtype=np.float64).reshape(-1, 3, 3)
    cross = np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0])
    kept = np.linalg.norm(cross, axis=1) > 1e-10
    materials = np.broadcast_to(np.asarray(material, dtype=np.uint8), (len(triangles),))
    normals = np.repeat(_unit(cross)[:, None], 3, axis=1)
    return Mesh(triangles[kept], normals[kept], materials[kept])


def quads(corners: ArrayLike, material: Material) -> Mesh:
    """Quadrilaterals (Q, 4, 3), counter-clockwise."""
    q = np.asarray(corners, dtype=np.float64).reshape(-1, 4, 3)
    return from_triangles(np.stack([q[:, [0, 1, 2]], q[:, [0, 2, 3]]], axis=1).reshape(-1, 3, 3), material)


def framed(corners: ArrayLike, margin: float, frame: Material, pane: Material) -> Mesh:
    """One quadrilateral (4, 3) as a pane in a frame of ``margin`` metres."""
    outer = np.asarray(corners, dtype=np.float64)
    inner = np.empty_like(outer)
    for index in range(4):
        corner, after, before = outer[index], outer[(index + 1) % 4], outer[index - 1]
        a, b = _unit(after - corner), _unit(before - corner)
        widen = margin / max(float(np.linalg.norm(np.cross(a, b))), 0.3)
        inner[index] = corner + widen * (a + b)
    sides = [np.stack([outer[i], outer[(i + 1) % 4], inner[(i + 1) % 4], inner[i]]) for i in range(4)]
    return join(quads(np.stack(sides), frame), quads(inner, pane))


def box(size: ArrayLike, material: Material, center: ArrayLike = (0.0, 0.0, 0.0), taper: float = 1.0) -> Mesh:
    """A box; its top is ``taper`` times as long and as wide as its bottom."""
    a, w, h = np.asarray(size, dtype=np.float64) / 2
    t = taper
    p = np.array(
        [
            [a, w, -h],
            [a, -w, -h],
            [-a, -w, -h],
            [-a, w, -h],
            [a * t, w * t, h],
            [a * t, -w * t, h],
            [-a * t, -w * t, h],
            [-a * t, w * t, h],
        ]
    )
    faces = [[0, 3, 2, 1][::-1], [4, 7, 6, 5], [0, 4, 5, 1], [2, 6, 7, 3], [1, 5, 6, 2], [3, 7, 4, 0]]
    return _outward(quads(p[faces], material)).moved(*np.asarray(center, dtype=np.float64))


def _outward(mesh: Mesh) -> Mesh:
    """A convex mesh around the origin, every triangle turned to face outwards."""
    middle = mesh.corners.reshape(-1, 3).mean(axis=0)
    inward = ((mesh.corners.mean(axis=1) - middle) * mesh.normals[:, 0]).sum(axis=1) < 0
    corners, normals = mesh.corners.copy(), mesh.normals.copy()
    corners[inward] = corners[inward, ::-1]
    normals[inward] *= -1
    return Mesh(corners, normals, mesh.materials)


def loft(xs: ArrayLike, rings: ArrayLike, material: Material) -> Mesh:
    """A closed skin over rings (S, K, 2) of (y, z) at stations ``xs`` (S,), rings counter-clockwise seen from +x."""
    x, r = np.asarray(xs, dtype=np.float64), np.asarray(rings, dtype=np.float64)
    points = np.concatenate([np.broadcast_to(x[:, None, None], (*r.shape[:2], 1)), r], axis=2)
    after = np.roll(points, -1, axis=1)
    skin = np.stack([points[:-1], after[:-1], after[1:], points[1:]], axis=2).reshape(-1, 4, 3)
    parts = [quads(skin, material)]
    for ring, outward in ((points[0], -1.0), (points[-1], 1.0)):
        middle = ring.mean(axis=0)
        following = np.roll(ring, -1, axis=0)
        fan = [ring, following] if outward > 0 else [following, ring]
        parts.append(from_triangles(np.stack([np.broadcast_to(middle, ring.shape), *fan], axis=1), material))
    return join(*parts)


def rounded_ring(
    half_width: float, low: float, high: float, count: int = 16, power: float = 4.0, lean: float = 0.0
) -> Points:
    """A ring (count, 2) of (y, z) between a rectangle and an ellipse; ``lean`` narrows its upper half by that share."""
    angle = (np.arange(count) + 0.5) * 2 * math.pi / count
    y = half_width * np.sign(np.cos(angle)) * np.abs(np.cos(angle)) ** (2 / power)
    s = np.sign(np.sin(angle)) * np.abs(np.sin(angle)) ** (2 / power)
    return np.stack([y * (1 - lean * np.clip(s, 0, 1)), (low + high) / 2 + (high - low) / 2 * s], axis=1)


def cylinder(
    radius: float,
    length: float,
    material: Material,
    count: int = 14,
    axis: str = "z",
    taper: float = 1.0,
    cap: Material | None = None,
) -> Mesh:
    """A cylinder about the origin along an axis; its far end is ``taper`` times as thick."""
    angle = np.arange(count) * 2 * math.pi / count
    ring = np.stack([np.cos(angle), np.sin(angle)], axis=1) * radius
    mesh = loft([-length / 2, length / 2], np.stack([ring, ring * max(taper, 1e-3)]), material)
    side = mesh.smoothed(50.0)
    if cap is not None:
        flat = np.abs(mesh.normals[:, 0, 0]) > 0.99
        side = Mesh(side.corners, side.normals, np.where(flat, np.uint8(cap), side.materials))
    # Lofts run along x.
    if axis == "z":
        return side.turned("y", -math.pi / 2)
    return side.turned("z", math.pi / 2) if axis == "y" else side


def tube(
    start: ArrayLike, end: ArrayLike, radius: float, material: Material, count: int = 8, taper: float = 1.0
) -> Mesh:
    """A cylinder from one point to another."""
    a, b = np.asarray(start, dtype=np.float64), np.asarray(end, dtype=np.float64)
    forward = b - a
    length = float(np.linalg.norm(forward))
    forward = forward / length
    side = np.cross(forward, [0.0, 0.0, 1.0] if abs(forward[2]) < 0.9 else [1.0, 0.0, 0.0])
    side /= np.linalg.norm(side)
    rotation = np.stack([forward, side, np.cross(forward, side)], axis=1)
    mesh = cylinder(radius, length, material, count, axis="x", taper=taper)
    return Mesh(mesh.corners @ rotation.T + (a + b) / 2, mesh.normals @ rotation.T, mesh.materials)


def ellipsoid(
    radii: ArrayLike,
    material: Material,
    count: int = 10,
    center: ArrayLike = (0.0, 0.0, 0.0),
    lumps: float = 0.0,
    seed: int = 0,
) -> Mesh:
    """An ellipsoid; ``lumps`` displaces its surface at random by that share of its size, as leaves do."""
    rows = max(4, count // 2 + 1)
    polar = np.linspace(-math.pi / 2, math.pi / 2, rows + 1)
    angle = np.arange(count) * 2 * math.pi / count
    unit = np.stack(
        [
            np.cos(polar)[:, None] * np.cos(angle),
            np.cos(polar)[:, None] * np.sin(angle),
            np.broadcast_to(np.sin(polar)[:, None], (rows + 1, count)),
        ],
        axis=2,
    )
    if lumps:
        swell = 1 + np.random.default_rng(seed).uniform(-lumps, lumps, unit.shape[:2])
        swell[[0, -1]] = swell[[0, -1]].mean(axis=1, keepdims=True)
        unit = unit * swell[:, :, None]
    points = unit * np.asarray(radii, dtype=np.float64)
    after = np.roll(points, -1, axis=1)
    skin = np.stack([points[:-1], after[:-1], after[1:], points[1:]], axis=2).reshape(-1, 4, 3)
    return quads(skin, material).smoothed(179.0).moved(*np.asarray(center, dtype=np.float64))


def capsule(
    start: ArrayLike, end: ArrayLike, radius: float, material: Material, count: int = 8, taper: float = 1.0
) -> Mesh:
    """A rounded limb from one point to another."""
    a, b = np.asarray(start, dtype=np.float64), np.asarray(end, dtype=np.float64)
    return join(
        tube(a, b, radius, material, count, taper),
        ellipsoid([radius] * 3, material, count, a),
        ellipsoid([radius * taper] * 3, material, count, b),
    )


def fitted(mesh: Mesh, size: ArrayLike) -> Mesh:
    """Scaled and moved so that its bounding box is ``size``, its middle over the origin and its foot at z = 0."""
    low, high = mesh.corners.reshape(-1, 3).min(axis=0), mesh.corners.reshape(-1, 3).max(axis=0)
    factor = np.asarray(size, dtype=np.float64) / (high - low)
    anchor = np.array([(low[0] + high[0]) / 2, (low[1] + high[1]) / 2, low[2]])
    return mesh.moved(*-anchor).scaled(factor)
