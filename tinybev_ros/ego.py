"""The vehicle's own pose and motion: from the transform tree, and from odometry where the tree has no pose in time."""

from __future__ import annotations

import math
import threading
import time
from bisect import insort
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import numpy as np

from tinybev.geometry import Array, invert, wrap_angle, yaw_of
from tinybev.transform_buffer import NANOSECONDS, TransformBuffer, TransformUnknownError
from tinybev.types import EGO_STATUS_S, EgoStatus
from tinybev_ros.pose_patience import PosePatience

EXTRAPOLATE_S = 0.6
"""How far past the newest pose the motion is continued: recordings exist with poses at 2 Hz only."""
HOLD_S = 5.0
"""How long a localisation that corrects odometry (REP 105's map -> odom) holds its last word. Many speak once a second
or when they have seen something. In this time odometry drifts by a per cent or so of its way, half a metre of 50 m;
after it, localisation counts as lost, and odometry stands in."""
TWIST_HISTORY_S = 2.0


@dataclass(frozen=True)
class EgoPoses:
    """Poses of one frame.

    Attributes:
        frame: the frame they are in: the map's, odometry's, or empty where no pose is known.
        by_stamp: ``frame_T_base`` (4, 4) at each stamp; a stamp without a pose has no entry.
        late: poses have come too late to be waited for, or too seldom; the motion was continued where need was.
        lost: why odometry had to stand in for the transform tree, which has known a pose; empty where it had not.
    """

    frame: str
    by_stamp: dict[int, Array]
    late: bool = False
    lost: str = ""


class EgoTracker:
    """Collects odometry and answers for poses and motion at a stamp; thread-safe.

    Args:
        transforms: the transform tree.
        map_frame, base_frame: where the tree has the vehicle's pose.
    """

    def __init__(self, transforms: TransformBuffer, map_frame: str, base_frame: str) -> None:
        self._transforms = transforms
        self._map_frame = map_frame
        self._base_frame = base_frame
        self._odometry = TransformBuffer()
        self._odometry_frame = ""
        self._twists: list[tuple[int, float, float]] = []
        self._patience = PosePatience()
        self._lock = threading.Lock()

    def add_odometry(
        self, frame: str, stamp_ns: int, odom_T_base: Array, speed_mps: float, yaw_rate_rps: float
    ) -> bool:
        """One odometry message: pose in ``frame``, forward speed and yaw rate in base_link.

        Returns:
            Whether the motion is used: both numbers are finite. The pose is in any case.
        """
        motion_is_known = math.isfinite(speed_mps) and math.isfinite(yaw_rate_rps)
        with self._lock:
            if frame != self._odometry_frame:
                self._odometry = TransformBuffer()
                self._odometry_frame = frame
            if motion_is_known:
                self._add_twist(stamp_ns, speed_mps, yaw_rate_rps)
        self._odometry.set_dynamic(frame, self._base_frame, stamp_ns, odom_T_base)
        self.look_for_poses()
        return motion_is_known

    def look_for_poses(self) -> None:
        """To be called when transforms have come, so that it is known which poses come in time."""
        self._patience.look()

    def poses(self, stamps_ns: list[int], wait_s: float) -> EgoPoses:
        """The poses at some stamps, all from one source; waits up to ``wait_s`` for the newest of them, unless those
        of the frames before came later than that."""
        poses: dict[int, Array] = {}
        deadline = time.monotonic() + wait_s
        newest_ns = max(stamps_ns)
        frame, buffer = self._source(newest_ns)
        if buffer is None:
            with suppress(TransformUnknownError):
                self._transforms.wait_for(self._map_frame, self._base_frame, None, wait_s)
            frame, buffer = self._source(newest_ns)
        if buffer is None:
            return EgoPoses("", poses)
        if wait_s > 0:
            self._patience.ask(partial(self._knows, frame, buffer, newest_ns), deadline)
        late = self._patience.ended
        for stamp_ns in sorted(stamps_ns, reverse=True):
            awaited = stamp_ns == newest_ns and not late
            remaining_s = max(0.0, deadline - time.monotonic()) if awaited else 0.0
            with suppress(TransformUnknownError):
                poses[stamp_ns] = buffer.wait_for(frame, self._base_frame, stamp_ns, remaining_s, EXTRAPOLATE_S, HOLD_S)
        self._patience.look()  # where it came in the meantime, before whoever brought it could say so
        return EgoPoses(frame, poses, late, "" if buffer is self._transforms else self._why_lost(newest_ns))

    def status(self, stamp_ns: int) -> EgoStatus | None:
        """Motion up to a stamp: means of odometry's twist, or differences of poses where the twist is absent or always
        zero; of one and the same drive both say the same. None where neither is known."""
        with self._lock:
            twists = np.array(self._twists, dtype=np.float64).reshape(-1, 3)
        if not np.any(twists[:, 1:]):
            return self._status_from_poses(stamp_ns)
        seconds = (twists[:, 0] - stamp_ns) / NANOSECONDS
        if seconds[0] > 0 or seconds[-1] < -EXTRAPOLATE_S:
            return self._status_from_poses(stamp_ns)
        speed, yaw_rate = (
            _mean(seconds, values, max(-EGO_STATUS_S, seconds[0]), 0.0) for values in (twists[:, 1], twists[:, 2])
        )
        if seconds[0] > -2 * EGO_STATUS_S:
            return EgoStatus(speed, yaw_rate)
        earlier = _mean(seconds, twists[:, 1], -2 * EGO_STATUS_S, -EGO_STATUS_S)
        return EgoStatus(speed, yaw_rate, (speed - earlier) / EGO_STATUS_S)

    def _add_twist(self, stamp_ns: int, speed_mps: float, yaw_rate_rps: float) -> None:
        if self._twists and stamp_ns < self._twists[-1][0] - NANOSECONDS:  # the clock jumped back
            self._twists.clear()
        insort(self._twists, (stamp_ns, speed_mps, yaw_rate_rps))
        oldest_ns = self._twists[-1][0] - int(TWIST_HISTORY_S * NANOSECONDS)
        while self._twists[0][0] < oldest_ns:
            del self._twists[0]

    def _status_from_poses(self, stamp_ns: int) -> EgoStatus | None:
        frame, buffer = self._source(stamp_ns)
        if buffer is None:
            return None
        difference_ns = int(EGO_STATUS_S * NANOSECONDS)
        poses: list[Array] = []
        try:
            for n in range(3):
                poses.append(
                    buffer.lookup(frame, self._base_frame, stamp_ns - n * difference_ns, EXTRAPOLATE_S, HOLD_S)
                )
        except TransformUnknownError:
            if len(poses) < 2:
                return None
        motions = [invert(before) @ after for after, before in pairwise(poses)]
        speeds = [float(motion[0, 3]) / EGO_STATUS_S for motion in motions]
        yaw_rate = float(wrap_angle(yaw_of(motions[0][:3, :3]))) / EGO_STATUS_S
        acceleration = (speeds[0] - speeds[1]) / EGO_STATUS_S if len(speeds) == 2 else 0.0
        return EgoStatus(speeds[0], yaw_rate, acceleration)

    def _knows(self, frame: str, buffer: TransformBuffer, stamp_ns: int) -> bool:
        """Whether a pose is known without continuing the motion."""
        try:
            buffer.lookup(frame, self._base_frame, stamp_ns, hold_s=HOLD_S)
        except TransformUnknownError:
            return False
        return True

    def _why_lost(self, stamp_ns: int) -> str:
        """Why the tree does not know the pose at a stamp; empty where it does, or never has known one."""
        if self._transforms.connected(self._map_frame, self._base_frame):
            try:
                self._transforms.lookup(self._map_frame, self._base_frame, stamp_ns, EXTRAPOLATE_S, HOLD_S)
            except TransformUnknownError as error:
                return str(error)
        return ""

    def _source(self, stamp_ns: int) -> tuple[str, TransformBuffer | None]:
        """The frame the pose at a stamp is known in and the buffer that knows it, the tree before odometry.

        Where neither knows it, the one that has known a pose and may yet get this one; None where there is none.
        """
        with self._lock:
            odometry = [(self._odometry_frame, self._odometry)] if self._odometry_frame else []
        sources = [(self._map_frame, self._transforms), *odometry]
        for frame, buffer in sources:
            with suppress(TransformUnknownError):
                buffer.lookup(frame, self._base_frame, stamp_ns, EXTRAPOLATE_S, HOLD_S)
                return frame, buffer
        for frame, buffer in sources:
            if buffer.connected(frame, self._base_frame):
                return frame, buffer
        return "", None


def _mean(seconds: Array, values: Array, start: float, end: float) -> float:
    """The mean from ``start`` to ``end`` of the line through ``values``, which goes on level at both ends."""
    if start >= end:
        return float(np.interp(end, seconds, values))
    times = np.unique(np.clip([start, *seconds, end], start, end))
    sampled = np.interp(times, seconds, values)
    return float((sampled[1:] + sampled[:-1]) @ np.diff(times) / (2 * (end - start)))
