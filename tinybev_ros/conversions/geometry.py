"""Stamps, headers, transforms, poses and points."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import Point, Pose, Quaternion, Transform, TransformStamped, Vector3
from std_msgs.msg import Header

from tinybev.geometry import (
    Array,
    quaternion_from_rotation,
    quaternion_from_yaw,
    rotation_from_quaternion,
    transform_from,
    yaw_of,
)
from tinybev.transform_buffer import NANOSECONDS
from tinybev.types import Floats


def stamp_to_msg(stamp_ns: int) -> Time:
    """Integer nanoseconds as a Time."""
    return Time(sec=stamp_ns // NANOSECONDS, nanosec=stamp_ns % NANOSECONDS)


def msg_to_stamp(time: Time) -> int:
    """A Time as integer nanoseconds."""
    return time.sec * NANOSECONDS + time.nanosec


def header_to_msg(stamp_ns: int, frame_id: str) -> Header:
    """A header of a frame at a stamp."""
    return Header(stamp=stamp_to_msg(stamp_ns), frame_id=frame_id)


def msg_to_frame_id(header: Header) -> str:
    """The header's frame, without the leading slash that recordings of ROS 1 carry."""
    return header.frame_id.lstrip("/")


def transform_to_msg(a_T_b: Array) -> Transform:
    """A 4x4 transform as a Transform."""
    x, y, z, w = (float(value) for value in quaternion_from_rotation(a_T_b[:3, :3]))
    translation = Vector3(x=float(a_T_b[0, 3]), y=float(a_T_b[1, 3]), z=float(a_T_b[2, 3]))
    return Transform(translation=translation, rotation=Quaternion(x=x, y=y, z=z, w=w))


def msg_to_transform(transform: Transform) -> Array:
    """A Transform as 4x4.

    Raises:
        ValueError: the quaternion has no length, or a number is not finite.
    """
    t, q = transform.translation, transform.rotation
    return transform_from((q.x, q.y, q.z, q.w), (t.x, t.y, t.z))


def transform_stamped_to_msg(a_T_b: Array, parent: str, child: str, stamp_ns: int) -> TransformStamped:
    """The edge ``parent`` -> ``child`` of the transform tree at a stamp."""
    return TransformStamped(
        header=header_to_msg(stamp_ns, parent), child_frame_id=child, transform=transform_to_msg(a_T_b)
    )


def pose_to_msg(position: Sequence[float] | Floats, yaw: float) -> Pose:
    """A position (x, y[, z]) and a heading as a Pose; z is 0 where it is not given."""
    x, y = float(position[0]), float(position[1])
    z = float(position[2]) if len(position) > 2 else 0.0
    qx, qy, qz, qw = (float(value) for value in quaternion_from_yaw(yaw))
    return Pose(position=Point(x=x, y=y, z=z), orientation=Quaternion(x=qx, y=qy, z=qz, w=qw))


def msg_to_pose(pose: Pose) -> Array:
    """A Pose as the 4x4 transform from its own frame to the header's.

    Raises:
        ValueError: the quaternion has no length, or a number is not finite.
    """
    p, q = pose.position, pose.orientation
    return transform_from((q.x, q.y, q.z, q.w), (p.x, p.y, p.z))


def yaw_from_msg(pose: Pose) -> float:
    """The heading of a Pose, radians."""
    q = pose.orientation
    return yaw_of(rotation_from_quaternion((q.x, q.y, q.z, q.w)))


def points_to_msg(points: Floats, z: float = 0.0) -> list[Point]:
    """Points (P, 2) at height ``z``, or (P, 3)."""
    if points.shape[1] == 3:
        return [Point(x=x, y=y, z=z) for x, y, z in points.tolist()]
    return [Point(x=x, y=y, z=z) for x, y in points.tolist()]


def msg_to_points(points: Iterable[Point]) -> Array:
    """The (P, 2) positions of points on the ground."""
    return np.array([(point.x, point.y) for point in points], dtype=np.float64).reshape(-1, 2)
