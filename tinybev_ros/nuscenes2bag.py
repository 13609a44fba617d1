"""nuScenes-format dataset -> rosbag2: one bag per scene, with the topics and frames of ``tinybev_ros.topics``.

Every header stamp is the sensor's own, and so is the log time of its message; messages are written in time order.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter, defaultdict
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from nuscenes.nuscenes import NuScenes
from tqdm import tqdm

from tinybev.cli import run_command
from tinybev.errors import UserError
from tinybev.geometry import Array, quaternion_from_wxyz, transform_from
from tinybev.types import CAMERAS
from tinybev_ros import nuscenes_messages as messages
from tinybev_ros import topics
from tinybev_ros.bag_writer import STORAGES, BagFormat, check_output, writing_bag
from tinybev_ros.ego_twist import twists_from_poses
from tinybev_ros.nuscenes_dataset import (
    Record,
    SensorMounting,
    SensorReading,
    find_scene,
    open_dataset,
    scene_mountings,
    scene_readings,
    scene_samples,
)
from tinybev_ros.nuscenes_map import MapUnavailableError, drivable_area_around

LIDAR_CHANNEL = "LIDAR_TOP"
COLOR_OF_UNKNOWN_CATEGORY = (128, 128, 128)


@dataclass
class ConversionReport:
    """What became of a scene.

    Attributes:
        scene: its name.
        bag: the folder of the bag.
        duration_s: from the first to the last stamp.
        messages: number of messages by topic.
        named_files: number of files that the tables name, by channel (cameras and LIDAR_TOP).
        absent_files: those of them that are not on disk, or empty.
        damaged_files: those of them that are cut in the middle of a lidar point.
        no_drivable_area: why the bag has no drivable area; None where it has one.
    """

    scene: str
    bag: Path
    duration_s: float = 0.0
    messages: Counter[str] = field(default_factory=Counter)
    named_files: Counter[str] = field(default_factory=Counter)
    absent_files: Counter[str] = field(default_factory=Counter)
    damaged_files: Counter[str] = field(default_factory=Counter)
    no_drivable_area: str | None = None

    def lines(self) -> Iterator[str]:
        """The report as text: what was written, then what is missing, one line per channel."""
        yield (
            f"{self.scene}: {self.bag} holds {self.messages.total()} messages on {len(self.messages)} topics, "
            f"{self.duration_s:.1f} s"
        )
        for channel in sorted(self.named_files):
            named = self.named_files[channel]
            for what, count in (
                ("absent from the disk", self.absent_files[channel]),
                ("damaged", self.damaged_files[channel]),
            ):
                if count:
                    yield f"{self.scene}: {channel}: {count} of the {named} files that the tables name are {what}"
        if self.named_files and not any(self.messages[topics.camera_image_topic(camera)] for camera in CAMERAS):
            yield f"{self.scene}: none of its pictures is on the disk, so the bag has no camera topics"
        if self.no_drivable_area is not None:
            yield f"{self.scene}: no {topics.DRIVABLE_AREA}: {self.no_drivable_area}"


def convert_scene(
    nusc: NuScenes,
    scene_name: str,
    out: Path,
    bag_format: BagFormat | None = None,
    *,
    overwrite: bool = False,
) -> ConversionReport:
    """Writes one scene as the bag ``out`` (a folder that is there only when it is whole) and reports on it.

    Files that the tables name and the disk lacks are left out and counted.

    Raises:
        UserError: there is no such scene, it has no sensor data at all, or ``out`` may not be replaced.
    """
    scene = find_scene(nusc, scene_name)
    readings = scene_readings(nusc, scene)
    if not readings:
        raise UserError(f"{scene_name} has no sensor data in its tables, so there is nothing to write.")
    report = ConversionReport(scene_name, out)
    with writing_bag(out, bag_format or BagFormat(), overwrite=overwrite) as bag:
        report.messages = bag.counts
        last_ns = first_ns = 0
        for message in tqdm(scene_messages(nusc, scene, readings, report), scene_name, unit="message", disable=None):
            bag.write(message.topic, message.stamp_ns, message.content)
            first_ns, last_ns = first_ns or message.stamp_ns, message.stamp_ns
    report.duration_s = (last_ns - first_ns) / 1e9
    return report


@dataclass(frozen=True)
class SceneMessage:
    """One message of a scene with its log time; ``content`` is of a class of ``rosbags``' type store."""

    topic: str
    stamp_ns: int
    content: Any


def scene_messages(
    nusc: NuScenes,
    scene: Record,
    readings: Sequence[SensorReading],
    report: ConversionReport,
    wanted: Container[str] | None = None,
) -> Iterator[SceneMessage]:
    """All messages of a scene in time order, what is said once first.

    Args:
        nusc: the tables.
        scene: its row.
        readings: its own, as ``scene_readings`` gives them; at least one.
        report: is told what is absent or damaged.
        wanted: topics; for others no file is read. All where it is None.
    """
    mountings = scene_mountings(nusc, scene)
    readings_at: dict[int, list[SensorReading]] = defaultdict(list)
    for reading in readings:
        readings_at[reading.stamp_ns].append(reading)
    keyframe_at = {sample["timestamp"] * 1000: sample for sample in scene_samples(nusc, scene)}
    pose_stamps = np.array(sorted(readings_at), dtype=np.int64)
    # Sensors that fire at one instant share one ego pose: a transform is said once per stamp.
    poses = np.stack([readings_at[stamp][0].map_T_base for stamp in pose_stamps])
    linear, angular = twists_from_poses(pose_stamps, poses)
    pose_index = {int(stamp): index for index, stamp in enumerate(pose_stamps)}
    instance_ids: dict[str, int] = {}

    def is_wanted(topic: str) -> bool:
        return wanted is None or topic in wanted

    stamps = sorted(readings_at.keys() | keyframe_at.keys())
    base_T_sensors = {channel: mounting.base_T_sensor for channel, mounting in mountings.items()}
    yield SceneMessage(topics.TF_STATIC, stamps[0], messages.static_transforms(stamps[0], base_T_sensors))
    if is_wanted(topics.DRIVABLE_AREA):
        yield from _drivable_area(nusc, scene, stamps[0], poses, report)
    for stamp in stamps:
        if (index := pose_index.get(stamp)) is not None:
            yield SceneMessage(topics.TF, stamp, messages.ego_transform(stamp, poses[index]))
            odometry = messages.odometry(stamp, poses[index], linear[index], angular[index])
            yield SceneMessage(topics.ODOMETRY, stamp, odometry)
        for reading in readings_at.get(stamp, ()):
            if is_wanted(topics.LIDAR) or reading.modality == "camera":
                yield from _reading_messages(reading, mountings[reading.channel], report)
        if is_wanted(topics.ANNOTATIONS) and (sample := keyframe_at.get(stamp)) is not None:
            boxes = _annotations(nusc, sample, instance_ids)
            yield SceneMessage(topics.ANNOTATIONS, stamp, messages.annotation_markers(stamp, boxes))


def _drivable_area(
    nusc: NuScenes, scene: Record, stamp_ns: int, poses: Array, report: ConversionReport
) -> Iterator[SceneMessage]:
    try:
        location = nusc.get("log", scene["log_token"])["location"]
        area = drivable_area_around(Path(nusc.dataroot), location, poses[:, :2, 3])
    except MapUnavailableError as error:
        report.no_drivable_area = str(error)
    else:
        yield SceneMessage(topics.DRIVABLE_AREA, stamp_ns, messages.drivable_area_grid(stamp_ns, area))


def _reading_messages(
    reading: SensorReading, mounting: SensorMounting, report: ConversionReport
) -> Iterator[SceneMessage]:
    """A camera's calibration and its picture, or the points of LIDAR_TOP; other sensors are left out."""
    channel, stamp = reading.channel, reading.stamp_ns
    if reading.modality != "camera" and channel != LIDAR_CHANNEL:
        return
    report.named_files[channel] += 1
    try:
        content = reading.path.read_bytes()
    except OSError:
        content = b""
    if not content:
        report.absent_files[channel] += 1
    elif mounting.intrinsics is not None:
        info = messages.camera_info(stamp, channel, mounting.intrinsics, reading.image_size)
        yield SceneMessage(topics.camera_info_topic(channel), stamp, info)
        image = messages.compressed_image(stamp, channel, content)
        yield SceneMessage(topics.camera_image_topic(channel), stamp, image)
    elif len(content) % messages.LIDAR_POINT_BYTES:
        report.damaged_files[channel] += 1
    else:
        yield SceneMessage(topics.LIDAR, stamp, messages.point_cloud(stamp, channel, content))


def _annotations(nusc: NuScenes, sample: Record, instance_ids: dict[str, int]) -> Iterator[messages.Annotation]:
    """The boxes of a keyframe; objects that are new get the next id in ``instance_ids``."""
    for token in sample["anns"]:
        record = nusc.get("sample_annotation", token)
        category = record["category_name"]
        red, green, blue = nusc.colormap.get(category, COLOR_OF_UNKNOWN_CATEGORY)
        width, length, height = record["size"]
        yield messages.Annotation(
            instance_id=instance_ids.setdefault(record["instance_token"], len(instance_ids) + 1),
            instance_token=record["instance_token"],
            category=category,
            color=(red / 255, green / 255, blue / 255),
            map_T_box=transform_from(quaternion_from_wxyz(record["rotation"]), record["translation"]),
            size=(length, width, height),
        )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of ``tinybev bag``."""
    parser.add_argument("--dataroot", type=Path, required=True, help="folder of the nuScenes-format dataset")
    parser.add_argument("--version", default="v1.0-mini", help="folder of its tables")
    parser.add_argument("--scene", nargs="+", metavar="NAME", help="scenes to convert; all where left out")
    parser.add_argument("--out", type=Path, default=Path("out/bags"), help="folder that gets one bag per scene")
    parser.add_argument("--storage", choices=list(STORAGES), default="mcap", help="storage of the bags")
    parser.add_argument("--bag-version", type=int, choices=(9, 8), default=9, help="rosbag2 version; 8 for Humble")
    parser.add_argument("--overwrite", action="store_true", help="replace bags that exist")


def run(args: argparse.Namespace) -> int:
    """Converts the scenes one after another and prints a report on each."""
    nusc = open_dataset(args.dataroot, args.version)
    names = args.scene or [scene["name"] for scene in nusc.scene]
    for name in names:  # a wrong name or an output in the way is better said before the first scene than after it
        find_scene(nusc, name)
        check_output(args.out / name, overwrite=args.overwrite)
    bag_format = BagFormat(args.storage, args.bag_version)
    for name in names:
        report = convert_scene(nusc, name, args.out / name, bag_format, overwrite=args.overwrite)
        print("\n".join(report.lines()))
    return 0


def main() -> int:
    """``ros2 run tinybev_ros nuscenes2bag``."""
    return run_command(__name__, sys.argv[1:], "nuscenes2bag", "nuScenes-format dataset -> rosbag2")


if __name__ == "__main__":
    sys.exit(main())
