"""Where the vehicle was asked to go: a goal pose that stays where it was put, and a driving command."""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass

from tinybev.geometry import Array, invert
from tinybev.transform_buffer import TransformBuffer, TransformUnknownError
from tinybev.types import Command, Goal

TURN_RAD = math.radians(20.0)
"""A goal point further than this to a side asks for a turn to that side."""

COMMANDS: dict[str, Command] = {"left": Command.LEFT, "right": Command.RIGHT, "forward": Command.FORWARD}


@dataclass(frozen=True)
class _GoalPoint:
    """A point (3,) in a frame of the transform tree."""

    frame: str
    xyz: tuple[float, float, float]


class GoalKeeper:
    """Holds the goal pose and turns it into base_link at every frame; thread-safe.

    A goal in base_link means the place it has when the next frame comes, and stays there as the vehicle moves. It is
    forgotten within ``radius_m`` of it, and never for lying behind: the way there may lead around.
    """

    def __init__(self, transforms: TransformBuffer, base_frame: str, radius_m: float) -> None:
        self._transforms = transforms
        self._base_frame = base_frame
        self._radius_m = radius_m
        self._point: _GoalPoint | None = None
        self._lock = threading.Lock()

    def set_pose(self, frame: str, frame_T_goal: Array) -> None:
        """A new goal in ``frame``; it replaces the one before."""
        x, y, z = (float(value) for value in frame_T_goal[:3, 3])
        with self._lock:
            self._point = _GoalPoint(frame, (x, y, z))

    def clear(self) -> None:
        """Forgets the goal pose."""
        with self._lock:
            self._point = None

    def at(self, stamp_ns: int, pose_frame: str, map_T_base: Array | None, command: str) -> Goal:
        """The goal of the frame at ``stamp_ns``.

        Args:
            pose_frame: the frame in which the vehicle's pose is known.
            map_T_base: the vehicle's pose in it, None where it is not known.
            command: left, right or forward; anything else derives it from the goal point.

        Raises:
            TransformUnknownError: the goal's frame is not connected to base_link.
        """
        with self._lock:
            point = self._point
            if point is not None and point.frame == self._base_frame and map_T_base is not None:
                point = self._point = _GoalPoint(pose_frame, _moved(map_T_base, point.xyz))
        xy = None if point is None else self._in_base(point, stamp_ns, pose_frame, map_T_base)
        if xy is not None and math.hypot(*xy) <= self._radius_m:
            with self._lock:
                if self._point is point:
                    self._point = None
            xy = None
        return Goal(COMMANDS.get(command, command_towards(xy)), xy)

    def _in_base(
        self, point: _GoalPoint, stamp_ns: int, pose_frame: str, map_T_base: Array | None
    ) -> tuple[float, float]:
        if point.frame == self._base_frame:
            return point.xyz[:2]
        if point.frame == pose_frame and map_T_base is not None:
            return _moved(invert(map_T_base), point.xyz)[:2]
        try:
            base_T_frame = self._transforms.lookup(self._base_frame, point.frame, stamp_ns)
        except TransformUnknownError:
            base_T_frame = self._transforms.lookup(self._base_frame, point.frame)
        return _moved(base_T_frame, point.xyz)[:2]


def command_towards(xy: tuple[float, float] | None) -> Command:
    """Left or right where a point of base_link lies more than ``TURN_RAD`` to that side, forward otherwise."""
    if xy is None:
        return Command.FORWARD
    bearing = math.atan2(xy[1], xy[0])
    if abs(bearing) <= TURN_RAD:
        return Command.FORWARD
    return Command.LEFT if bearing > 0 else Command.RIGHT


def _moved(a_T_b: Array, xyz_b: tuple[float, float, float]) -> tuple[float, float, float]:
    x, y, z = (float(value) for value in a_T_b[:3, :3] @ xyz_b + a_T_b[:3, 3])
    return x, y, z
