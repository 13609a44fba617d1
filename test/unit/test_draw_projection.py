"""Lines and polygons in a camera, against pinhole arithmetic and against dense sampling."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from drawn_scene import BASE_T_CAMERA, INTRINSICS, PROJECTION, SIZE, camera_frame, pixel

from tinybev.draw.camera_projection import NEAR_M, CameraProjection, camera_T_base_at_reference
from tinybev.geometry import project, quaternion_from_yaw, transform_from, transform_points
from tinybev.types import CameraFrame, Frame

MARGIN = 32.0 + 1e-6


def _visible(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pixels of points in base_link and which of them may be drawn, from the definition."""
    pixels, depth = project(transform_points(PROJECTION.camera_T_base, points), INTRINSICS)
    inside = (np.abs(pixels - [119.5, 79.5]) <= [119.5 + 32, 79.5 + 32]).all(axis=1)
    return pixels, inside & (depth >= NEAR_M)


def test_a_line_in_sight_ends_at_the_pixels_computed_by_hand() -> None:
    pixels, line, depth = PROJECTION.lines(np.array([[10.0, 2.0, 0.5]]), np.array([[20.0, -3.0, 2.5]]))
    np.testing.assert_allclose(pixels, [[pixel(10, 2, 0.5), pixel(20, -3, 2.5)]])
    np.testing.assert_allclose(pixels, [[(99.5, 89.5), (134.5, 74.5)]])
    assert line.tolist() == [0]
    assert depth == pytest.approx(15.0)


def test_a_line_behind_or_beside_the_camera_is_left_out() -> None:
    starts = np.array([[-10.0, 2.0, 0.0], [5.0, 60.0, 0.0], [10.0, 0.0, 1.5]])
    ends = np.array([[-1.0, 2.0, 0.0], [9.0, 60.0, 0.0], [10.0, 1.0, 1.5]])
    assert PROJECTION.lines(starts, ends)[1].tolist() == [2]


def test_a_line_from_before_to_behind_the_camera_is_cut_where_the_image_ends() -> None:
    pixels, _, _ = PROJECTION.lines(np.array([[10.0, 0.0, 0.0]]), np.array([[-10.0, 0.0, 0.0]]))
    np.testing.assert_allclose(pixels, [[pixel(10, 0, 0), (119.5, 159 + 32)]])


def test_a_line_along_the_optical_axis_is_cut_at_the_near_plane() -> None:
    pixels, _, depth = PROJECTION.lines(np.array([[10.0, 0.0, 1.5]]), np.array([[-10.0, 0.0, 1.5]]))
    assert np.isfinite(pixels).all()
    assert depth == pytest.approx((10.0 + NEAR_M) / 2)


def test_clipped_lines_agree_with_dense_sampling() -> None:
    random = np.random.default_rng(1)
    starts, ends = random.uniform(-20, 20, (2, 300, 3))
    pixels, line, _ = PROJECTION.lines(starts, ends)
    assert 50 < len(line) < 300
    assert (np.abs(pixels - [119.5, 79.5]) < [119.5 + MARGIN, 79.5 + MARGIN]).all()
    share = np.linspace(0, 1, 4001)[:, None]
    for i in range(300):
        samples, visible = _visible(starts[i] + share * (ends[i] - starts[i]))
        if i not in line:
            assert visible.sum() <= 1  # it may touch a corner between two samples
            continue
        (first, last) = pixels[line == i][0]
        along = (last - first) / max(np.linalg.norm(last - first), 1e-9)
        offset = samples[visible] - first
        assert np.abs(offset[:, 0] * along[1] - offset[:, 1] * along[0]).max(initial=0) < 1e-6
        position = offset @ along
        assert position.min(initial=0) > -1e-6
        assert position.max(initial=0) < np.linalg.norm(last - first) + 1e-6
        if visible.sum() > 20:  # and the visible samples reach both ends, up to the sampling
            neighbour = np.abs(np.diff(position)).max()
            assert position.min() <= neighbour
            assert position.max() >= np.linalg.norm(last - first) - neighbour


def test_a_polygon_in_sight_keeps_its_corners() -> None:
    square = np.array([[10.0, 1, 1], [10, -1, 1], [10, -1, 2], [10, 1, 2]])
    np.testing.assert_allclose(PROJECTION.polygon(square), [pixel(*corner) for corner in square])


def test_a_polygon_out_of_sight_has_no_pixels() -> None:
    behind = np.array([[-10.0, 1, 1], [-10, -1, 1], [-10, -1, 2]])
    beside = np.array([[1.0, 50, 1], [2, 50, 1], [2, 50, 2]])
    assert PROJECTION.polygon(behind).shape == PROJECTION.polygon(beside).shape == (0, 2)
    assert PROJECTION.polygon(np.empty((0, 3))).shape == (0, 2)


def test_a_clipped_polygon_covers_what_is_visible_of_it_and_nothing_else() -> None:
    # A rectangle of ground from behind the camera to 12 m ahead; the camera is inside its outline.
    outline = np.array([[-6.0, 3, 0], [12, 3, 0], [12, -2, 0], [-6, -2, 0]])
    clipped = PROJECTION.polygon(outline).astype(np.float32)
    assert np.isfinite(clipped).all()
    random = np.random.default_rng(2)
    ground = np.column_stack([random.uniform(-6, 12, 3000), random.uniform(-2, 3, 3000), np.zeros(3000)])
    pixels, visible = _visible(ground)
    assert visible.sum() > 1000
    assert all(cv2.pointPolygonTest(clipped, tuple(p), True) > -1e-2 for p in pixels[visible])
    for u, v in random.uniform([-30, -30], [269, 189], (3000, 2)):
        if cv2.pointPolygonTest(clipped, (u, v), True) > 0.1:
            x = 150 / (v - 79.5)  # the ground under pixel (u, v)
            assert 0 < x < 12
            assert -2 < (119.5 - u) * x / 100 < 3


def _camera(map_T_base: np.ndarray | None) -> CameraFrame:
    return CameraFrame("CAM_FRONT", 0, b"", INTRINSICS, SIZE, BASE_T_CAMERA, map_T_base)


def test_the_ego_motion_between_the_camera_and_the_reference_is_undone() -> None:
    # 9 m/s for 42 ms: at the camera's stamp the ego was 0.38 m behind where it is at the reference stamp.
    at_camera = transform_from(quaternion_from_yaw(0.5), [100.0, 50.0, 0.0])
    at_reference = at_camera @ transform_from(quaternion_from_yaw(0.0), [0.38, 0.0, 0.0])
    frame = Frame(42_000_000, {"CAM_FRONT": _camera(at_camera)}, at_reference)
    projection = CameraProjection.of_camera(frame, frame.images["CAM_FRONT"], SIZE)
    pixels, depth = projection.points(np.array([[10.0, 2.0, 1.0]]))
    assert depth == pytest.approx(10.38)
    np.testing.assert_allclose(pixels, [pixel(10.38, 2, 1)])


@pytest.mark.parametrize(("camera_pose", "frame_pose"), [(None, np.eye(4)), (np.eye(4), None), (None, None)])
def test_without_both_poses_the_mounting_alone_is_used(
    camera_pose: np.ndarray | None, frame_pose: np.ndarray | None
) -> None:
    frame = Frame(0, {}, frame_pose)
    np.testing.assert_allclose(
        camera_T_base_at_reference(frame, _camera(camera_pose)), np.linalg.inv(BASE_T_CAMERA), atol=1e-12
    )


def test_scaling_keeps_the_middle_of_a_pixel_block() -> None:
    # 160 x 90 halved: the middle of the four pixels (20..21, 30..31), (20.5, 30.5), becomes pixel (10, 15).
    camera = camera_frame("CAM_FRONT", (0, 0, 0))
    frame = Frame(0, {}, None)
    ray = np.array([[5.0, -5.0 * (20.5 - 79.5) / 80, 1.5 - 5.0 * (30.5 - 44.5) / 80]])
    full, _ = CameraProjection.of_camera(frame, camera, (90, 160)).points(ray)
    half, _ = CameraProjection.of_camera(frame, camera, (45, 80)).points(ray)
    np.testing.assert_allclose(full, [[20.5, 30.5]])
    np.testing.assert_allclose(half, [[10.0, 15.0]])
