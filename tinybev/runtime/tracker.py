"""Ids that stay with their objects: greedy association of boxes by their velocity-compensated centres.

The tracker of CenterPoint (Yin et al., "Center-based 3D Object Detection and Tracking", 2021): each box is carried back
by its own velocity to the time of the last frame and takes the nearest track of its class, the most confident box
first. Tracks live in the map frame where ego poses are known, so that driving does not move what stands.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np

from tinybev.geometry import Array
from tinybev.types import DETECTION_CLASSES, Detections, Floats, Ints

MAX_AGE_S = 1.5
"""A track that is not seen for longer is forgotten."""
MAX_DISTANCE_M = {
    "car": 4.0,
    "truck": 4.0,
    "construction_vehicle": 4.0,
    "bus": 5.5,
    "trailer": 3.0,
    "barrier": 1.0,
    "motorcycle": 13.0,
    "bicycle": 3.0,
    "pedestrian": 1.0,
    "traffic_cone": 1.0,
}
"""How far a compensated centre may be from its track, by class; CenterPoint's values for frames 0.5 s apart."""
_MAX_DISTANCE_K = np.array([MAX_DISTANCE_M[name] for name in DETECTION_CLASSES])
_NS_PER_S = 1e9


@dataclass(frozen=True)
class _Tracks:
    """N tracks: id, class, centre (N, 2) in the map frame, when it was seen last (ns)."""

    ids: Ints
    class_ids: Ints
    centers: Floats
    seen_ns: Ints


_NO_TRACKS = _Tracks(
    ids=np.zeros(0, np.int64), class_ids=np.zeros(0, np.int64), centers=np.zeros((0, 2)), seen_ns=np.zeros(0, np.int64)
)


class Tracker:
    """Gives track ids, from 1 on, to the detections of one frame after the other."""

    def __init__(self) -> None:
        self._tracks = _NO_TRACKS
        self._next_id = 1
        self._map_T_base: Array = np.eye(4)

    def reset(self) -> None:
        """Forgets the tracks and the last pose; ids go on, so that no id ever means two objects."""
        self._tracks = _NO_TRACKS
        self._map_T_base = np.eye(4)

    def update(self, detections: Detections, stamp_ns: int, map_T_base: Floats | None) -> Detections:
        """The detections with their track ids.

        Args:
            detections: of one frame, best first.
            stamp_ns: of the frame, later than the frames before.
            map_T_base: ego pose at the stamp; without it the vehicle is taken to stand still where it was last.
        """
        if map_T_base is not None:
            self._map_T_base = np.asarray(map_T_base, dtype=np.float64)
        pose = self._map_T_base
        self._forget(stamp_ns)
        centers = detections.centers[:, :2] @ pose[:2, :2].T + pose[:2, 3]
        velocities = detections.velocities @ pose[:2, :2].T
        matched = self._match(centers, velocities, detections.class_ids, stamp_ns)
        ids = np.where(matched >= 0, self._tracks.ids[matched] if len(self._tracks.ids) else 0, 0)
        fresh = matched < 0
        ids[fresh] = self._next_id + np.arange(fresh.sum())
        self._next_id += int(fresh.sum())
        self._keep(ids, detections.class_ids, centers, matched, stamp_ns)
        return dataclasses.replace(detections, track_ids=ids)

    def _forget(self, stamp_ns: int) -> None:
        """Drops the tracks that are too old to be seen again, however few frames came meanwhile."""
        tracks = self._tracks
        young = stamp_ns - tracks.seen_ns <= MAX_AGE_S * _NS_PER_S
        self._tracks = _Tracks(
            ids=tracks.ids[young],
            class_ids=tracks.class_ids[young],
            centers=tracks.centers[young],
            seen_ns=tracks.seen_ns[young],
        )

    def _match(self, centers: Array, velocities: Array, class_ids: Ints, stamp_ns: int) -> Ints:
        """For each detection the row of its track, -1 for none."""
        tracks = self._tracks
        matched = np.full(len(centers), -1, dtype=np.int64)
        if len(tracks.ids) == 0:
            return matched
        age_s_T = (stamp_ns - tracks.seen_ns) / _NS_PER_S
        carried_back_NT2 = centers[:, None] - velocities[:, None] * age_s_T[None, :, None]
        distance_NT = np.linalg.norm(carried_back_NT2 - tracks.centers[None], axis=2)
        allowed_NT = (class_ids[:, None] == tracks.class_ids) & (distance_NT <= _MAX_DISTANCE_K[class_ids][:, None])
        distance_NT = np.where(allowed_NT, distance_NT, np.inf)
        for n in range(len(centers)):  # best detection first; each takes what is left
            nearest = int(distance_NT[n].argmin())
            if np.isfinite(distance_NT[n, nearest]):
                matched[n] = nearest
                distance_NT[:, nearest] = np.inf
        return matched

    def _keep(self, ids: Ints, class_ids: Ints, centers: Array, matched: Ints, stamp_ns: int) -> None:
        """The tracks after this frame: what was seen, and what was not."""
        tracks = self._tracks
        unseen = np.ones(len(tracks.ids), dtype=bool)
        unseen[matched[matched >= 0]] = False
        self._tracks = _Tracks(
            ids=np.concatenate([ids, tracks.ids[unseen]]),
            class_ids=np.concatenate([class_ids, tracks.class_ids[unseen]]),
            centers=np.concatenate([centers, tracks.centers[unseen]]),
            seen_ns=np.concatenate([np.full(len(ids), stamp_ns, dtype=np.int64), tracks.seen_ns[unseen]]),
        )
