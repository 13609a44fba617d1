"""What ``tinybev run`` reads: a bag, or a scene of a nuScenes-format dataset as ``tinybev bag`` would write it.

A scene's messages are made as they are read, so no bag is written in between, and both give the same results. The
devkit, and what imports it, is imported where a scene is read: bags are read without it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from rosbags.typesys import Stores, get_typestore

from tinybev.errors import UserError
from tinybev.optional_modules import absence_as_user_error
from tinybev_ros.bag import BagMessage, open_bag
from tinybev_ros.bag_frames import MessageSource
from tinybev_ros.topics import camera_image_topic

if TYPE_CHECKING:
    from nuscenes.nuscenes import NuScenes


class Recording(Protocol):
    """One unit of work; what it is made of can be handed to another process."""

    @property
    def name(self) -> str:
        """Of the folder of its results."""
        ...

    @property
    def identity(self) -> dict[str, str]:
        """What it is, as the summary notes it."""
        ...

    def open(self) -> AbstractContextManager[MessageSource]:
        """Its messages.

        Raises:
            UserError: it is not there, damaged, or empty.
        """
        ...


@dataclass(frozen=True)
class BagRecording:
    """A rosbag2: its folder, or an ``.mcap`` or ``.db3`` file."""

    path: Path

    def __str__(self) -> str:
        return str(self.path)

    @property
    def name(self) -> str:
        """The bag's, without a suffix."""
        resolved = self.path.resolve()
        return resolved.stem if self.path.is_file() else resolved.name

    @property
    def identity(self) -> dict[str, str]:
        """Where it lies."""
        return {"bag": str(self.path.resolve())}

    def open(self) -> AbstractContextManager[MessageSource]:
        """The bag; see :func:`tinybev_ros.bag.open_bag`."""
        return open_bag(self.path)


@dataclass(frozen=True)
class SceneRecording:
    """A scene of a dataset, by its name."""

    dataroot: Path
    version: str
    name: str

    def __str__(self) -> str:
        return f"{self.name} of {self.version}"

    @property
    def identity(self) -> dict[str, str]:
        """The dataset and the scene."""
        return {"dataroot": str(self.dataroot.resolve()), "version": self.version, "scene": self.name}

    @contextmanager
    def open(self) -> Iterator[MessageSource]:
        """The scene's messages; the tables are loaded once for each process."""
        yield SceneMessages(_tables(self.dataroot, self.version), self.name)


class SceneMessages:
    """The messages of a scene as a bag would give them: serialized, in order of log time.

    Attributes:
        path: the folder of the dataset.
        topics: of the cameras that have a picture on the disk.
        end_ns: log time of the last message.
    """

    def __init__(self, nusc: NuScenes, name: str) -> None:
        from tinybev_ros.nuscenes_dataset import find_scene, scene_readings

        self._nusc, self._scene = nusc, find_scene(nusc, name)
        self._readings = scene_readings(nusc, self._scene)
        if not self._readings:
            raise UserError(f"{name} has no sensor data in its tables, so there is nothing to run.")
        self.path = Path(nusc.dataroot)
        self.end_ns = self._readings[-1].stamp_ns
        cameras = {each.channel for each in self._readings if each.modality == "camera" and each.path.is_file()}
        self.topics = frozenset(camera_image_topic(camera) for camera in cameras)

    def messages(self, topics: Sequence[str]) -> Iterator[BagMessage]:
        """Those of ``topics``."""
        from tinybev_ros.nuscenes2bag import ConversionReport, scene_messages

        typestore = get_typestore(Stores.ROS2_HUMBLE)
        report = ConversionReport(self._scene["name"], self.path)
        for message in scene_messages(self._nusc, self._scene, self._readings, report, topics):
            if message.topic in topics:
                data = typestore.serialize_cdr(message.content, message.content.__msgtype__)
                yield BagMessage(message.topic, message.stamp_ns, bytes(data))


def scenes_of(
    dataroot: Path, version: str, split: str | None = None, names: Collection[str] = ()
) -> list[SceneRecording]:
    """The scenes of a dataset that are asked for, in the tables' order: of a split, by their names, or all.

    Raises:
        UserError: the dataset, the split or a scene is not there, the tables have no scene of the split, or the devkit
            is not installed.
    """
    with absence_as_user_error():
        from tinybev_ros.nuscenes_dataset import find_scene
    nusc = _tables(dataroot, version)
    for name in names:
        find_scene(nusc, name)
    wanted = set(names) if names else None if split is None else set(_split_scenes(nusc, split))
    found = [scene["name"] for scene in nusc.scene if wanted is None or scene["name"] in wanted]
    if not found:
        raise UserError(f"expected scenes of split {split!r} in {dataroot / version}, got none; choose another split.")
    return [SceneRecording(dataroot, version, name) for name in found]


def _split_scenes(nusc: NuScenes, split: str) -> list[str]:
    from nuscenes.utils.splits import get_scenes_of_split

    try:
        return list(get_scenes_of_split(split, nusc))
    except (ValueError, AssertionError, OSError) as error:
        raise UserError(
            f"expected a split of the devkit (val, mini_val ...) or of {Path(nusc.dataroot) / nusc.version}/"
            f"splits.json, got {split!r}; choose another."
        ) from error


@lru_cache(maxsize=1)
def _tables(dataroot: Path, version: str) -> NuScenes:
    from tinybev_ros.nuscenes_dataset import open_dataset

    return open_dataset(dataroot, version)
