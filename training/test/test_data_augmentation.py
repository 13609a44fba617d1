"""Augmentation: whatever is turned, mirrored, scaled or cut, a point stays on its pixel and in its cell."""

from __future__ import annotations

import math
from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scene_builder import BuiltObject, build_scene, circle, pose
from tinybev_training.data.agents import agent_targets, footprints
from tinybev_training.data.bev_augmentation import BevAugmentation, BevAugmentationRange, augment_bev
from tinybev_training.data.camera_inputs import camera_inputs
from tinybev_training.data.ego import plan_targets
from tinybev_training.data.image_augmentation import (
    ImageAugmentation,
    ImageAugmentationRange,
    Recolouring,
    drop_cameras,
)
from tinybev_training.data.surroundings import MapGeometry, Surroundings
from tinybev_training.data.targets import TargetGrids, draw_targets

from tinybev.geometry import (
    BevGrid,
    box_corners,
    invert,
    project,
    quaternion_from_rotation,
    transform_from,
    transform_points,
)
from tinybev.runtime.crop import Crop
from tinybev.types import CAMERAS, CameraFrame, Command, EgoStatus, Frame, Goal, MapClass

IMAGE_SIZE = (180, 320)
NETWORK_SIZE = (64, 176)
INTRINSICS = np.array([[250.0, 0.0, 161.3], [0.0, 251.0, 88.2], [0.0, 0.0, 1.0]])
GRIDS = TargetGrids(BevGrid((-30, 30, 0.5), (-30, 30, 0.5)), BevGrid((-30, 30, 0.5), (-30, 30, 0.5)))

image_augmentations = st.builds(
    lambda seed: ImageAugmentationRange().draw(IMAGE_SIZE, NETWORK_SIZE, np.random.default_rng(seed)),
    st.integers(0, 2**32),
)
bev_augmentations = st.builds(BevAugmentation, st.floats(-math.pi, math.pi), st.booleans(), st.booleans())


def surroundings(seed: int = 0) -> Surroundings:
    """An ego on a left-hand circle, three objects, a camera that looks ahead-left, a map and lidar points."""
    ego = circle(8.0, 0.2)
    objects = [
        BuiltObject(lambda t: (12 + 3 * t, 4 + t, 0.6)),
        BuiltObject(lambda t: (-9.0, 2 * t, 1.2), class_name="bicycle", size=(1.8, 0.7, 1.5)),
        BuiltObject(lambda t: (5.0, -6.0, 0.0), class_name="pedestrian", size=(0.7, 0.7, 1.8)),
    ]
    scene = build_scene(ego, objects)
    map_T_base = pose(ego, 1.0)
    base_T_map = invert(map_T_base)
    forward = np.array([math.cos(0.3), math.sin(0.3), 0.0])
    right = np.array([math.sin(0.3), -math.cos(0.3), 0.0])
    rotation = np.stack([right, [0.0, 0.0, -1.0], forward], axis=1)
    x, y, z, w = quaternion_from_rotation(rotation)
    rng = np.random.default_rng(seed)
    camera = CameraFrame(
        camera="CAM_FRONT",
        stamp_ns=1,
        image=rng.integers(0, 255, (*IMAGE_SIZE, 3), dtype=np.uint8),
        intrinsics=INTRINSICS,
        image_size=IMAGE_SIZE,
        base_T_camera=transform_from((x, y, z, w), (1.5, 0.2, 1.6)),
        map_T_base=pose(ego, 0.96),
    )
    # Crooked numbers: no cell's centre may lie on an edge, where rounding decides.
    road = np.array([[-20.03, -5.11], [22.07, -7.19], [25.05, 6.13], [-18.01, 5.57]])
    return Surroundings(
        scene="built",
        token="token-2",
        frame=Frame(2, {"CAM_FRONT": camera}, map_T_base, Goal(Command.LEFT, (20.0, 5.0)), EgoStatus(8.0, 0.2, 0.5)),
        ego=EgoStatus(8.0, 0.2, 0.5),
        agents=agent_targets(scene.keyframes, 2, base_T_map),
        footprints=footprints(scene.keyframes, 2, base_T_map),
        map=MapGeometry({MapClass.DIVIDER: (road[:2] / 2,)}, ((road,),)),
        plan=plan_targets(scene, 2, base_T_map),
        lidar_points=rng.normal(0, 10, (50, 5)).astype(np.float32),
    )


def pixels_of(frame: Frame, points_base: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pixels (N, 2) and depths in CAM_FRONT as the network sees it, with general matrices only."""
    cameras = camera_inputs(frame, NETWORK_SIZE)
    n = CAMERAS.index("CAM_FRONT")
    camera_T_base = np.linalg.inv(cameras.base_T_camera_N44[n])
    return project(points_base @ camera_T_base[:3, :3].T + camera_T_base[:3, 3], cameras.intrinsics_N33[n])


@settings(max_examples=200)
@given(image_augmentations, st.floats(-8, 8), st.floats(-4, 4), st.floats(1, 60))
def test_augmented_intrinsics_project_a_point_to_the_augmented_pixel(
    augmentation: ImageAugmentation, x: float, y: float, z: float
) -> None:
    """The pixel is moved step by step here: scaled about the image's corner, cut, mirrored, turned."""
    point = np.array([[x, y, z]])
    (u, v), crop = project(point, INTRINSICS)[0][0], augmentation.crop
    u = (u + 0.5) * crop.resized[1] / IMAGE_SIZE[1] - 0.5 - crop.corner[0]
    v = (v + 0.5) * crop.resized[0] / IMAGE_SIZE[0] - 0.5 - crop.corner[1]
    if augmentation.flip:
        u = crop.target[1] - 1 - u
    from_middle = complex(u - (crop.target[1] - 1) / 2, v - (crop.target[0] - 1) / 2)
    turned = from_middle * complex(math.cos(augmentation.rotation), math.sin(augmentation.rotation))
    expected = [turned.real + (crop.target[1] - 1) / 2, turned.imag + (crop.target[0] - 1) / 2]
    found = project(point, augmentation.matrix @ INTRINSICS)[0][0]
    np.testing.assert_allclose(found, expected, atol=1e-6 * max(1.0, float(np.abs(expected).max())))


@settings(max_examples=60)
@given(image_augmentations, st.floats(30, 290), st.floats(60, 165))
def test_a_bright_spot_moves_to_where_the_matrix_says(augmentation: ImageAugmentation, u: float, v: float) -> None:
    """The pixels themselves: a soft spot at a known place, its centre of brightness measured afterwards."""
    rows, columns = np.mgrid[: IMAGE_SIZE[0], : IMAGE_SIZE[1]]
    spot = np.exp(-((columns - u) ** 2 + (rows - v) ** 2) / (2 * 4.0**2))
    image = np.repeat((255 * spot)[..., None], 3, axis=2).astype(np.uint8)
    seen = replace(augmentation, colours=Recolouring()).apply(image)[..., 0].astype(np.float64)
    expected_u, expected_v, _ = augmentation.matrix @ [u, v, 1.0]
    if not (9 < expected_u < NETWORK_SIZE[1] - 10 and 9 < expected_v < NETWORK_SIZE[0] - 10):
        return  # cut
    rows, columns = np.mgrid[: NETWORK_SIZE[0], : NETWORK_SIZE[1]]
    assert (seen * columns).sum() / seen.sum() == pytest.approx(expected_u, abs=0.15)
    assert (seen * rows).sum() / seen.sum() == pytest.approx(expected_v, abs=0.15)


def test_without_augmentation_the_image_is_the_vehicles() -> None:
    view = surroundings().frame.images["CAM_FRONT"]
    crop = Crop.fit(IMAGE_SIZE, NETWORK_SIZE)
    inputs = camera_inputs(surroundings().frame, NETWORK_SIZE)
    assert isinstance(view.image, np.ndarray)
    np.testing.assert_array_equal(inputs.images_NHWC[0], crop.apply(view.image))
    np.testing.assert_allclose(inputs.intrinsics_N33[0], crop.intrinsics(INTRINSICS))
    assert inputs.mask_N.tolist() == [True] + [False] * 5
    assert np.isnan(inputs.intrinsics_N33[1:]).all()


def test_a_window_past_the_image_is_black_there() -> None:
    crop = Crop((0.25, 0.25), (45, 80), (-10, 5), (50, 100))
    seen = ImageAugmentation(crop).apply(np.full((*IMAGE_SIZE, 3), 200, dtype=np.uint8))
    assert seen.shape == (50, 100, 3)
    assert (seen[:40, 10:90] == 200).all()
    assert not seen[:, :10].any()
    assert not seen[40:].any()


def test_recolouring_by_hand() -> None:
    image = np.full((2, 2, 3), (100, 50, 150), dtype=np.uint8)
    crop = Crop((1, 1), (2, 2), (0, 0), (2, 2))
    brighter = ImageAugmentation(crop, colours=Recolouring(brightness=1.2)).apply(image)
    np.testing.assert_array_equal(brighter[0, 0], (120, 60, 180))
    grey = ImageAugmentation(crop, colours=Recolouring(saturation=0.0)).apply(image)
    np.testing.assert_array_equal(grey[0, 0], [round(0.299 * 100 + 0.587 * 50 + 0.114 * 150)] * 3)
    flat = ImageAugmentation(crop, colours=Recolouring(contrast=0.0)).apply(image)
    np.testing.assert_array_equal(flat[0, 0], (100, 100, 100))
    saturated = ImageAugmentation(crop, colours=Recolouring(brightness=2.0)).apply(image)
    assert saturated.max() == 255


@settings(max_examples=60)
@given(bev_augmentations)
def test_bev_augmentation_leaves_every_point_on_its_pixel(augmentation: BevAugmentation) -> None:
    """Boxes, futures, plan, goal, map and lidar, each turned by its own rule, against the camera, turned by its own."""
    before = surroundings()
    after = augment_bev(before, augmentation)

    def points(s: Surroundings) -> np.ndarray:
        boxes = s.agents.boxes
        corners = [
            np.sort(box_corners(c, size, float(yaw)).round(9), axis=0)[[0, -1]].mean(axis=0)[None]
            for c, size, yaw in zip(boxes.centers, boxes.sizes, boxes.yaws, strict=True)
        ]
        noses = boxes.centers[:, :2] + boxes.sizes[:, :1] / 2 * np.stack(
            [np.cos(boxes.yaws), np.sin(boxes.yaws)], axis=1
        )
        on_ground = [
            noses,
            boxes.centers[:, :2] + boxes.velocities,
            s.agents.futures.reshape(-1, 2),
            s.plan.positions,
            np.array([s.frame.goal.point]),
            *s.map.lines[MapClass.DIVIDER],
            *(ring for rings in s.map.drivable or () for ring in rings),
            *(step.centers for step in s.footprints if step is not None),
        ]
        flat = np.concatenate(on_ground)
        return np.concatenate([*corners, np.column_stack([flat, np.zeros(len(flat))]), s.lidar_points[:, :3]])

    pixels_before, depth_before = pixels_of(before.frame, points(before))
    pixels_after, depth_after = pixels_of(after.frame, points(after))
    np.testing.assert_allclose(depth_after, depth_before, atol=1e-4)
    in_view = depth_before > 0.5
    assert in_view.sum() > 20
    np.testing.assert_allclose(pixels_after[in_view], pixels_before[in_view], atol=0.02)


@pytest.mark.parametrize(("flip_x", "flip_y"), [(True, False), (False, True), (True, True)])
def test_a_mirrored_world_has_mirrored_grids(flip_x: bool, flip_y: bool) -> None:
    plain = draw_targets(surroundings(), GRIDS)
    mirrored = draw_targets(augment_bev(surroundings(), BevAugmentation(0.0, flip_x, flip_y)), GRIDS)
    rows, columns = slice(None, None, -1 if flip_x else 1), slice(None, None, -1 if flip_y else 1)
    np.testing.assert_array_equal(mirrored.occupancy.instances, plain.occupancy.instances[:, rows, columns])
    drivable = MapClass.DRIVABLE
    np.testing.assert_array_equal(mirrored.map.masks[drivable], plain.map.masks[drivable][rows, columns])
    assert plain.occupancy.instances.any()


def test_a_quarter_turn_turns_the_grids() -> None:
    plain = draw_targets(surroundings(), GRIDS)
    turned = draw_targets(augment_bev(surroundings(), BevAugmentation(math.pi / 2)), GRIDS)
    # x forward becomes y left: row r goes to column r, column c to row -c.
    np.testing.assert_array_equal(turned.map.masks[MapClass.DRIVABLE], plain.map.masks[MapClass.DRIVABLE].T[::-1])
    np.testing.assert_array_equal(turned.occupancy.instances[0], plain.occupancy.instances[0].T[::-1])


def test_left_and_right_change_places_in_a_mirrored_world() -> None:
    mirrored = augment_bev(surroundings(), BevAugmentation(flip_y=True))
    assert mirrored.frame.goal == Goal(Command.RIGHT, (20.0, -5.0))
    assert mirrored.ego == EgoStatus(8.0, -0.2, 0.5)
    assert mirrored.ego == mirrored.frame.ego
    assert mirrored.plan.valid.all()
    np.testing.assert_allclose(mirrored.plan.yaws, -surroundings().plan.yaws, atol=1e-6)


@pytest.mark.parametrize("augmentation", [BevAugmentation(0.1), BevAugmentation(flip_x=True)])
def test_the_plan_is_masked_where_forward_is_not_ahead(augmentation: BevAugmentation) -> None:
    turned = augment_bev(surroundings(), augmentation)
    assert not turned.plan.valid.any()
    assert turned.ego is None
    assert turned.frame.ego is None
    assert turned.agents.futures_valid.any()


@settings(max_examples=50)
@given(bev_augmentations)
def test_ego_poses_remain_rigid_and_futures_agree_with_velocities(augmentation: BevAugmentation) -> None:
    after = augment_bev(surroundings(), augmentation)
    for transform in (after.frame.map_T_base, after.frame.images["CAM_FRONT"].map_T_base):
        assert transform is not None
        np.testing.assert_allclose(transform[:3, :3] @ transform[:3, :3].T, np.eye(3), atol=1e-12)
        assert np.linalg.det(transform[:3, :3]) == pytest.approx(1.0)
    mounting = after.frame.images["CAM_FRONT"].base_T_camera
    reflected = augmentation.flip_x != augmentation.flip_y
    assert np.linalg.det(mounting[:3, :3]) == pytest.approx(-1.0 if reflected else 1.0)
    steps = after.agents.futures[:, 0] - after.agents.boxes.centers[:, :2]
    np.testing.assert_allclose(steps, 0.5 * after.agents.boxes.velocities, atol=2e-3)


def test_a_reflected_pose_times_a_reflected_mounting_places_points_as_before() -> None:
    """Where the camera stood in the (mirrored) map is where it stood, mirrored."""
    before, augmentation = surroundings(), BevAugmentation(0.3, False, True)
    after = augment_bev(before, augmentation)
    camera_before, camera_after = before.frame.images["CAM_FRONT"], after.frame.images["CAM_FRONT"]
    assert camera_before.map_T_base is not None
    assert camera_after.map_T_base is not None
    point = np.array([[0.3, -0.2, 7.0]])
    in_map = transform_points(camera_before.map_T_base @ camera_before.base_T_camera, point)
    in_mirrored_map = transform_points(camera_after.map_T_base @ camera_after.base_T_camera, point)
    np.testing.assert_allclose(in_mirrored_map, transform_points(augmentation.matrix, in_map), atol=1e-9)


def test_what_is_drawn_stays_in_its_range_and_reaches_its_ends() -> None:
    rng = np.random.default_rng(5)
    drawn = [BevAugmentationRange().draw(rng) for _ in range(400)]
    turns = [augmentation.rotation for augmentation in drawn]
    assert max(map(abs, turns)) <= math.radians(22.5)
    assert max(turns) > math.radians(20) > math.radians(-20) > min(turns)
    assert 0.4 < np.mean([turn != 0 for turn in turns]) < 0.6
    assert 0.15 < np.mean([augmentation.flip_x for augmentation in drawn]) < 0.35
    images = [ImageAugmentationRange().draw(IMAGE_SIZE, NETWORK_SIZE, rng) for _ in range(400)]
    widths = [image.crop.resized[1] for image in images]
    assert 0.94 * 176 - 1 <= min(widths) < 0.96 * 176
    assert 1.09 * 176 < max(widths) <= 1.11 * 176 + 1
    assert all(image.crop.corner[1] + 64 == image.crop.resized[0] for image in images)  # at the lower edge


@pytest.mark.parametrize("image_size", [(180, 320), (240, 320), (320, 320)])
def test_a_drawn_window_ends_at_the_row_at_which_the_vehicles_does(image_size: tuple[int, int]) -> None:
    rng, vehicle = np.random.default_rng(6), Crop.fit(image_size, NETWORK_SIZE)

    def last_row(crop: Crop) -> float:
        """Of the full image."""
        return (crop.corner[1] + crop.target[0]) / crop.scale[1]

    for _ in range(50):
        drawn = ImageAugmentationRange().draw(image_size, NETWORK_SIZE, rng).crop
        assert last_row(drawn) == pytest.approx(last_row(vehicle), abs=1.0 / drawn.scale[1])


@given(st.integers(1, 6), st.floats(0, 1), st.integers(0, 2**32))
def test_dropout_leaves_one_camera(count: int, probability: float, seed: int) -> None:
    assert not all(drop_cameras(count, probability, np.random.default_rng(seed)))


def test_dropout_comes_as_often_as_asked_and_changes_nothing_else() -> None:
    rng = np.random.default_rng(1)
    share = np.mean([drop_cameras(6, 0.2, rng) for _ in range(2000)])
    assert share == pytest.approx(0.2, abs=0.02)
    view = surroundings().frame.images["CAM_FRONT"]
    frame = Frame(2, {name: replace(view, camera=name) for name in CAMERAS})
    whole = camera_inputs(
        frame, NETWORK_SIZE, ImageAugmentationRange(dropout_probability=0.0), np.random.default_rng(3)
    )
    some = camera_inputs(frame, NETWORK_SIZE, ImageAugmentationRange(dropout_probability=0.5), np.random.default_rng(3))
    assert 0 < some.mask_N.sum() < 6
    np.testing.assert_array_equal(some.images_NHWC[some.mask_N], whole.images_NHWC[some.mask_N])
    assert not some.images_NHWC[~some.mask_N].any()


def test_decoded_and_encoded_images_agree() -> None:
    view = surroundings().frame.images["CAM_FRONT"]
    assert isinstance(view.image, np.ndarray)
    smooth = cv2.GaussianBlur(view.image, (0, 0), 3)
    encoded, png = cv2.imencode(".png", cv2.cvtColor(smooth, cv2.COLOR_RGB2BGR))
    assert encoded
    from_pixels = camera_inputs(Frame(2, {"CAM_FRONT": replace(view, image=smooth)}), (96, 176))
    from_file = camera_inputs(Frame(2, {"CAM_FRONT": replace(view, image=png.tobytes())}), (96, 176))
    np.testing.assert_allclose(from_file.images_NHWC[0].astype(int), from_pixels.images_NHWC[0].astype(int), atol=3)
