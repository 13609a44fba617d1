"""A nuScenes-format dataset as samples: keyframe by keyframe, from the tables to targets on grids."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from tinybev.errors import UserError
from tinybev.geometry import Array, invert, transform_points
from tinybev.types import CameraFrame, Frame, Goal
from tinybev_training.data.agents import agent_targets, footprints
from tinybev_training.data.bev_augmentation import AS_RECORDED, BevAugmentation, augment_bev, augment_past
from tinybev_training.data.cache import ImageCache
from tinybev_training.data.city_map import NO_MAP, CityMap, open_city_map
from tinybev_training.data.ego import NANOSECONDS, command, ego_status, goal_point, plan_targets
from tinybev_training.data.lidar import NO_POINTS, read_lidar
from tinybev_training.data.sample import STEP_S, PastFrame, Sample, SweepPose
from tinybev_training.data.scene_log import CameraRecord, Keyframe, SceneLog
from tinybev_training.data.surroundings import MapGeometry, Surroundings
from tinybev_training.data.tables import open_tables, read_scene, scenes_of_split
from tinybev_training.data.targets import UNIAD_GRIDS, TargetGrids, draw_targets


@dataclass(frozen=True)
class Absences:
    """What the tables name and is not at hand.

    Attributes:
        keyframes: without a single image; left out unless asked for.
        images: absent files of the keyframes that are kept; the camera is missing there.
        sweeps: absent lidar files of the keyframes that are kept.
        scenes: of the split or list, that the tables do not have.
        maps: places without a map expansion.
    """

    keyframes: int = 0
    images: int = 0
    sweeps: int = 0
    scenes: int = 0
    maps: tuple[str, ...] = ()

    def __str__(self) -> str:
        """One sentence, empty where nothing is absent."""
        counted = (
            (self.scenes, "scenes of the split"),
            (self.keyframes, "keyframes without any image"),
            (self.images, "further images"),
            (self.sweeps, "lidar sweeps"),
        )
        parts = [f"{count} {name}" for count, name in counted if count]
        parts += [f"the map of {place}" for place in self.maps]
        return f"absent and skipped: {', '.join(parts)}." if parts else ""


@dataclass(frozen=True)
class KeyframeIndex:
    """Where a keyframe is: its scene and its place in it, and which of its files exist."""

    scene: SceneLog
    number: int
    cameras: tuple[CameraRecord, ...]
    has_lidar: bool

    @property
    def keyframe(self) -> Keyframe:
        """The keyframe itself."""
        return self.scene.keyframes[self.number]


@dataclass(frozen=True)
class NuScenesDataset:
    """Samples of a nuScenes-format dataset; make one with :func:`open_dataset`.

    Attributes:
        keyframes: what can be read, scene by scene in time order.
        maps: by place.
        grids: of the rasterised targets.
        absences: what was skipped.
        with_lidar: whether lidar points are read.
        cache: of decoded images, or None to hand out the files' bytes.
        with_goals: whether frames know a goal point, which is on the way that the human then took; the command they do.
    """

    keyframes: tuple[KeyframeIndex, ...] = field(repr=False)
    maps: dict[str, CityMap] = field(repr=False)
    grids: TargetGrids
    absences: Absences
    with_lidar: bool = True
    cache: ImageCache | None = None
    with_goals: bool = True

    def __len__(self) -> int:
        return len(self.keyframes)

    def __getitem__(self, index: int) -> Sample:
        """Sample ``index``, not augmented."""
        return self.sample(index)

    def sample(self, index: int, augmentation: BevAugmentation = AS_RECORDED) -> Sample:
        """Sample ``index`` as ``augmentation`` shows it."""
        return draw_targets(augment_bev(self.surroundings(index), augmentation), self.grids)

    def past(self, index: int, count: int, augmentation: BevAugmentation = AS_RECORDED) -> tuple[PastFrame | None, ...]:
        """The ``count`` keyframes before sample ``index``, newest first, as ``augmentation`` shows them.

        As on the vehicle (``tinybev.runtime.bev_memory``) the m-th is the one nearest to m steps of ``STEP_S`` ago, and
        None where none is within half a step of that: at the start of a scene, or where images are absent.
        """
        now = self.keyframes[index]
        now_ns, step_ns = _reference(now)[0], round(STEP_S * NANOSECONDS)
        earlier = [
            (_reference(where)[0], where)
            for where in takewhile(
                lambda where: where.scene is now.scene, self.keyframes[index - 1 :: -1] if index else ()
            )
        ]
        found: list[PastFrame | None] = []
        for steps in range(1, count + 1):
            wanted_ns = now_ns - steps * step_ns
            nearest = min(earlier, key=lambda pair: abs(pair[0] - wanted_ns), default=None)
            if nearest is None or abs(nearest[0] - wanted_ns) > step_ns // 2:
                found.append(None)
            else:
                found.append(augment_past(self._past_frame(nearest[1]), augmentation))
        return tuple(found)

    def surroundings(self, index: int) -> Surroundings:
        """What is true around the ego at keyframe ``index``.

        The reference stamp is that of the newest image at hand (of the newest in the tables, or the lidar's, where
        there is none); everything is expressed in base_link at that stamp, by the ego pose of that very record.
        """
        where = self.keyframes[index]
        scene, keyframe = where.scene, where.keyframe
        stamp_ns, map_T_base = _reference(where)
        base_T_map = invert(map_T_base)
        ego = ego_status(scene.ego_track, map_T_base, stamp_ns)
        frame = Frame(
            stamp_ns=stamp_ns,
            images={record.camera: self._image(record) for record in where.cameras},
            map_T_base=map_T_base,
            goal=self._goal(where, stamp_ns, map_T_base),
            ego=ego,
        )
        return Surroundings(
            scene=scene.name,
            token=keyframe.token,
            frame=frame,
            ego=ego,
            agents=agent_targets(scene.keyframes, where.number, base_T_map),
            footprints=footprints(scene.keyframes, where.number, base_T_map),
            map=self._map(scene.location, map_T_base),
            plan=plan_targets(scene, where.number, base_T_map),
            lidar_points=self._points(where, map_T_base),
            sweep=SweepPose(base_T_map @ keyframe.lidar.map_T_base, keyframe.lidar.base_T_lidar),
        )

    def _goal(self, where: KeyframeIndex, stamp_ns: int, map_T_base: Array) -> Goal:
        told = command(where.scene, where.number)
        point = goal_point(where.scene.ego_track, map_T_base, stamp_ns) if self.with_goals else None
        if point is None:
            return Goal(told)
        x, y, _ = transform_points(invert(map_T_base), point[None])[0]
        return Goal(told, (float(x), float(y)))

    def _past_frame(self, where: KeyframeIndex) -> PastFrame:
        stamp_ns, map_T_base = _reference(where)
        images = {record.camera: self._image(record) for record in where.cameras}
        return PastFrame(Frame(stamp_ns, images, map_T_base), self._points(where, map_T_base))

    def _points(self, where: KeyframeIndex, map_T_base: Array) -> NDArray[np.float32]:
        return read_lidar(where.keyframe.lidar, map_T_base) if self.with_lidar and where.has_lidar else NO_POINTS

    def _image(self, record: CameraRecord) -> CameraFrame:
        frame = CameraFrame(
            camera=record.camera,
            stamp_ns=record.stamp_ns,
            image=b"" if self.cache is not None else record.path.read_bytes(),
            intrinsics=record.intrinsics,
            image_size=record.image_size,
            base_T_camera=record.base_T_camera,
            map_T_base=record.map_T_base,
        )
        return frame if self.cache is None else self.cache.frame(frame, record.path)

    def _map(self, location: str, map_T_base: Array) -> MapGeometry:
        city = self.maps.get(location)
        return NO_MAP if city is None else city.around(map_T_base, self.grids.map_radius_m)


def open_dataset(
    dataroot: Path,
    version: str,
    split: str | None = None,
    scenes: Sequence[str] | None = None,
    *,
    grids: TargetGrids = UNIAD_GRIDS,
    keep_imageless: bool = False,
    with_lidar: bool = True,
    cache: ImageCache | None = None,
    with_goals: bool = True,
    progress: bool = False,
) -> NuScenesDataset:
    """Reads the tables and looks which files are there.

    Args:
        dataroot: folder of the dataset.
        version: of its tables.
        split: one of the devkit's splits or of ``splits.json``; None for every scene.
        scenes: names, in place of a split.
        grids: of the rasterised targets.
        keep_imageless: whether keyframes without a single image on disk are kept.
        with_lidar: whether lidar points are read.
        cache: of decoded images.
        with_goals: whether frames know a goal point.
        progress: whether a bar is shown.

    Raises:
        UserError: the dataset, the split or a named scene is not there, or nothing is left to read.
    """
    nusc = open_tables(dataroot, version)
    present = [scene["name"] for scene in nusc.scene]
    wanted = list(scenes) if scenes else list(scenes_of_split(nusc, split)) if split else present
    names = wanted if scenes else [name for name in wanted if name in set(present)]
    with tqdm(names, "reading tables", unit="scene", disable=not progress) as bar:
        logs = [read_scene(nusc, name) for name in bar]
    maps = {location: open_city_map(dataroot, location) for location in dict.fromkeys(log.location for log in logs)}
    absent = Counter[str](scenes=len(wanted) - len(names))
    with tqdm(logs, "looking for files", unit="scene", disable=not progress) as bar:
        keyframes = tuple(_index(bar, keep_imageless, absent))
    absences = Absences(**absent, maps=tuple(location for location, city in maps.items() if city is None))
    if not keyframes:
        what = f"split {split!r}" if split else "the scenes asked for"
        raise UserError(
            f"expected samples of {what} in {dataroot}, and nothing is left to read ({absences or 'no keyframes'}); "
            "complete the download, or choose other scenes."
        )
    return NuScenesDataset(
        keyframes,
        {location: city for location, city in maps.items() if city is not None},
        grids,
        absences,
        with_lidar,
        cache,
        with_goals,
    )


def _index(logs: Iterable[SceneLog], keep_imageless: bool, absent: Counter[str]) -> Iterator[KeyframeIndex]:
    """The keyframes that can be read; counts in ``absent`` what is not there."""
    for log in logs:
        for number, keyframe in enumerate(log.keyframes):
            cameras = tuple(record for record in keyframe.cameras if record.path.is_file())
            if not cameras and not keep_imageless:
                absent["keyframes"] += 1
                continue
            has_lidar = keyframe.lidar.path.is_file()
            absent["images"] += len(keyframe.cameras) - len(cameras)
            absent["sweeps"] += not has_lidar
            yield KeyframeIndex(log, number, cameras, has_lidar)


def _reference(where: KeyframeIndex) -> tuple[int, Array]:
    """The reference stamp and the ego pose ``map_T_base`` at it."""
    lidar = where.keyframe.lidar
    cameras = where.cameras or where.keyframe.cameras
    if not cameras:
        return lidar.stamp_ns, lidar.map_T_base
    newest = max(cameras, key=lambda camera: camera.stamp_ns)
    return newest.stamp_ns, newest.map_T_base
