"""Bytes to what convolutions take."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tinybev.model.config import find_variant
from tinybev.model.pixels import Pixels
from tinybev.model.student import seeded_student

NANO = find_variant("nano")


def test_bytes_are_normalised_as_the_configuration_says() -> None:
    images = torch.randint(0, 256, (2, 6, 4, 5, 3), dtype=torch.uint8)
    found = Pixels(NANO)(images)
    expected = (images.numpy().astype(np.float64) - NANO.image_mean) / NANO.image_std
    assert found.shape == (12, 3, 4, 5)
    assert found.dtype == torch.float32
    assert found.numpy() == pytest.approx(expected.reshape(12, 4, 5, 3).transpose(0, 3, 1, 2), abs=1e-6)


def test_mean_and_deviation_follow_the_network_and_are_none_of_its_weights() -> None:
    student = seeded_student(NANO, 0)
    assert not any(name.startswith("pixels") for name in student.state_dict())
    assert student.double().pixels(torch.zeros(1, 1, 2, 2, 3, dtype=torch.uint8)).dtype == torch.float64
    assert student.to("meta").pixels.mean_3.device.type == "meta"
