"""Samples without end and without files: scenarios are generated, rendered and thrown away as training asks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch.utils.data import IterableDataset, get_worker_info

from tinybev.geometry import Array, invert, transform_points
from tinybev.types import CameraFrame, Frame, Goal
from tinybev_training.data.agents import agent_targets, footprints
from tinybev_training.data.batch import Example
from tinybev_training.data.bev_augmentation import AS_RECORDED, BevAugmentation, augment_bev
from tinybev_training.data.camera_inputs import camera_inputs
from tinybev_training.data.city_map import CityMap
from tinybev_training.data.ego import command, ego_status, goal_point, plan_targets
from tinybev_training.data.images import Size
from tinybev_training.data.sample import PLAN_STEPS, Sample
from tinybev_training.data.scene_log import SceneLog
from tinybev_training.data.surroundings import Surroundings
from tinybev_training.data.targets import UNIAD_GRIDS, TargetGrids, draw_targets
from tinybev_training.data.training_set import Augmentation
from tinybev_training.world.cameras import BASE_T_LIDAR, MountedCamera, rig
from tinybev_training.world.generate import generate_scenario
from tinybev_training.world.keyframes import visibility_level
from tinybev_training.world.lidar import take_sweep
from tinybev_training.world.memory_log import city_map, scene_log
from tinybev_training.world.no_scene import NoSceneError
from tinybev_training.world.picture_jobs import one_thread
from tinybev_training.world.render import render_camera
from tinybev_training.world.scenario import Scenario
from tinybev_training.world.weather import draw_weather
from tinybev_training.world.world import World, build_world


@dataclass(frozen=True)
class EndlessOptions:
    """What is made.

    Attributes:
        image_size: (height, width) of the pictures.
        duration_s: of a scenario.
        at_once: scenarios that are mixed, so that neighbouring samples differ.
        with_lidar: whether lidar points are rendered.
        grids: of the rasterised targets.
        device: on which pictures are rendered.
    """

    image_size: Size = (256, 704)
    duration_s: float = 20.0
    at_once: int = 2
    with_lidar: bool = True
    grids: TargetGrids = field(default_factory=lambda: UNIAD_GRIDS)
    device: str = "cpu"


@dataclass(frozen=True)
class LiveScene:
    """A scenario that samples are taken from."""

    world: World
    log: SceneLog
    city: CityMap
    cameras: tuple[MountedCamera, ...]

    @classmethod
    def of(cls, scenario: Scenario, seed: int, options: EndlessOptions) -> LiveScene:
        """A scenario in weather drawn from ``seed``."""
        cameras = rig(*options.image_size)
        world = build_world(scenario, draw_weather(np.random.default_rng([seed, 77])), options.device)
        return cls(world, scene_log(scenario, cameras), city_map(scenario), cameras)

    def surroundings(self, index: int, with_lidar: bool, map_radius_m: float) -> Surroundings:
        """What is true around the ego at a keyframe, pictures rendered; see ``NuScenesDataset.surroundings``."""
        log, keyframe = self.log, self.log.keyframes[index]
        newest = max(keyframe.cameras, key=lambda camera: camera.stamp_ns)
        map_T_base = newest.map_T_base
        base_T_map = invert(map_T_base)
        count = len(self.world.scenario.agents)
        visible, coverage = np.zeros(count, np.int64), np.zeros(count, np.int64)
        images = {}
        for record, camera in zip(keyframe.cameras, self.cameras, strict=True):
            picture = render_camera(self.world, camera, record.stamp_ns, count=True)
            assert picture.visible is not None
            assert picture.coverage is not None
            visible += picture.visible
            coverage += picture.coverage
            images[camera.name] = CameraFrame(
                camera.name,
                record.stamp_ns,
                picture.rgb,
                record.intrinsics,
                record.image_size,
                record.base_T_camera,
                record.map_T_base,
            )
        points, beams = np.zeros((0, 5), np.float32), np.full(count, -1, np.int64)
        if with_lidar:
            sweep = take_sweep(self.world, keyframe.lidar.stamp_ns)
            beams = sweep.count(count)
            points = sweep.points.copy()
            points[:, :3] = transform_points(base_T_map @ keyframe.lidar.map_T_base @ BASE_T_LIDAR, points[:, :3])
        agents = agent_targets(log.keyframes, index, base_T_map)
        rows = agents.boxes.track_ids - 1
        ego = ego_status(log.ego_track, map_T_base, newest.stamp_ns)
        goal = Goal(command(log, index), _goal_point(log, map_T_base, newest.stamp_ns))
        return Surroundings(
            scene=log.name,
            token=keyframe.token,
            frame=Frame(newest.stamp_ns, images, map_T_base, goal, ego),
            ego=ego,
            agents=replace(agents, lidar_points=beams[rows], visibility=visibility_level(visible, coverage)[rows]),
            footprints=footprints(log.keyframes, index, base_T_map),
            map=self.city.around(map_T_base, map_radius_m),
            plan=plan_targets(log, index, base_T_map),
            lidar_points=points,
        )


def _goal_point(log: SceneLog, map_T_base: Array, stamp_ns: int) -> tuple[float, float] | None:
    point = goal_point(log.ego_track, map_T_base, stamp_ns)
    if point is None:
        return None
    x, y, _ = transform_points(invert(map_T_base), point[None])[0]
    return float(x), float(y)


class EndlessSamples:
    """The samples of one stream; the same seed gives the same stream."""

    def __init__(
        self, seed: int, options: EndlessOptions | None = None, augmentation: Augmentation | None = None
    ) -> None:
        """
        Args:
            seed: of scenarios, weather, order and augmentation.
            options: what is made.
            augmentation: of the world around the ego, drawn for every sample; None for none.
        """
        self._seed = seed
        self._options = options or EndlessOptions()
        self._augmentation = augmentation

    def __iter__(self) -> Iterator[Sample]:
        """Samples for ever; only keyframes whose plan is known to its end, as only they teach every head."""
        options = self._options
        rng = np.random.default_rng([self._seed, 5])
        live: list[tuple[LiveScene, list[int]]] = []
        number = 0
        while True:
            while len(live) < options.at_once:
                scene_seed = int(np.random.default_rng([self._seed, number]).integers(1 << 31))
                number += 1
                try:
                    scene = LiveScene.of(generate_scenario(scene_seed, options.duration_s), scene_seed, options)
                except NoSceneError:
                    continue
                order = rng.permutation(max(len(scene.log.keyframes) - PLAN_STEPS, 1)).tolist()
                live.append((scene, order))
            chosen = int(rng.integers(len(live)))
            scene, order = live[chosen]
            with one_thread():
                around = scene.surroundings(order.pop(), options.with_lidar, options.grids.map_radius_m)
            turn: BevAugmentation = AS_RECORDED if self._augmentation is None else self._augmentation.bev.draw(rng)
            yield draw_targets(augment_bev(around, turn), options.grids)
            if not order:
                live.pop(chosen)


class EndlessSet(IterableDataset[Example]):
    """Endless samples at the network's image size for a ``DataLoader``; every worker has a stream of its own."""

    def __init__(self, options: EndlessOptions, augmentation: Augmentation | None = None, seed: int = 0) -> None:
        self.options = options
        self.augmentation = augmentation
        self.seed = seed

    def __iter__(self) -> Iterator[Example]:
        """Examples for ever."""
        info = get_worker_info()
        worker = 0 if info is None else info.id
        if info is not None:
            torch.set_num_threads(1)
        rng = np.random.default_rng([self.seed, worker, 9])
        for sample in EndlessSamples(self.seed * 1000 + worker, self.options, self.augmentation):
            if self.augmentation is None:
                yield Example(sample, camera_inputs(sample.frame, self.options.image_size))
            else:
                yield Example(
                    sample, camera_inputs(sample.frame, self.options.image_size, self.augmentation.image, rng)
                )
