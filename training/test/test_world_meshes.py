"""Meshes are as large as the catalogue says, from which boxes are drawn and by which they are scaled."""

from __future__ import annotations

import numpy as np
import pytest
from tinybev_training.world.catalogue import EGO_MODEL, MODELS, Model
from tinybev_training.world.meshes import shared_meshes


@pytest.mark.parametrize("model", [model for model in (*MODELS, EGO_MODEL) if model.detection_class != "pedestrian"])
def test_a_mesh_fills_its_box(model: Model) -> None:
    for level in shared_meshes()[model.name]:
        corners = level.corners.reshape(-1, 3)
        middle = np.array([0.0, 0.0, model.size[2] / 2])
        np.testing.assert_allclose(np.ptp(corners, axis=0), model.size, atol=1e-6)
        np.testing.assert_allclose((corners.min(axis=0) + corners.max(axis=0)) / 2, middle, atol=1e-6)
