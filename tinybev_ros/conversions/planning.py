"""The plan: timed, as a path without time, and what it was asked for."""

from __future__ import annotations

import numpy as np
from geometry_msgs.msg import Point, PoseStamped
from nav_msgs.msg import Path
from std_msgs.msg import Header

import tinybev_ros.msg as msgs
from tinybev.types import Command, Floats, Goal, Plan, WeightsInfo
from tinybev_ros.conversions.geometry import pose_to_msg, yaw_from_msg
from tinybev_ros.conversions.objects import model_info_to_msg


def plan_to_msg(plan: Plan, header: Header, weights: WeightsInfo) -> msgs.PlannedTrajectory:
    """The timed plan; headings and speeds of the network's own plan follow from its positions."""
    raw_yaws, raw_speeds = _headings_and_speeds(plan.raw_positions, plan.time_step_s)
    message = msgs.PlannedTrajectory(
        header=header,
        model=model_info_to_msg(weights),
        command=int(plan.goal.command),
        has_goal=plan.goal.point is not None,
        points=_points(plan.positions, plan.yaws, plan.speeds, plan.time_step_s),
        raw_points=_points(plan.raw_positions, raw_yaws, raw_speeds, plan.time_step_s),
    )
    if plan.goal.point is not None:
        message.goal = Point(x=float(plan.goal.point[0]), y=float(plan.goal.point[1]), z=0.0)
    return message


def msg_to_plan(message: msgs.PlannedTrajectory) -> Plan:
    """The inverse of :func:`plan_to_msg`; yaws come back in (-pi, pi]."""
    point = (message.goal.x, message.goal.y) if message.has_goal else None
    return Plan(
        positions=_positions(message.points),
        yaws=np.array([yaw_from_msg(p.pose) for p in message.points], dtype=np.float64),
        speeds=np.array([p.speed for p in message.points], dtype=np.float64),
        raw_positions=_positions(message.raw_points),
        goal=Goal(Command(message.command), point),
        time_step_s=message.points[0].time_from_start if message.points else 0.0,
    )


def path_to_msg(plan: Plan, header: Header) -> Path:
    """The plan without its times, every pose with the plan's header."""
    poses = [
        PoseStamped(header=header, pose=pose_to_msg(position, float(yaw)))
        for position, yaw in zip(plan.positions, plan.yaws, strict=True)
    ]
    return Path(header=header, poses=poses)


def msg_to_path(message: Path) -> tuple[Floats, Floats]:
    """Positions (T, 2) and headings (T,) of a Path."""
    positions = [(pose.pose.position.x, pose.pose.position.y) for pose in message.poses]
    yaws = np.array([yaw_from_msg(pose.pose) for pose in message.poses], dtype=np.float64)
    return np.array(positions, dtype=np.float64).reshape(-1, 2), yaws


def _points(positions: Floats, yaws: Floats, speeds: Floats, time_step_s: float) -> list[msgs.PlannedPoint]:
    return [
        msgs.PlannedPoint(
            time_from_start=(t + 1) * time_step_s,
            pose=pose_to_msg(positions[t], float(yaws[t])),
            speed=float(speeds[t]),
        )
        for t in range(len(positions))
    ]


def _positions(points: list[msgs.PlannedPoint]) -> Floats:
    return np.array([(p.pose.position.x, p.pose.position.y) for p in points], dtype=np.float64).reshape(-1, 2)


def _headings_and_speeds(positions: Floats, time_step_s: float) -> tuple[Floats, Floats]:
    """Heading (T,) and speed (T,) with which each position is reached, from the vehicle's own position on."""
    steps = np.diff(np.vstack([np.zeros((1, 2)), positions]), axis=0)
    return np.arctan2(steps[:, 1], steps[:, 0]), np.linalg.norm(steps, axis=1) / time_step_s
