"""The ego's own motion: its status now, where it went, UniAD's command and a goal point."""

from __future__ import annotations

import numpy as np

from tinybev.geometry import Array, interpolate_transform, invert, wrap_angle, yaw_of
from tinybev.model.heads.planning import GOAL_DISTANCE_M
from tinybev.types import EGO_STATUS_S, Command, EgoStatus
from tinybev_training.data.sample import PLAN_STEPS, PlanTargets
from tinybev_training.data.scene_log import EgoTrack, SceneLog

COMMAND_LATERAL_M = 2.0
"""UniAD's threshold between straight on and a turn."""
NANOSECONDS = 1_000_000_000


def pose_at(track: EgoTrack, stamp_ns: int) -> Array | None:
    """The ego's pose ``map_T_base`` (4, 4) at a stamp, interpolated; None outside the track."""
    after = int(np.searchsorted(track.stamps_ns, stamp_ns))
    if after == len(track.stamps_ns):
        return None
    if track.stamps_ns[after] == stamp_ns:
        return np.asarray(track.map_T_base[after])
    if after == 0:
        return None
    before_ns, after_ns = int(track.stamps_ns[after - 1]), int(track.stamps_ns[after])
    fraction = (stamp_ns - before_ns) / (after_ns - before_ns)
    return interpolate_transform(track.map_T_base[after - 1], track.map_T_base[after], fraction)


def ego_status(track: EgoTrack, map_T_base: Array, stamp_ns: int) -> EgoStatus | None:
    """How the ego moves at ``stamp_ns``, where its pose is ``map_T_base``: differences of the poses before.

    Near the start of a scene only one difference is at hand and the acceleration is 0; at the very start there is
    none and the status is unknown.
    """
    difference_ns = int(EGO_STATUS_S * NANOSECONDS)
    before = pose_at(track, stamp_ns - difference_ns)
    if before is None:
        return None
    motion = invert(before) @ map_T_base
    speed = float(motion[0, 3]) / EGO_STATUS_S
    yaw_rate = float(wrap_angle(yaw_of(motion[:3, :3]))) / EGO_STATUS_S
    return EgoStatus(speed, yaw_rate, _acceleration(track, map_T_base, stamp_ns, difference_ns))


def _acceleration(track: EgoTrack, map_T_base: Array, stamp_ns: int, difference_ns: int) -> float:
    """From the speeds in two equal times before ``stamp_ns``, each ``difference_ns`` long, or as long as the widest gap
    between the poses in them: between two poses the ego is taken to move evenly, and does not accelerate.
    """
    first, last = np.searchsorted(track.stamps_ns, [stamp_ns - 2 * difference_ns + 1, stamp_ns])
    gaps_ns = np.diff(track.stamps_ns[max(first - 1, 0) : last + 1])
    apart_ns = max(difference_ns, int(gaps_ns.max(initial=0)))
    before, earlier = pose_at(track, stamp_ns - apart_ns), pose_at(track, stamp_ns - 2 * apart_ns)
    if before is None or earlier is None:
        return 0.0
    ways = invert(before) @ map_T_base, invert(earlier) @ before
    apart_s = apart_ns / NANOSECONDS
    speed, earlier_speed = (float(way[0, 3]) / apart_s for way in ways)
    return (speed - earlier_speed) / apart_s


def plan_targets(scene: SceneLog, index: int, base_T_map: Array) -> PlanTargets:
    """Where the ego was at the keyframes after keyframe ``index``.

    Step t is the (t + 1)-th keyframe that follows, at its lidar stamp, as UniAD counts; nuScenes' keyframes are 0.40 to
    0.60 s apart, 0.5 s at the median. UniAD's positions are those of the lidar, ours those of base_link.
    """
    positions = np.zeros((PLAN_STEPS, 2), dtype=np.float32)
    yaws = np.zeros(PLAN_STEPS, dtype=np.float32)
    valid = np.zeros(PLAN_STEPS, dtype=np.bool_)
    for step, keyframe in enumerate(scene.keyframes[index + 1 : index + 1 + PLAN_STEPS]):
        pose = base_T_map @ keyframe.lidar.map_T_base
        positions[step], yaws[step], valid[step] = pose[:2, 3], yaw_of(pose[:3, :3]), True
    return PlanTargets(positions, yaws, valid)


def command(scene: SceneLog, index: int) -> Command:
    """UniAD's command of keyframe ``index``.

    It is read off the recorded future: by how far the lidar (not base_link) has moved sideways, along its own axes now,
    at the last recorded step of the plan's six; 2 m or more to a side is a turn to that side. nuScenes' lidar, in whose
    axes UniAD works, has x to the right; here the sideways axis is base_link's y, left positive, carried to the lidar,
    so that other mountings work too. On nuScenes' mounting the two differ by its misalignment, under a degree.
    """
    future = scene.keyframes[index + 1 : index + 1 + PLAN_STEPS]
    if not future:
        return Command.FORWARD
    now, then = scene.keyframes[index].lidar, future[-1].lidar
    lidar_then = invert(now.map_T_base) @ then.map_T_base @ then.base_T_lidar
    left_m = float(lidar_then[1, 3] - now.base_T_lidar[1, 3])
    if left_m >= COMMAND_LATERAL_M:
        return Command.LEFT
    return Command.RIGHT if left_m <= -COMMAND_LATERAL_M else Command.FORWARD


def goal_point(track: EgoTrack, map_T_base: Array, stamp_ns: int) -> Array | None:
    """The point (3,) of the map that lies ``GOAL_DISTANCE_M`` ahead along the path the ego drove; None if the
    recording ends before.

    A distance, not a time: a position 6 s ahead would tell a planner how fast the human drove.
    """
    ahead = track.map_T_base[track.stamps_ns > stamp_ns, :3, 3]
    path = np.vstack([map_T_base[:3, 3], ahead])
    driven = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(path, axis=0), axis=1))])
    if driven[-1] < GOAL_DISTANCE_M:
        return None
    return np.array([np.interp(GOAL_DISTANCE_M, driven, path[:, axis]) for axis in range(3)])
