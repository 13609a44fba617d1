"""One scenario -> pictures, lidar sweeps and the rows of nuScenes' tables that describe them."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from itertools import chain, islice, pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tinybev.errors import UserError
from tinybev.geometry import Array, quaternion_from_rotation, quaternion_from_yaw
from tinybev.types import ATTRIBUTES
from tinybev_training.world.cameras import BASE_T_LIDAR, rig
from tinybev_training.world.catalogue import MODELS
from tinybev_training.world.keyframes import KEYFRAME_NS, Labels, keyframe_stamps, label, visibility_level
from tinybev_training.world.lidar import Sweep, take_sweep
from tinybev_training.world.picture_jobs import PictureJob, PixelCount, helpers, make_pictures
from tinybev_training.world.recording import Recording
from tinybev_training.world.scenario import Scenario
from tinybev_training.world.tables import LIDAR, Row, Rows, describe, token, wxyz
from tinybev_training.world.weather import Weather
from tinybev_training.world.world import World, build_world

VEHICLE = "world"


def write_scene(
    root: Path,
    scenario: Scenario,
    weather: Weather,
    recording: Recording,
    location: str,
    origin: tuple[float, float],
    progress: Callable[[], object] = lambda: None,
    processes: int = 1,
) -> Rows:
    """Renders a scenario into ``root`` and returns its rows.

    Args:
        root: folder of the dataset; pictures and sweeps go into ``samples`` and ``sweeps``.
        scenario: to render.
        weather: that it is rendered in.
        recording: rates and sizes.
        location: one of nuScenes' four places, whose name the scene's map borrows.
        origin: (x, y) in the map of the scenario's origin.
        progress: called after every keyframe.
        processes: that render pictures side by side.
    """
    with helpers(scenario, weather, processes) as pool:
        return _SceneWriter(root, scenario, weather, recording, location, origin).write(progress, pool)


class _SceneWriter:
    """Collects the rows of one scene."""

    def __init__(
        self,
        root: Path,
        scenario: Scenario,
        weather: Weather,
        recording: Recording,
        location: str,
        origin: tuple[float, float],
    ) -> None:
        self.root, self.scenario, self.recording, self.origin = root, scenario, recording, origin
        self.world: World = build_world(scenario, weather)
        self.cameras = rig(recording.height, recording.width)
        self.stamps = keyframe_stamps(scenario)
        if not self.stamps:
            raise UserError("expected a scene long enough for one keyframe; take a longer --duration.")
        self.logfile = f"{VEHICLE}-{scenario.name}"
        log_token = token(scenario.key, "log")
        samples = [self._sample_token(index) for index in range(len(self.stamps))]
        self.rows: Rows = {
            "log": [
                {
                    "token": log_token,
                    "logfile": self.logfile,
                    "vehicle": VEHICLE,
                    "date_captured": "2020-09-13",
                    "location": location,
                }
            ],
            "scene": [
                {
                    "token": token(scenario.key, "scene"),
                    "log_token": log_token,
                    "nbr_samples": len(samples),
                    "first_sample_token": samples[0],
                    "last_sample_token": samples[-1],
                    "name": scenario.name,
                    "description": describe(weather),
                }
            ],
            "sample": [
                {
                    "token": sample,
                    "timestamp": stamp // 1000,
                    "scene_token": token(scenario.key, "scene"),
                    "prev": samples[index - 1] if index else "",
                    "next": samples[index + 1] if index + 1 < len(samples) else "",
                }
                for index, (sample, stamp) in enumerate(zip(samples, self.stamps, strict=True))
            ],
            "calibrated_sensor": self._calibrations(),
            "ego_pose": [],
            "sample_data": [],
            "instance": [],
            "sample_annotation": [],
        }

    def write(self, progress: Callable[[], object], pool: ProcessPoolExecutor | None) -> Rows:
        """Renders everything; returns the rows."""
        boxes: list[tuple[int, Labels, NDArray[np.int64], NDArray[np.int64]]] = []
        count = len(self.scenario.agents)
        jobs = [self._pictures(index) for index in range(len(self.stamps))]
        made = make_pictures(self.world, chain.from_iterable(jobs), pool)
        for index, stamp in enumerate(self.stamps):
            seen = sum(islice(made, len(jobs[index])), PixelCount.none(count))
            sweep = take_sweep(self.world, stamp)
            self._lidar(index, stamp, sweep)
            labels = label(self.scenario, self.scenario.at(stamp))
            boxes.append((index, labels, sweep.count(count), visibility_level(seen.visible, seen.coverage)))
            progress()
        self._link_sample_data()
        self._annotations(boxes)
        return self.rows

    def _sample_token(self, index: int) -> str:
        return token(self.scenario.key, "sample", index)

    def _calibrations(self) -> list[Row]:
        mounts: list[tuple[str, Array, list[list[float]]]] = [
            (camera.name, camera.base_T_camera, camera.intrinsics.tolist()) for camera in self.cameras
        ]
        mounts.append((LIDAR, BASE_T_LIDAR, []))
        return [
            {
                "token": token(self.scenario.key, "calibration", name),
                "sensor_token": token("sensor", name),
                "translation": pose[:3, 3].tolist(),
                "rotation": wxyz(quaternion_from_rotation(pose[:3, :3])),
                "camera_intrinsic": intrinsics,
            }
            for name, pose, intrinsics in mounts
        ]

    def _pictures(self, index: int) -> list[PictureJob]:
        """The pictures from after keyframe ``index - 1`` up to keyframe ``index``; their rows are added."""
        period = self.recording.camera_period_ns
        first = 0 if index == 0 else period - KEYFRAME_NS
        jobs = []
        for camera in self.cameras:
            for shift in range(first, 1, period):
                stamp_ns, is_key_frame = self.stamps[index] + shift + camera.offset_ns, shift == 0
                path = self._file(camera.name, stamp_ns, "jpg", is_key_frame)
                self._sample_data(camera.name, index, stamp_ns, path, "jpg", is_key_frame, camera.height, camera.width)
                jobs.append(PictureJob(camera, stamp_ns, self.root / path, self.recording.quality, is_key_frame))
        return jobs

    def _lidar(self, index: int, stamp_ns: int, sweep: Sweep) -> None:
        path = self._file(LIDAR, stamp_ns, "pcd.bin", True)
        (self.root / path).write_bytes(sweep.points.tobytes())
        self._sample_data(LIDAR, index, stamp_ns, path, "pcd", True, 0, 0)

    def _file(self, channel: str, stamp_ns: int, suffix: str, is_key_frame: bool) -> Path:
        folder = Path("samples" if is_key_frame else "sweeps") / channel
        (self.root / folder).mkdir(parents=True, exist_ok=True)
        return folder / f"{self.logfile}__{channel}__{stamp_ns // 1000}.{suffix}"

    def _sample_data(
        self,
        channel: str,
        index: int,
        stamp_ns: int,
        path: Path,
        kind: str,
        is_key_frame: bool,
        height: int,
        width: int,
    ) -> None:
        ego = self.scenario.at(stamp_ns).ego
        key = self.scenario.key
        pose_token = token(key, "ego", channel, stamp_ns)
        self.rows["ego_pose"].append(
            {
                "token": pose_token,
                "timestamp": stamp_ns // 1000,
                "rotation": wxyz(quaternion_from_yaw(float(ego[2]))),
                "translation": [float(ego[0]) + self.origin[0], float(ego[1]) + self.origin[1], 0.0],
            }
        )
        self.rows["sample_data"].append(
            {
                "token": token(key, channel, stamp_ns),
                "sample_token": self._sample_token(index),
                "ego_pose_token": pose_token,
                "calibrated_sensor_token": token(key, "calibration", channel),
                "timestamp": stamp_ns // 1000,
                "fileformat": kind,
                "is_key_frame": is_key_frame,
                "height": height,
                "width": width,
                "filename": path.as_posix(),
                "prev": "",
                "next": "",
            }
        )

    def _link_sample_data(self) -> None:
        """Every sensor's readings point to the one before and the one after."""
        by_sensor: dict[str, list[Row]] = {}
        for row in self.rows["sample_data"]:
            by_sensor.setdefault(row["calibrated_sensor_token"], []).append(row)
        for readings in by_sensor.values():
            readings.sort(key=lambda row: row["timestamp"])
            for earlier, later in pairwise(readings):
                earlier["next"], later["prev"] = later["token"], earlier["token"]

    def _annotations(self, boxes: list[tuple[int, Labels, NDArray[np.int64], NDArray[np.int64]]]) -> None:
        """The boxes of every keyframe, chained by instance; an agent that leaves for a while goes on later."""
        chains: dict[int, list[Row]] = {}
        key = self.scenario.key
        for index, labels, lidar_points, visibility in boxes:
            for row, agent in enumerate(labels.agents.tolist()):
                center, size = labels.centers[row], labels.sizes[row]
                attribute = int(labels.attribute_ids[row])
                annotation = {
                    "token": token(key, "annotation", agent, index),
                    "sample_token": self._sample_token(index),
                    "instance_token": token(key, "instance", agent),
                    "visibility_token": str(int(visibility[agent])),
                    "attribute_tokens": [token("attribute", ATTRIBUTES[attribute])] if attribute >= 0 else [],
                    "translation": [
                        float(center[0]) + self.origin[0],
                        float(center[1]) + self.origin[1],
                        float(center[2]),
                    ],
                    "size": [float(size[1]), float(size[0]), float(size[2])],
                    "rotation": wxyz(quaternion_from_yaw(float(labels.yaws[row]))),
                    "prev": "",
                    "next": "",
                    "num_lidar_pts": int(lidar_points[agent]),
                    "num_radar_pts": 0,
                }
                chains.setdefault(agent, []).append(annotation)
        for agent, boxes_of_agent in sorted(chains.items()):
            for earlier, later in pairwise(boxes_of_agent):
                earlier["next"], later["prev"] = later["token"], earlier["token"]
            self.rows["instance"].append(
                {
                    "token": token(key, "instance", agent),
                    "category_token": token("category", MODELS[self.scenario.agents.models[agent]].category),
                    "nbr_annotations": len(boxes_of_agent),
                    "first_annotation_token": boxes_of_agent[0]["token"],
                    "last_annotation_token": boxes_of_agent[-1]["token"],
                }
            )
            self.rows["sample_annotation"] += boxes_of_agent
