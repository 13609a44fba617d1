"""Samples in memory beside the samples of the same scenario written to files and read back by the data room."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from tinybev_training.data.bev_augmentation import AS_RECORDED, augment_bev
from tinybev_training.data.dataset import open_dataset
from tinybev_training.data.sample import PLAN_STEPS, Sample
from tinybev_training.data.targets import UNIAD_GRIDS, draw_targets
from tinybev_training.world.cameras import rig
from tinybev_training.world.dataset_writer import VERSION
from tinybev_training.world.demo_scene import TILE_M, WEATHER, demo_scenario, write_demo_dataset
from tinybev_training.world.endless import EndlessOptions, EndlessSamples, EndlessSet, LiveScene
from tinybev_training.world.memory_log import city_map, scene_log
from tinybev_training.world.picture_jobs import one_thread
from tinybev_training.world.recording import Recording
from tinybev_training.world.world import build_world

from tinybev.errors import UserError
from tinybev.geometry import invert
from tinybev.types import CAMERAS

SIZE = (72, 128)
INDEX = 8


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Sample, Sample]:
    """One keyframe: from files, and from memory."""
    root: Path = tmp_path_factory.mktemp("world")
    write_demo_dataset(root, recording=Recording(*SIZE), processes=1)
    from_files = open_dataset(root, VERSION).sample(INDEX)
    scenario, cameras = demo_scenario(), rig(*SIZE)
    with one_thread():
        scene = LiveScene(build_world(scenario, WEATHER), scene_log(scenario, cameras), city_map(scenario), cameras)
        around = scene.surroundings(INDEX, True, UNIAD_GRIDS.map_radius_m)
    return from_files, draw_targets(augment_bev(around, AS_RECORDED), UNIAD_GRIDS)


def test_the_boxes_are_the_same(pair: tuple[Sample, Sample]) -> None:
    files, memory = (sample.agents for sample in pair)
    # Agents are numbered differently: they are told apart by where they are.
    order = [np.lexsort(agents.boxes.centers[:, :2].round(2).T) for agents in (files, memory)]
    assert len(files.boxes) == len(memory.boxes) > 20
    for name in ("centers", "sizes", "velocities", "class_ids", "attribute_ids"):
        a, b = (getattr(agents.boxes, name)[rows] for agents, rows in zip((files, memory), order, strict=True))
        np.testing.assert_allclose(a, b, atol=1e-3, err_msg=name)
    for name in ("futures", "futures_valid", "lidar_points", "visibility"):
        a, b = (getattr(agents, name)[rows] for agents, rows in zip((files, memory), order, strict=True))
        np.testing.assert_allclose(a, b, atol=1e-3, err_msg=name)


def test_the_other_targets_are_the_same(pair: tuple[Sample, Sample]) -> None:
    files, memory = pair
    np.testing.assert_allclose(files.plan.positions, memory.plan.positions, atol=1e-4)
    assert files.frame.goal.command == memory.frame.goal.command
    assert files.ego is not None
    assert memory.ego is not None
    # Two keyframes a second in the files, twenty ticks in memory: a braking ego's speed is known less well from files.
    assert files.ego.speed_mps == pytest.approx(memory.ego.speed_mps, abs=0.6)
    assert ((files.occupancy.instances > 0) == (memory.occupancy.instances > 0)).mean() > 0.9999
    assert (files.map.masks == memory.map.masks).mean() > 0.9995
    assert files.map.valid.all()
    assert memory.map.valid.all()
    np.testing.assert_allclose(files.lidar_points, memory.lidar_points, atol=2e-3)


def test_the_pictures_are_the_same(pair: tuple[Sample, Sample]) -> None:
    files, memory = (sample.frame for sample in pair)
    assert files.stamp_ns == memory.stamp_ns
    assert files.map_T_base is not None
    assert memory.map_T_base is not None
    shift = (files.map_T_base @ invert(memory.map_T_base))[:2, 3]
    np.testing.assert_allclose(shift, [TILE_M / 2, TILE_M / 2], atol=1e-6)
    for camera in CAMERAS:
        np.testing.assert_allclose(files.images[camera].intrinsics, memory.images[camera].intrinsics)
        np.testing.assert_allclose(files.images[camera].base_T_camera, memory.images[camera].base_T_camera, atol=1e-9)
        assert memory.images[camera].image.shape == (*SIZE, 3)


def test_a_stream_is_the_same_for_the_same_seed() -> None:
    pytest.importorskip("libsumo", reason="needs SUMO: pip install eclipse-sumo libsumo")
    options = EndlessOptions(image_size=(36, 64), duration_s=8.0, at_once=1, with_lidar=False)
    first, second = (list(islice(EndlessSamples(1, options), 2)) for _ in range(2))
    assert [sample.token for sample in first] == [sample.token for sample in second]
    assert first[0].token != first[1].token
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a.frame.images["CAM_FRONT"].image, b.frame.images["CAM_FRONT"].image)
        assert a.plan.valid.sum() == PLAN_STEPS
    example = next(iter(EndlessSet(options)))
    assert example.sample.plan.valid.sum() == PLAN_STEPS
    assert example.cameras.images_NHWC.shape[1:3] == options.image_size


def test_a_scene_that_is_too_short_is_refused_and_not_sought_for_ever() -> None:
    with pytest.raises(UserError, match="expected a scene of"):
        next(iter(EndlessSamples(1, EndlessOptions(duration_s=0.5))))
