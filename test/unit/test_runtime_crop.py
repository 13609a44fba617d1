"""Scaling and cutting: the pixels and the calibration that belongs to them stay together, to a fraction of a pixel."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pictures import jpeg
from rigs import ring_rig

from tinybev.geometry import project
from tinybev.model.config import VARIANTS, StudentConfig
from tinybev.runtime.crop import ABOVE_MIDDLE, Crop
from tinybev.runtime.image_file import decode_image_file

FULL = (900, 1600)
TARGETS = [(256, 704), (128, 352), (64, 176), (450, 800)]


def test_nuscenes_images_are_scaled_by_the_width_and_lose_the_sky() -> None:
    crop = Crop.fit(FULL, (256, 704))
    assert crop.scale == (0.44, 0.44)
    assert crop.resized == (396, 704)
    assert crop.corner == (0, 140)


def test_wide_images_are_scaled_by_the_height_and_cut_evenly() -> None:
    crop = Crop.fit((400, 2000), (256, 704))
    assert crop.resized == (256, 1280)
    assert crop.corner == (288, 0)


@pytest.mark.parametrize("variant", VARIANTS.values(), ids=VARIANTS)
@pytest.mark.parametrize("image_size", [FULL, (450, 800), (720, 1280), (1080, 1920)])
def test_of_images_of_16_to_9_only_sky_and_nothing_of_the_ground_is_cut_off(
    image_size: tuple[int, int], variant: StudentConfig
) -> None:
    crop = Crop.fit(image_size, variant.image_size)
    assert crop.corner == (0, crop.resized[0] - crop.target[0])


@pytest.mark.parametrize("target", TARGETS)
@given(height=st.integers(60, 3000), width=st.integers(60, 4000))
def test_the_horizon_of_a_level_camera_is_kept(target: tuple[int, int], height: int, width: int) -> None:
    crop = Crop.fit((height, width), target)
    level = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, (height - 1) / 2], [0.0, 0.0, 1.0]])
    horizon = crop.intrinsics(level)[1, 2]
    assert ABOVE_MIDDLE * target[0] - 1.01 <= horizon < target[0]  # a row is half of one from its edge, and whole
    assert 0 <= crop.corner[1] <= crop.resized[0] - target[0]


def test_a_square_camera_sees_the_ground_up_to_the_horizon() -> None:
    crop = Crop.fit((1200, 1200), (256, 704))
    assert crop.resized == (704, 704)
    assert crop.corner == (0, 301)  # of the 352 rows above the middle 51 are kept


@pytest.mark.parametrize(
    "image_size", [FULL, (1200, 1600), (1200, 1200), (720, 1280), (400, 2000), (256, 704), (250, 700), (1201, 1920)]
)
@pytest.mark.parametrize("target", TARGETS)
def test_what_is_left_always_has_the_networks_size(image_size: tuple[int, int], target: tuple[int, int]) -> None:
    cut = Crop.fit(image_size, target).apply(np.zeros((*image_size, 3), dtype=np.uint8))
    assert cut.shape == (*target, 3)


def center_of_mass(image: np.ndarray) -> np.ndarray:
    weight = image[:, :, 0].astype(np.float64)
    weight[weight < 8] = 0  # what compression leaves around the dot
    rows, columns = np.mgrid[0 : image.shape[0], 0 : image.shape[1]]
    return np.array([(columns * weight).sum(), (rows * weight).sum()]) / weight.sum()


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("pixel", [(800.0, 700.0), (123.4, 612.3), (1530.8, 820.6)])
@pytest.mark.parametrize("compressed", [False, True])
def test_a_dot_is_where_the_scaled_intrinsics_project_it(
    target: tuple[int, int], pixel: tuple[float, float], compressed: bool
) -> None:
    across, down = (
        np.exp(-((np.arange(n) - at) ** 2) / (2 * 12.0**2)) for n, at in zip(FULL[::-1], pixel, strict=True)
    )
    drawn = np.repeat((255 * np.outer(down, across)).astype(np.uint8)[:, :, None], 3, axis=2)
    crop = Crop.fit(FULL, target)
    image = decode_image_file(jpeg(drawn), target_width=crop.resized[1]) if compressed else drawn
    matrix = ring_rig(FULL).intrinsics[0]
    point = np.linalg.inv(matrix) @ [*pixel, 1.0] * 10.0
    expected, _ = project([point], crop.intrinsics(matrix))
    assert center_of_mass(crop.apply(image)) == pytest.approx(expected[0], abs=0.05)


def test_images_are_only_decoded_at_half_size_where_that_is_enough() -> None:
    file = jpeg(np.zeros((*FULL, 3), dtype=np.uint8))
    assert decode_image_file(file, target_width=800).shape == (450, 800, 3)
    assert decode_image_file(file, target_width=801).shape == (900, 1600, 3)
