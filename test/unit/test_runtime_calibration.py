"""Calibrations that cannot be are refused with the camera's name; each camera's own pose is compensated."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from pictures import frame
from rigs import ring_rig, yaw_transform

from tinybev.errors import UserError
from tinybev.geometry import transform_points
from tinybev.runtime.calibration import check_calibration, mounting_at_reference

SIZE = (900, 1600)
RIG = ring_rig(SIZE)


def changed(array: np.ndarray, *index: int, value: float) -> np.ndarray:
    copy = array.copy()
    copy[index] = value
    return copy


def test_a_real_calibration_is_accepted() -> None:
    check_calibration("CAM_BACK", RIG.intrinsics[3], SIZE, RIG.base_T_camera[3])


@pytest.mark.parametrize(
    ("intrinsics", "complaint"),
    [
        (np.zeros((3, 3)), "expected a pinhole matrix with last row 0 0 1"),
        (np.eye(4), "expected a pinhole matrix"),
        (changed(RIG.intrinsics[0], 0, 0, value=np.nan), "expected a pinhole matrix"),
        (changed(RIG.intrinsics[0], 1, 1, value=0.0), "expected positive focal lengths"),
        (changed(RIG.intrinsics[0], 0, 0, value=-1250.0), "expected positive focal lengths"),
        (changed(RIG.intrinsics[0], 0, 2, value=1601.0), "expected the principal point within 1600 x 900 pixels"),
    ],
)
def test_impossible_intrinsics_are_refused(intrinsics: np.ndarray, complaint: str) -> None:
    with pytest.raises(UserError, match=f"CAM_FRONT: {complaint}"):
        check_calibration("CAM_FRONT", intrinsics, SIZE, RIG.base_T_camera[0])


@pytest.mark.parametrize(
    "mounting",
    [
        np.zeros((4, 4)),
        np.eye(3),
        changed(RIG.base_T_camera[0], 0, 3, value=np.inf),
        changed(RIG.base_T_camera[0], 0, 2, value=0.9),
        np.diag([1.0, 1.0, -1.0, 1.0]),
        changed(RIG.base_T_camera[0], 3, 0, value=1.0),
    ],
)
def test_an_impossible_mounting_is_refused(mounting: np.ndarray) -> None:
    with pytest.raises(UserError, match="CAM_FRONT: expected a rigid transform as its mounting"):
        check_calibration("CAM_FRONT", RIG.intrinsics[0], SIZE, mounting)


def test_an_image_without_pixels_is_refused() -> None:
    with pytest.raises(UserError, match="got size 0 x 900"):
        check_calibration("CAM_FRONT", RIG.intrinsics[0], (900, 0), RIG.base_T_camera[0])


def test_what_stands_still_stays_where_it_is_while_the_cameras_move() -> None:
    """A pole seen by each camera at its own time has one place in base_link at the reference stamp."""
    pole_map = np.array([[30.0, 7.0, 2.0]])
    map_T_base_ref = yaw_transform(0.3, x=10.0, y=2.0)
    expected = transform_points(np.linalg.inv(map_T_base_ref), pole_map)
    for n, image in enumerate(frame().images.values()):
        map_T_base = yaw_transform(0.3 - 0.01 * n, x=10.0 - 0.08 * n, y=2.0)
        at_own_time = dataclasses.replace(image, map_T_base=map_T_base)
        pole_camera = transform_points(np.linalg.inv(map_T_base @ image.base_T_camera), pole_map)
        base_ref_T_camera = mounting_at_reference(at_own_time, map_T_base_ref)
        assert transform_points(base_ref_T_camera, pole_camera) == pytest.approx(expected, abs=1e-9)


def test_without_poses_the_vehicle_stood_still() -> None:
    image = frame().images["CAM_BACK"]
    posed = dataclasses.replace(image, map_T_base=yaw_transform(0.2, x=5.0))
    assert np.array_equal(mounting_at_reference(posed, None), image.base_T_camera)
    assert np.array_equal(mounting_at_reference(image, np.eye(4)), image.base_T_camera)
