"""Pictures against geometry: depth, boxes, visibility, weather."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tinybev_training.world.cameras import MountedCamera, rig
from tinybev_training.world.demo_scene import WEATHER, demo_scenario
from tinybev_training.world.keyframes import label, visibility_level
from tinybev_training.world.picture_jobs import one_thread
from tinybev_training.world.render import Picture, render_camera
from tinybev_training.world.weather import Weather, with_strengths
from tinybev_training.world.world import World, build_world, pose_matrix

from tinybev.errors import UserError
from tinybev.geometry import box_corners, invert, project, transform_points

STAMP_S = 3.0
SIZE = (225, 400)


@pytest.fixture(scope="module")
def world() -> World:
    with one_thread():
        return build_world(demo_scenario(), WEATHER)


def look(world: World, camera: MountedCamera, count: bool = False, seconds: float = STAMP_S) -> Picture:
    with one_thread():
        stamp = world.scenario.start_ns + int(seconds * 1e9) + camera.offset_ns
        return render_camera(world, camera, stamp, count=count)


@pytest.mark.parametrize("index", range(6))
def test_every_pixel_of_an_agent_is_in_its_box(world: World, index: int) -> None:
    """Each pixel's point, from its depth, lies in the 3D box that the agent is annotated with."""
    camera = rig(*SIZE)[index]
    picture = look(world, camera)
    stamp = world.scenario.start_ns + int(STAMP_S * 1e9) + camera.offset_ns
    moment = world.scenario.at(stamp)
    labels = label(world.scenario, moment)
    scene_T_camera = pose_matrix(moment.ego) @ camera.base_T_camera
    checked = 0
    for row, agent in enumerate(labels.agents.tolist()):
        v, u = np.nonzero(picture.instances.numpy() == agent)
        if len(v) == 0:
            continue
        depth = picture.depth.numpy()[v, u].astype(np.float64)
        rays = np.stack([u, v, np.ones_like(u)], axis=1) @ np.linalg.inv(camera.intrinsics).T
        points = transform_points(scene_T_camera, rays * depth[:, None]) - labels.centers[row]
        cos, sin = np.cos(labels.yaws[row]), np.sin(labels.yaws[row])
        local = np.stack(
            [cos * points[:, 0] + sin * points[:, 1], cos * points[:, 1] - sin * points[:, 0], points[:, 2]], axis=1
        )
        # Swinging arms and feet may leave a pedestrian's box by a little.
        assert (np.abs(local) <= labels.sizes[row] / 2 + 0.12).all()
        checked += len(v)
    assert checked > 100 or index in (2, 4)


def test_a_near_car_fills_its_projected_box(world: World) -> None:
    """What is seen of an unhidden vehicle spans the outline of its box's corners: the box sits on the car."""
    spans = []
    for seconds in (1.0, 4.0, 7.0, 10.0):
        for camera in rig(*SIZE):
            picture = look(world, camera, count=True, seconds=seconds)
            moment = world.scenario.at(world.scenario.start_ns + int(seconds * 1e9) + camera.offset_ns)
            labels = label(world.scenario, moment)
            camera_T_scene = invert(pose_matrix(moment.ego) @ camera.base_T_camera)
            assert picture.visible is not None
            assert picture.coverage is not None
            for row, agent in enumerate(labels.agents.tolist()):
                v, u = np.nonzero(picture.instances.numpy() == agent)
                corners = box_corners(labels.centers[row], labels.sizes[row], float(labels.yaws[row]))
                pixels, depth = project(transform_points(camera_T_scene, corners), camera.intrinsics)
                within = (depth > 0.5).all() and (pixels > 0).all() and (pixels < np.array(SIZE[::-1]) - 1).all()
                unhidden = picture.visible[agent] > 0.97 * picture.coverage[agent]
                if within and unhidden and len(v) > 300 and labels.class_ids[row] in (0, 1, 3):
                    seen = np.array([np.ptp(u), np.ptp(v)]) + 1
                    spans.append(seen / (pixels.max(axis=0) - pixels.min(axis=0)))
    assert len(spans) >= 3
    assert (np.array(spans) > 0.8).all()
    assert (np.array(spans) < 1.05).all()


def test_the_ground_is_as_deep_as_geometry_says(world: World) -> None:
    camera = rig(*SIZE)[0]
    picture = look(world, camera)
    v, u = 200, 200
    below = (v - camera.intrinsics[1, 2]) / camera.intrinsics[1, 1]
    assert int(picture.instances[v, u]) == -1
    assert float(picture.depth[v, u]) == pytest.approx(camera.base_T_camera[2, 3] / below, rel=1e-3)


def test_what_hides_behind_something_is_counted_as_hidden(world: World) -> None:
    visible = coverage = np.zeros(len(world.scenario.agents), np.int64)
    for camera in rig(*SIZE):
        picture = look(world, camera, count=True)
        assert picture.visible is not None
        assert picture.coverage is not None
        visible, coverage = visible + picture.visible, coverage + picture.coverage
    assert (visible <= coverage).all()
    levels = visibility_level(visible, coverage)[coverage > 0]
    assert set(levels.tolist()) == {1, 2, 3, 4} or {1, 4} <= set(levels.tolist())


def test_visibility_levels_are_those_of_nuscenes() -> None:
    levels = visibility_level(np.array([0, 39, 41, 61, 81, 100, 0]), np.array([100, 100, 100, 100, 100, 100, 0]))
    assert levels.tolist() == [1, 1, 2, 3, 4, 4, 1]


def test_the_same_picture_twice(world: World) -> None:
    camera = rig(*SIZE)[0]
    np.testing.assert_array_equal(look(world, camera).rgb, look(world, camera).rgb)


@pytest.fixture(scope="module")
def by_weather() -> dict[str, Picture]:
    """The front camera's picture in the demo's weather ("plain") and with each kind of weather at full strength."""
    scenario, camera = demo_scenario(), rig(90, 160)[0]
    wishes = {"plain": [], **{name: [f"{name}=1"] for name in ("night", "fog", "rain", "blur", "clouds")}}
    wishes["thin fog"] = ["fog=0.3"]
    pictures = {}
    for name, wish in wishes.items():
        with one_thread():
            pictures[name] = look(build_world(scenario, with_strengths(WEATHER, wish)), camera)
    return pictures


@pytest.mark.parametrize("name", ["night", "fog", "rain", "blur", "clouds"])
def test_weather_changes_the_picture_and_nothing_else(by_weather: dict[str, Picture], name: str) -> None:
    plain, changed = by_weather["plain"], by_weather[name]
    assert torch.equal(plain.instances, changed.instances)
    assert torch.equal(plain.depth, changed.depth)
    assert np.abs(plain.rgb.astype(int) - changed.rgb).mean() > (1.5 if name in ("rain", "blur") else 5)


def test_night_is_dark_and_fog_hides_what_is_far(by_weather: dict[str, Picture]) -> None:
    day, night, fog = (by_weather[name] for name in ("plain", "night", "fog"))
    assert night.rgb.mean() < 0.5 * day.rgb.mean()
    far = (day.depth > 50).numpy()
    assert fog.rgb[far].std() < 0.5 * day.rgb[far].std()


def test_more_fog_hides_more(by_weather: dict[str, Picture]) -> None:
    depth = by_weather["plain"].depth
    there = ((depth > 20) & (depth < 60)).numpy()
    contrast = [by_weather[name].rgb[there].std() for name in ("plain", "thin fog", "fog")]
    assert contrast[0] > 1.5 * contrast[1] > 1.5 * 1.2 * contrast[2]


def test_a_dead_camera_is_black() -> None:
    with one_thread():
        world = build_world(demo_scenario(), Weather(dead=("CAM_FRONT",)))
    cameras = rig(90, 160)
    assert look(world, cameras[0]).rgb.max() == 0
    assert look(world, cameras[1]).rgb.max() > 0


@pytest.mark.parametrize("bad", ["fog", "fog=", "fog=2", "fog=x", "snow=1", "dead=CAM_TOP"])
def test_weather_that_does_not_exist_is_refused(bad: str) -> None:
    with pytest.raises(UserError, match="expected"):
        with_strengths(Weather(), [bad])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_draws_the_same(world: World) -> None:
    camera = rig(*SIZE)[0]
    on_gpu = build_world(world.scenario, WEATHER, "cuda")
    a, b = look(world, camera), look(on_gpu, camera)
    assert (a.instances == b.instances.cpu()).float().mean() > 0.999
    assert np.abs(a.rgb.astype(int) - b.rgb).mean() < 0.5
