"""Meshes are as large as the catalogue says, from which boxes are drawn and by which they are scaled."""

from __future__ import annotations

import numpy as np
import pytest
from tinybev_training.world.catalogue import EGO_MODEL, MODELS, Model
from tinybev_training.world.materials import Material
from tinybev_training.world.meshes import shared_meshes
from tinybev_training.world.scenario import SignalState


@pytest.mark.parametrize("model", [model for model in (*MODELS, EGO_MODEL) if model.detection_class != "pedestrian"])
def test_a_mesh_fills_its_box(model: Model) -> None:
    for level in shared_meshes()[model.name]:
        corners = level.corners.reshape(-1, 3)
        middle = np.array([0.0, 0.0, model.size[2] / 2])
        np.testing.assert_allclose(np.ptp(corners, axis=0), model.size, atol=1e-6)
        np.testing.assert_allclose((corners.min(axis=0) + corners.max(axis=0)) / 2, middle, atol=1e-6)


def test_both_heads_of_a_traffic_light_show_its_colour_in_its_place() -> None:
    """Red above yellow above green, on the arm over the lane and on the mast."""
    heights = []
    for state in SignalState:
        mesh = shared_meshes()[f"signal{state}"][0]
        of_color = {other: mesh.materials == Material[f"SIGNAL_{other.name}"] for other in SignalState}
        shown = mesh.corners[of_color[state]].mean(axis=1)
        arm = shown[:, 2] > 4.0
        assert arm.sum() == (~arm).sum() > 0
        assert not any(of_color[other].any() for other in SignalState if other != state)
        heights.append([shown[arm, 2].mean(), shown[~arm, 2].mean()])
    red, yellow, green = np.array(heights)
    assert (red > yellow).all()
    assert (yellow > green).all()
