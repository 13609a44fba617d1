"""Kerb stones stand beside the asphalt and show it their face."""

from __future__ import annotations

import numpy as np
import shapely
from tinybev_training.world.demo_scene import demo_scenario
from tinybev_training.world.kerbs import KERB_HEIGHT, KERB_WIDTH, kerbs


def test_stones_stand_outside_the_asphalt_and_face_it_at_its_outer_edge_and_about_its_holes() -> None:
    scenario = demo_scenario()
    asphalt = shapely.union_all(scenario.roads.drivable.polygons())
    assert len(asphalt.interiors) > 0  # or one of the two is not looked at
    stones = kerbs(scenario)
    corners = np.concatenate([stone.corners for stone in stones])
    flat = shapely.points(corners[..., :2])
    # Neighbouring stones cut into each other in inner corners, so a few corners may reach in.
    assert shapely.contains(asphalt.buffer(-0.3 * KERB_WIDTH), flat).mean() < 0.01
    sides = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals = sides / np.linalg.norm(sides, axis=1, keepdims=True)
    middles = corners.mean(axis=1)
    edge = asphalt.boundary
    upright = np.abs(normals[:, 2]) < 0.5
    faces = upright & (shapely.distance(edge, shapely.points(middles[:, :2])) < 0.05)
    assert faces.sum() > 100
    towards = shapely.points(middles[faces, :2] + 0.3 * normals[faces, :2])
    assert shapely.contains(asphalt, towards).mean() > 0.99
    assert np.isclose(corners[..., 2].max(), KERB_HEIGHT)
