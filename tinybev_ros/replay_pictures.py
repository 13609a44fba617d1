"""Pictures of a replay: the cameras of the input bag with the recorded outputs, stamp by stamp.

Drawn after the replay, from the two bags, so that drawing takes no time from the node.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import CameraInfo, CompressedImage
from tf2_msgs.msg import TFMessage
from tqdm import tqdm
from visualization_msgs.msg import Marker, MarkerArray

import tinybev_ros.msg as messages
from tinybev.draw.mosaic import draw_mosaic
from tinybev.draw.overlay import Overlay, untrained_notice
from tinybev.draw.picture_files import VideoWriter, write_png
from tinybev.errors import UserError
from tinybev.geometry import Array, invert, yaw_of
from tinybev.transform_buffer import TransformBuffer, TransformUnknownError
from tinybev.types import CAMERAS, CameraFrame, Detections, Frame
from tinybev_ros import conversions, topics
from tinybev_ros.bag import Bag, BagMessage, open_bag
from tinybev_ros.complaints import Complaints
from tinybev_ros.heard_transforms import take_transforms
from tinybev_ros.read_message import read_message

IMAGE_WINDOW_NS = 100_000_000
"""A frame's images are the newest of each camera within this time before the frame's stamp."""
TRUTH_WINDOW_NS = 60_000_000
"""Annotations are drawn on frames this close to their keyframe."""
LOG_DELAY_NS = 200_000_000
"""Recorders log a message up to this long after its header stamp."""
IMAGES_KEPT = 8
UNTRAINED_SHOWN = 6
"""Boxes of seeded weights that are drawn."""

OUTPUTS: dict[str, tuple[str, type[Any]]] = {
    "detections": ("detections", messages.DetectedObjects),
    "map_segments": ("segments", messages.MapSegments),
    "trajectories": ("trajectories", messages.PredictedTrajectories),
    "occupancy_forecast": ("occupancy", messages.OccupancyForecast),
    "plan": ("plan", messages.PlannedTrajectory),
}
"""The recorded outputs by the last part of their topic: the part of the overlay they are, and their type."""


@dataclass(frozen=True)
class Pictures:
    """What was drawn: the video, None where there was no frame, and the first, middle and last frame."""

    video: Path | None
    frames: tuple[Path, ...]


@dataclass(frozen=True)
class _Picture:
    """An image of a camera: its stamp, its optical frame, its encoded bytes."""

    stamp_ns: int
    optical_frame: str
    data: bytes


@dataclass
class _Input:
    """What of the input bag is known up to now; of what could not be used the complaints."""

    complaints: Complaints
    transforms: TransformBuffer = field(default_factory=TransformBuffer)
    images: dict[str, deque[_Picture]] = field(
        default_factory=lambda: {camera: deque(maxlen=IMAGES_KEPT) for camera in CAMERAS}
    )
    calibration: dict[str, tuple[Array, tuple[int, int]]] = field(default_factory=dict)
    annotations: deque[tuple[int, MarkerArray]] = field(default_factory=lambda: deque(maxlen=IMAGES_KEPT))


def draw_replay(input_bag: Path, output_bag: Path, node: str, out: Path) -> Pictures:
    """Draws every recorded frame into ``replay.mp4`` and the first, middle and last one as PNG.

    A message of the input that cannot be used is said once and left out, as the node does.

    Args:
        input_bag: what was played: images, calibration, transforms and, where it has them, annotations.
        output_bag: what the node called ``node`` answered.
        out: folder of the pictures.

    Raises:
        UserError: one of the bags cannot be read.
    """
    outputs = _read_outputs(output_bag, node)
    stamps = sorted(outputs)
    if not stamps:
        return Pictures(None, ())
    chosen = {"first": stamps[0], "middle": stamps[len(stamps) // 2], "last": stamps[-1]}
    rate_hz = _frame_rate(stamps)
    frames: list[Path] = []
    with open_bag(input_bag) as bag, VideoWriter(out / "replay.mp4", fps=rate_hz) as video:
        progress = tqdm(_frames(bag, stamps), total=len(stamps), desc="pictures", unit="frame", disable=None)
        for frame, truth in progress:
            seconds = (frame.stamp_ns - stamps[0]) / 1e9
            picture = draw_mosaic(frame, _overlay(outputs[frame.stamp_ns], truth, f"{input_bag.name}  {seconds:.2f} s"))
            video.write(picture)
            for name in (name for name, stamp_ns in chosen.items() if stamp_ns == frame.stamp_ns):
                write_png(out / f"frame_{name}.png", picture)
                frames.append(out / f"frame_{name}.png")
    return Pictures(out / "replay.mp4", tuple(frames))


def _read_outputs(output_bag: Path, node: str) -> dict[int, dict[str, Any]]:
    """The recorded messages by their header's stamp and the part of the overlay they are."""
    by_stamp: dict[int, dict[str, Any]] = {}
    with open_bag(output_bag) as bag:
        for message in bag.messages([f"/{node}/{name}" for name in OUTPUTS]):
            part, message_type = OUTPUTS[message.topic.removeprefix(f"/{node}/")]
            decoded = deserialize_message(message.data, message_type)
            by_stamp.setdefault(conversions.msg_to_stamp(decoded.header.stamp), {})[part] = decoded
    return by_stamp


def _frame_rate(stamps: Sequence[int]) -> float:
    """Frames per second of a video that runs in real time; 1 for a single frame."""
    return max(1.0, (len(stamps) - 1) / ((stamps[-1] - stamps[0]) / 1e9)) if len(stamps) > 1 else 1.0


def _frames(bag: Bag, stamps: Sequence[int]) -> Iterator[tuple[Frame, Detections | None]]:
    """The frame of every stamp, with its annotations where it is a keyframe, read in one pass over the bag."""
    waiting = deque(stamps)
    known = _Input(Complaints(_say))
    wanted = [topics.TF, topics.TF_STATIC, topics.ANNOTATIONS]
    for camera in CAMERAS:
        wanted += [topics.camera_image_topic(camera), topics.camera_info_topic(camera)]
    camera_of = {topics.camera_image_topic(camera): camera for camera in CAMERAS}
    info_of = {topics.camera_info_topic(camera): camera for camera in CAMERAS}
    for message in bag.messages(wanted):
        while waiting and message.stamp_ns > waiting[0] + LOG_DELAY_NS:
            yield _frame_at(known, waiting.popleft())
        _learn(known, message, camera_of.get(message.topic), info_of.get(message.topic))
    while waiting:
        yield _frame_at(known, waiting.popleft())


def _learn(known: _Input, message: BagMessage, image_of: str | None, info_of: str | None) -> None:
    """Adds one message of the input bag to what is known."""
    if image_of is not None:
        image = read_message(message, CompressedImage, known.complaints)
        if image is not None:
            stamp, frame = conversions.msg_to_stamp(image.header.stamp), conversions.msg_to_frame_id(image.header)
            known.images[image_of].append(_Picture(stamp, frame, bytes(image.data)))
    elif info_of is not None:
        info = read_message(message, CameraInfo, known.complaints)
        if info is not None:
            try:
                known.calibration[info_of] = conversions.msg_to_intrinsics(info)
            except UserError as error:
                known.complaints.raise_about(f"{info_of} calibration", str(error))
    elif message.topic == topics.ANNOTATIONS:
        markers = read_message(message, MarkerArray, known.complaints)
        if markers is not None and markers.markers:
            stamp = conversions.msg_to_stamp(markers.markers[0].header.stamp)
            known.annotations.append((stamp, markers))
    else:
        transforms = read_message(message, TFMessage, known.complaints)
        if transforms is not None:
            take_transforms(transforms, message.topic == topics.TF_STATIC, known.transforms, known.complaints)


def _say(sentence: str) -> None:
    tqdm.write(f"pictures: {sentence}", file=sys.stderr)


def _frame_at(known: _Input, stamp_ns: int) -> tuple[Frame, Detections | None]:
    """The frame with reference stamp ``stamp_ns``, and its annotations or None."""
    images: dict[str, CameraFrame] = {}
    for camera, (intrinsics, size) in known.calibration.items():
        recent = [item for item in known.images[camera] if stamp_ns - IMAGE_WINDOW_NS < item.stamp_ns <= stamp_ns]
        if not recent:
            continue
        picture = recent[-1]
        base_T_camera = _lookup(known, topics.BASE_FRAME, picture.optical_frame, stamp_ns)
        if base_T_camera is not None:
            map_T_base = _lookup(known, topics.MAP_FRAME, topics.BASE_FRAME, picture.stamp_ns)
            images[camera] = CameraFrame(
                camera, picture.stamp_ns, picture.data, intrinsics, size, base_T_camera, map_T_base
            )
    map_T_base = _lookup(known, topics.MAP_FRAME, topics.BASE_FRAME, stamp_ns)
    truth = None
    if map_T_base is not None and known.annotations:
        keyframe_ns, markers = min(known.annotations, key=lambda item: abs(item[0] - stamp_ns))
        if abs(keyframe_ns - stamp_ns) <= TRUTH_WINDOW_NS:
            truth = _annotations(markers.markers, map_T_base, known.complaints)
    return Frame(stamp_ns, images, map_T_base), truth


def _lookup(known: _Input, target: str, source: str, stamp_ns: int) -> Array | None:
    try:
        return known.transforms.lookup(target, source, stamp_ns)
    except TransformUnknownError:
        return None


def _annotations(markers: Sequence[Marker], map_T_base: Array, complaints: Complaints) -> Detections:
    """Annotation cubes of the map, as boxes in base_link; class and velocity are not in them."""
    base_T_map = invert(map_T_base)
    poses, kept = [], []
    for marker in markers:
        try:
            poses.append(base_T_map @ conversions.msg_to_pose(marker.pose))
        except ValueError as error:
            complaints.raise_about(f"annotation {marker.id}", f"{error}; it is left out.")
            continue
        kept.append(marker)
    count = len(kept)
    return Detections(
        centers=np.array([pose[:3, 3] for pose in poses]).reshape(count, 3),
        sizes=np.array([[marker.scale.x, marker.scale.y, marker.scale.z] for marker in kept]).reshape(count, 3),
        yaws=np.array([yaw_of(pose[:3, :3]) for pose in poses]),
        velocities=np.zeros((count, 2)),
        scores=np.ones(count),
        class_ids=np.zeros(count, dtype=np.int64),
        attribute_ids=np.full(count, -1, dtype=np.int64),
        track_ids=np.array([marker.id for marker in kept], dtype=np.int64),
    )


def _overlay(outputs: dict[str, Any], truth: Detections | None, title: str) -> Overlay:
    """What the node said of one frame; a topic whose message did not arrive is not drawn."""
    first = next(iter(outputs.values()))
    weights = conversions.msg_to_model_info(first.model)
    converters = {
        "detections": conversions.msg_to_detections,
        "segments": conversions.msg_to_map_segments,
        "trajectories": conversions.msg_to_trajectories,
        "occupancy": conversions.msg_to_forecast,
        "plan": conversions.msg_to_plan,
    }
    parts: dict[str, Any] = {part: converters[part](message) for part, message in outputs.items()}
    if weights.trained:
        return Overlay(**parts, truth=truth, title=title)
    # Of boxes that mean nothing a few are enough; they would hide the annotations, which prove the geometry.
    if "detections" in parts:
        parts["detections"] = parts["detections"].first(UNTRAINED_SHOWN)
        parts.pop("trajectories", None)
    return Overlay(**parts, truth=truth, title=title, notice=untrained_notice(weights))
