"""What flows through the system: typed, immutable, free of ROS and of torch.

Unless said otherwise positions are metres in ``base_link`` at the frame's reference stamp, angles radians, stamps
integer nanoseconds. N counts objects, K modes, T time steps, X and Y grid rows and columns (see ``geometry``).
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from tinybev.geometry import BevGrid

Floats = NDArray[np.floating]
Ints = NDArray[np.integer]

CAMERAS: tuple[str, ...] = (
    "CAM_FRONT",
    "CAM_FRONT_RIGHT",
    "CAM_BACK_RIGHT",
    "CAM_BACK",
    "CAM_BACK_LEFT",
    "CAM_FRONT_LEFT",
)
"""nuScenes' six cameras, clockwise from the front: the one order of every camera axis in this project."""

DETECTION_CLASSES: tuple[str, ...] = (
    "car",
    "truck",
    "construction_vehicle",
    "bus",
    "trailer",
    "barrier",
    "motorcycle",
    "bicycle",
    "pedestrian",
    "traffic_cone",
)
"""The ten classes of nuScenes' detection task; the index is the class id everywhere."""

ATTRIBUTES: tuple[str, ...] = (
    "cycle.with_rider",
    "cycle.without_rider",
    "pedestrian.moving",
    "pedestrian.standing",
    "pedestrian.sitting_lying_down",
    "vehicle.moving",
    "vehicle.parked",
    "vehicle.stopped",
)
"""nuScenes' attributes; the index is the attribute id everywhere, -1 is none (barriers and cones have none)."""


class MapClass(IntEnum):
    """The map classes: UniAD's three line classes and the drivable area."""

    DIVIDER = 0
    CROSSING = 1
    BOUNDARY = 2
    DRIVABLE = 3


class Command(IntEnum):
    """UniAD's three driving commands, with its numbers."""

    RIGHT = 0
    LEFT = 1
    FORWARD = 2


@dataclass(frozen=True)
class CameraFrame:
    """One image with its own calibration and its own ego pose.

    Attributes:
        camera: one of ``CAMERAS``.
        stamp_ns: when it was exposed.
        image: JPEG or PNG bytes as they came, or RGB uint8 (H, W, 3).
        intrinsics: (3, 3) pinhole matrix of the full-size image.
        image_size: (height, width) that the intrinsics belong to, pixels.
        base_T_camera: (4, 4) mounting of the camera, optical frame.
        map_T_base: (4, 4) ego pose at ``stamp_ns``, or None where no odometry is known.
    """

    camera: str
    stamp_ns: int
    image: bytes | NDArray[np.uint8]
    intrinsics: Floats
    image_size: tuple[int, int]
    base_T_camera: Floats
    map_T_base: Floats | None = None


EGO_STATUS_S = 0.25
"""The ego's speed and yaw rate are means over this time before a stamp, its acceleration compares two of them: in
training and on the vehicle."""


@dataclass(frozen=True)
class EgoStatus:
    """How the ego moves: speed along x in m/s, yaw rate in rad/s, acceleration along x in m/s^2."""

    speed_mps: float
    yaw_rate_rps: float = 0.0
    acceleration_mps2: float = 0.0


@dataclass(frozen=True)
class Goal:
    """Where to go: a command, and a goal point (x, y) where one is known."""

    command: Command = Command.FORWARD
    point: tuple[float, float] | None = None


@dataclass(frozen=True)
class Frame:
    """One synchronized look around.

    Attributes:
        stamp_ns: the reference stamp, that of the newest image; results carry it.
        images: the images at hand, keyed by camera; a camera that is missing has no entry.
        map_T_base: (4, 4) ego pose at ``stamp_ns``, or None.
        goal: where to go.
        ego: ego status, or None where it is not known.
    """

    stamp_ns: int
    images: dict[str, CameraFrame]
    map_T_base: Floats | None = None
    goal: Goal = field(default_factory=Goal)
    ego: EgoStatus | None = None

    @property
    def missing(self) -> tuple[str, ...]:
        """The cameras without an image, in the order of ``CAMERAS``."""
        return tuple(camera for camera in CAMERAS if camera not in self.images)


@dataclass(frozen=True)
class Detections:
    """Boxes.

    Attributes:
        centers: (N, 3) centre of the box.
        sizes: (N, 3) length, width, height.
        yaws: (N,) heading.
        velocities: (N, 2) over ground, m/s, axes of base_link.
        scores: (N,) 0 to 1.
        class_ids: (N,) index into ``DETECTION_CLASSES``.
        attribute_ids: (N,) index into ``ATTRIBUTES``, -1 for none.
        track_ids: (N,) stable across frames, from 1; 0 where an object is not tracked.
    """

    centers: Floats
    sizes: Floats
    yaws: Floats
    velocities: Floats
    scores: Floats
    class_ids: Ints
    attribute_ids: Ints
    track_ids: Ints

    def __len__(self) -> int:
        return len(self.scores)

    def first(self, count: int) -> Detections:
        """The first ``count`` boxes, or all where there are fewer."""
        return Detections(**{item.name: getattr(self, item.name)[:count] for item in fields(self)})


@dataclass(frozen=True)
class MapSegment:
    """One polyline: points (P, 2), closed if it is an outline, score 0 to 1 (the mean probability along it)."""

    map_class: MapClass
    points: Floats
    score: float
    closed: bool = False


@dataclass(frozen=True)
class MapSegments:
    """The map: polylines, and the masks they were read from.

    Attributes:
        segments: the polylines; none where nobody asked for them.
        masks: (4, X, Y) probability per ``MapClass`` and cell.
        grid: the grid of the masks.
    """

    segments: tuple[MapSegment, ...]
    masks: Floats
    grid: BevGrid


@dataclass(frozen=True)
class Trajectories:
    """Where the detected agents may go; row n belongs to row n of the frame's ``Detections``.

    Attributes:
        positions: (N, K, T, 2) of K modes; step t is at (t + 1) * ``time_step_s`` after the stamp.
        sigmas: (N, K, T, 2) standard deviation, metres, along the axes of base_link.
        probabilities: (N, K), each row sums to 1.
        track_ids: (N,) as in ``Detections``.
        class_ids: (N,) as in ``Detections``.
        time_step_s: seconds between steps.
    """

    positions: Floats
    sigmas: Floats
    probabilities: Floats
    track_ids: Ints
    class_ids: Ints
    time_step_s: float

    def __len__(self) -> int:
        return len(self.probabilities)


@dataclass(frozen=True)
class Occupancy:
    """Which cells are taken, now and in the future, in base_link at the frame's stamp.

    Attributes:
        probability: (T, X, Y) of being occupied; step 0 is now, step t is t * ``time_step_s`` later.
        instances: (T, X, Y) id of the occupying object, consistent over time, 0 for none.
        grid: the grid of both.
        time_step_s: seconds between steps.
    """

    probability: Floats
    instances: Ints
    grid: BevGrid
    time_step_s: float


@dataclass(frozen=True)
class Plan:
    """The ego's trajectory; step t is at (t + 1) * ``time_step_s`` after the stamp.

    Attributes:
        positions: (T, 2).
        yaws: (T,) heading; where refinement moved the step that leads to a position, it turned the heading with it.
        speeds: (T,) m/s.
        raw_positions: (T, 2) as the network gave them, before refinement against occupancy; equal to ``positions``
            where refinement is off.
        goal: what it was asked for.
        time_step_s: seconds between steps.
    """

    positions: Floats
    yaws: Floats
    speeds: Floats
    raw_positions: Floats
    goal: Goal
    time_step_s: float


@dataclass(frozen=True)
class StageTimes:
    """Wall time of the stages of one frame, milliseconds; ``total`` spans the whole pipeline."""

    decode: float
    preprocess: float
    network: float
    postprocess: float
    total: float


@dataclass(frozen=True)
class WeightsInfo:
    """Which weights produced a result: ``trained_on`` is "nothing (untrained, seed N)" for seeded ones."""

    name: str
    trained_on: str
    sha256: str

    @property
    def trained(self) -> bool:
        """False where the weights are seeded and have never seen data."""
        return not self.trained_on.startswith("nothing")


@dataclass(frozen=True)
class Results:
    """The five outputs of one frame, with their stamp, the cameras that were missing and what they cost."""

    stamp_ns: int
    detections: Detections
    map: MapSegments
    trajectories: Trajectories
    occupancy: Occupancy
    plan: Plan
    missing: tuple[str, ...]
    times: StageTimes
    weights: WeightsInfo
