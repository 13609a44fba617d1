"""What the tables say about one scene, as typed arrays: everything later stages need, without the devkit.

The devkit's tables are nested dictionaries; a loader process that only reads them still copies them, because counting
references writes to them. A ``SceneLog`` holds its numbers in arrays, so worker processes share them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tinybev.geometry import Array


@dataclass(frozen=True)
class CameraRecord:
    """One image of a keyframe.

    Attributes:
        camera: one of ``CAMERAS``.
        stamp_ns: when it was exposed.
        path: of its file, absolute; whether it exists is asked elsewhere.
        intrinsics: (3, 3) of the image as stored.
        image_size: (height, width), pixels.
        base_T_camera: (4, 4) mounting, optical frame.
        map_T_base: (4, 4) ego pose at ``stamp_ns``.
    """

    camera: str
    stamp_ns: int
    path: Path
    intrinsics: Array
    image_size: tuple[int, int]
    base_T_camera: Array
    map_T_base: Array


@dataclass(frozen=True)
class LidarRecord:
    """The lidar sweep of a keyframe: its file, stamp, (4, 4) mounting and (4, 4) ego pose at the stamp."""

    path: Path
    stamp_ns: int
    base_T_lidar: Array
    map_T_base: Array


@dataclass(frozen=True)
class Annotations:
    """The annotated objects of a keyframe that belong to one of the ten detection classes, in the map frame.

    Attributes:
        track_ids: (N,) ascending; number of the instance within its scene, from 1.
        centers: (N, 3).
        sizes: (N, 3) length, width, height.
        headings: (N, 3) unit vector along the object's length, forward.
        velocities: (N, 3) by the devkit's ``box_velocity``, NaN where it has none.
        class_ids: (N,) index into ``DETECTION_CLASSES``.
        attribute_ids: (N,) index into ``ATTRIBUTES``, -1 for none.
        lidar_points: (N,) lidar points in the box, -1 where unknown.
        visibility: (N,) nuScenes' level 1 to 4, 0 where unknown.
    """

    track_ids: NDArray[np.int64]
    centers: Array
    sizes: Array
    headings: Array
    velocities: Array
    class_ids: NDArray[np.int64]
    attribute_ids: NDArray[np.int64]
    lidar_points: NDArray[np.int64]
    visibility: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.track_ids)


@dataclass(frozen=True)
class Keyframe:
    """One annotated moment.

    Attributes:
        token: nuScenes' sample token.
        cameras: its images in the order of ``CAMERAS``; a camera the tables do not have is left out.
        lidar: its sweep; the boxes are annotated at the sweep's stamp.
        annotations: the boxes.
    """

    token: str
    cameras: tuple[CameraRecord, ...]
    lidar: LidarRecord
    annotations: Annotations


@dataclass(frozen=True)
class EgoTrack:
    """The ego's poses over a scene: ``stamps_ns`` (S,) strictly ascending, ``map_T_base`` (S, 4, 4)."""

    stamps_ns: NDArray[np.int64]
    map_T_base: Array


@dataclass(frozen=True)
class SceneLog:
    """One scene: its name, the place it was recorded at, its keyframes in time order, and the ego's poses."""

    name: str
    location: str
    keyframes: tuple[Keyframe, ...] = field(repr=False)
    ego_track: EgoTrack = field(repr=False)
