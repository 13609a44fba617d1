"""The world as a place to drive in: a plan goes in, the next frame comes out.

The others do as the scenario says; the ego goes where its plan takes it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tinybev.errors import UserError
from tinybev.geometry import yaw_of
from tinybev.types import CameraFrame, EgoStatus, Frame, Goal, Plan
from tinybev_training.data.ego import command, ego_status, goal_point
from tinybev_training.data.scene_log import EgoTrack
from tinybev_training.world.cameras import rig
from tinybev_training.world.generate import generate_scenario
from tinybev_training.world.keyframes import KEYFRAME_NS, keyframe_stamps
from tinybev_training.world.memory_log import scene_log
from tinybev_training.world.picture_jobs import one_thread
from tinybev_training.world.render import render_camera
from tinybev_training.world.scenario import Scenario, between
from tinybev_training.world.weather import Weather, draw_weather
from tinybev_training.world.world import World, build_world, pose_matrix

_LATEST_NS = max(camera.offset_ns for camera in rig())
"""The newest image of a keyframe is that much off its stamp; a frame has the newest image's stamp."""

OFF_TRACK_M = 45.0
"""Ground, traffic and shadows are there for 85 m and more around the recorded track, so that within this the next 40 m
are whole."""


class Simulation:
    """Drives one scenario after another; ``reset`` first, then ``step`` until ``done``."""

    def __init__(
        self,
        image_size: tuple[int, int] = (450, 800),
        duration_s: float = 20.0,
        weather: Weather | None = None,
        device: str = "cpu",
    ) -> None:
        """
        Args:
            image_size: (height, width) of the pictures.
            duration_s: of the scenarios that :meth:`reset` generates.
            weather: of all of them; drawn from the seed where None.
            device: on which pictures are rendered.
        """
        self._image_size = image_size
        self._duration_s = duration_s
        self._weather = weather
        self._device = device
        self._world: World | None = None

    def reset(self, seed: int) -> Frame:
        """Generates the scenario of a seed and returns its first frame.

        Raises:
            UserError: there is no such scenario, or SUMO is not installed.
        """
        return self.begin(generate_scenario(seed, self._duration_s))

    def begin(self, scenario: Scenario) -> Frame:
        """Starts a scenario and returns its first frame."""
        weather = self._weather or draw_weather(np.random.default_rng([scenario.seed, 77]))
        self._world = build_world(scenario, weather, self._device)
        self._cameras = rig(*self._image_size)
        self._log = scene_log(scenario, self._cameras)
        self._stamps = keyframe_stamps(scenario)
        self._index = 0
        start = self._stamps[0] + _LATEST_NS
        # What the ego has driven, (stamp, pose); before the first frame it drove as recorded.
        self._driven: list[tuple[int, NDArray[np.float64]]] = [
            (stamp, scenario.at(stamp).ego) for stamp in (scenario.start_ns, start)
        ]
        return self._frame()

    @property
    def done(self) -> bool:
        """Whether the scenario has no further keyframe."""
        return self._world is None or self._index + 1 >= len(self._stamps)

    @property
    def ego(self) -> NDArray[np.float64]:
        """(3,) x, y, yaw of base_link at the last frame, in the scenario's frame."""
        return self._driven[-1][1]

    def step(self, plan: Plan) -> Frame:
        """Follows a plan for half a second, from the last frame's pose, and returns the next frame.

        Args:
            plan: made for the last frame, in its base_link.

        Raises:
            UserError: there is no scenario, it has ended, the plan is too short, or it leaves the world.
        """
        if self.done or self._world is None:
            raise UserError("expected a scenario that is under way; call reset(seed) to start another.")
        offsets = KEYFRAME_NS / 1e9
        times = np.concatenate([[0.0], (np.arange(len(plan.positions)) + 1) * plan.time_step_s])
        if times[-1] < offsets - 1e-9:
            raise UserError(f"expected a plan of at least half a second, got {times[-1]:.2f} s.")
        local = np.concatenate([np.zeros((1, 3)), np.column_stack([plan.positions, plan.yaws])]).astype(np.float64)
        if not np.isfinite(local).all():
            raise UserError("expected a plan of finite numbers, got one that is not.")
        start_ns, start = self._driven[-1]
        for time, pose in zip(times[1:], local[1:], strict=True):
            stamp = start_ns + round(time * 1e9)
            if stamp >= start_ns + KEYFRAME_NS:
                break
            self._driven.append((stamp, _ahead(start, pose)))
        at = [
            np.interp(offsets, times, np.unwrap(local[:, axis]) if axis == 2 else local[:, axis]) for axis in range(3)
        ]
        self._driven.append((start_ns + KEYFRAME_NS, _ahead(start, np.array(at))))
        off_track = np.linalg.norm(self._world.scenario.ego[:, :2] - self.ego[:2], axis=1).min()
        if off_track > OFF_TRACK_M:
            raise UserError(
                f"expected a plan that stays within {OFF_TRACK_M:.0f} m of the recorded track, beyond which the world "
                f"is not whole, got one that leads {off_track:.0f} m away; reset."
            )
        self._index += 1
        return self._frame()

    def _frame(self) -> Frame:
        assert self._world is not None
        stamp = self._stamps[self._index]
        images = {}
        for camera in self._cameras:
            fired = stamp + camera.offset_ns
            ego = self._pose(fired)
            with one_thread():
                picture = render_camera(self._world, camera, fired, ego=ego)
            images[camera.name] = CameraFrame(
                camera.name,
                fired,
                picture.rgb,
                camera.intrinsics,
                (camera.height, camera.width),
                camera.base_T_camera,
                pose_matrix(ego),
            )
        newest = stamp + _LATEST_NS
        return Frame(newest, images, pose_matrix(self.ego), self._goal(newest), self._status(newest))

    def _pose(self, stamp_ns: int) -> NDArray[np.float64]:
        """Where the ego is at a stamp."""
        assert self._world is not None
        later = next(
            (index for index, (stamp, _) in enumerate(self._driven) if stamp >= stamp_ns), len(self._driven) - 1
        )
        if later <= 1:
            return self._world.scenario.at(stamp_ns).ego
        (before_ns, before), (after_ns, after) = self._driven[later - 1], self._driven[later]
        return between(before, after, (stamp_ns - before_ns) / (after_ns - before_ns))

    def _status(self, stamp_ns: int) -> EgoStatus | None:
        stamps = np.array([stamp for stamp, _ in self._driven], dtype=np.int64)
        poses = np.stack([pose_matrix(pose) for _, pose in self._driven])
        return ego_status(EgoTrack(stamps, poses), poses[-1], stamp_ns)

    def _goal(self, stamp_ns: int) -> Goal:
        """The command of the recorded route at this time, and its goal point seen from where the ego is."""
        point = (
            goal_point(self._log.ego_track, pose_matrix(self._world.scenario.at(stamp_ns).ego), stamp_ns)
            if self._world
            else None
        )
        if point is None:
            return Goal(command(self._log, self._index))
        dx, dy = point[0] - self.ego[0], point[1] - self.ego[1]
        cos, sin = np.cos(self.ego[2]), np.sin(self.ego[2])
        return Goal(command(self._log, self._index), (float(cos * dx + sin * dy), float(cos * dy - sin * dx)))


def _ahead(start: NDArray[np.float64], local: NDArray[np.float64]) -> NDArray[np.float64]:
    """A pose given in the frame of another."""
    matrix = pose_matrix(start) @ pose_matrix(local)
    return np.array([matrix[0, 3], matrix[1, 3], yaw_of(matrix[:3, :3])])
