"""The recording that the node is measured with: one that is named, or a made one of nuScenes' sizes at 12 Hz."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from tinybev.bench.made_frame import made_frame
from tinybev.bench.playback import set_exposures
from tinybev.errors import UserError
from tinybev.phases import NUSCENES_RIG
from tinybev.types import CAMERAS
from tinybev_ros import nuscenes_messages as messages
from tinybev_ros import topics
from tinybev_ros.bag import open_bag
from tinybev_ros.bag_writer import BagFormat, BagWriter, writing_bag

RATE_HZ = 12
DURATION_S = 20.0
SPEED_MPS = 8.0
POSE_RATE_HZ = 50
DIFFERENT_FRAMES = 4
"""So many frames take turns; a decoder does the same work on a picture that it has seen."""
START_NS = 1_700_000_000_000_000_000
MADE = Path("out/bench")
_STAMP_OF_HEADER = slice(4, 12)
"""Where a serialized message that begins with a header has its stamp: after the four bytes that tell the encoding."""


@dataclass(frozen=True)
class Recording:
    """What is played.

    Attributes:
        bag: the rosbag2.
        name: for the rows.
        duration_s: its length.
        exposures_ns: see ``playback.set_exposures``.
    """

    bag: Path
    name: str
    duration_s: float
    exposures_ns: tuple[int, ...]


def recording_for(bag: Path | None) -> Recording:
    """The named bag, else the made one, which is written where it is not there yet.

    Raises:
        UserError: the bag cannot be read, or has no camera images.
    """
    if bag is None:
        bag = MADE / f"made_{RATE_HZ}hz_{DURATION_S:g}s"
        if not bag.exists():
            write_made_recording(bag, DURATION_S)
    return read_recording(bag)


def read_recording(path: Path) -> Recording:
    """What is in a bag.

    Raises:
        UserError: it cannot be read, or has no camera images.
    """
    camera_of = {topics.camera_image_topic(camera): camera for camera in CAMERAS}
    stamps_ns: dict[str, list[int]] = {camera: [] for camera in CAMERAS}
    with open_bag(path) as bag:
        there = [topic for topic in camera_of if topic in bag.topics]
        for message in bag.messages(there):
            stamps_ns[camera_of[message.topic]].append(_header_stamp_ns(message.data))
        duration_s = 1e-9 * (bag.end_ns - bag.start_ns)
    exposures = set_exposures(stamps_ns)
    if not exposures:
        raise UserError(f"{path}: expected images on {', '.join(camera_of)}, it has none; choose another recording.")
    return Recording(path, path.name, duration_s, tuple(exposures))


def write_made_recording(path: Path, duration_s: float) -> None:
    """A bag of six cameras with 1600x900 JPEG files, calibrations, mountings, poses and odometry, straight ahead.

    The cameras fire one after the other as nuScenes' do, ``RATE_HZ`` times a second.

    Raises:
        UserError: the folder is there already.
    """
    frames = [made_frame(seed) for seed in range(DIFFERENT_FRAMES)]
    base_T_sensors = {camera: image.base_T_camera for camera, image in frames[0].images.items()}
    schedule = sorted(
        (START_NS + round(n * 1e9 / RATE_HZ) + NUSCENES_RIG.phases_ns[camera], n, camera)
        for n in range(round(duration_s * RATE_HZ))
        for camera in CAMERAS
    )
    with writing_bag(path, BagFormat()) as bag:
        bag.write(topics.TF_STATIC, START_NS, messages.static_transforms(START_NS, base_T_sensors))
        pose_ns = START_NS
        for stamp_ns, n, camera in tqdm(schedule, desc="making a recording", unit="image", disable=None):
            while pose_ns <= stamp_ns:
                _write_pose(bag, pose_ns)
                pose_ns += round(1e9 / POSE_RATE_HZ)
            _write_pose(bag, stamp_ns)
            image = frames[n % DIFFERENT_FRAMES].images[camera]
            assert isinstance(image.image, bytes)
            info = messages.camera_info(stamp_ns, camera, image.intrinsics, image.image_size)
            bag.write(topics.camera_info_topic(camera), stamp_ns, info)
            picture = messages.compressed_image(stamp_ns, camera, image.image)
            bag.write(topics.camera_image_topic(camera), stamp_ns, picture)


def _write_pose(bag: BagWriter, stamp_ns: int) -> None:
    map_T_base = np.eye(4)
    map_T_base[0, 3] = SPEED_MPS * 1e-9 * (stamp_ns - START_NS)
    velocity = np.array([SPEED_MPS, 0.0, 0.0])
    bag.write(topics.TF, stamp_ns, messages.ego_transform(stamp_ns, map_T_base))
    bag.write(topics.ODOMETRY, stamp_ns, messages.odometry(stamp_ns, map_T_base, velocity, np.zeros(3)))


def _header_stamp_ns(data: bytes) -> int:
    seconds, nanoseconds = np.frombuffer(bytes(data[_STAMP_OF_HEADER]), dtype="<i4")
    return int(seconds) * 10**9 + int(nanoseconds)
