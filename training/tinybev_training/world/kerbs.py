"""Kerb stones along the asphalt."""

from __future__ import annotations

import numpy as np
import shapely
import shapely.ops

from tinybev_training.world.materials import Material
from tinybev_training.world.scenario import Scenario
from tinybev_training.world.shapes import Mesh, from_triangles

KERB_HEIGHT = 0.11

KERB_WIDTH = 0.16


def kerbs(scenario: Scenario) -> list[Mesh]:
    """Kerb stones along the asphalt, in stretches of some twenty metres; lowered where people cross."""
    crossings = shapely.MultiPolygon(scenario.roads.crossings.polygons()).buffer(0.6)
    shapely.prepare(crossings)
    stretches: list[Mesh] = []
    for polygon in scenario.roads.drivable.polygons():
        # Outside counter-clockwise and holes clockwise, so that the asphalt is on the left.
        oriented = shapely.geometry.polygon.orient(polygon)
        for ring in (oriented.exterior, *oriented.interiors):
            line = np.asarray(ring.coords)
            a, b = line[:-1], line[1:]
            step = b - a
            length = np.linalg.norm(step, axis=1)
            out = np.stack([step[:, 1], -step[:, 0]], axis=1) / np.maximum(length, 1e-9)[:, None] * KERB_WIDTH
            kept = np.array([not crossings.contains(shapely.Point(*point)) for point in (a + b) / 2]) & (length > 1e-3)
            low = np.zeros((len(a), 1))
            high = np.full((len(a), 1), KERB_HEIGHT)
            near = [np.hstack([p, z]) for p in (a, b) for z in (low, high)]
            far = [np.hstack([p + out, z]) for p in (a, b) for z in (low, high)]
            face = np.stack([near[2], near[0], near[1], near[3]], axis=1)
            top = np.stack([near[3], near[1], far[1], far[3]], axis=1)
            back = np.stack([far[0], far[2], far[3], far[1]], axis=1)
            quad = np.stack([face, top, back], axis=1)[kept]
            for start in range(0, len(quad), 12):
                q = quad[start : start + 12].reshape(-1, 4, 3)
                stretches.append(from_triangles(np.stack([q[:, [0, 1, 2]], q[:, [0, 2, 3]]], axis=1), Material.KERB))
    return [stretch for stretch in stretches if len(stretch)]
