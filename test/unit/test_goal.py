"""The goal pose stays where it was put while the vehicle moves."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tinybev.geometry import quaternion_from_yaw, transform_from
from tinybev.transform_buffer import TransformBuffer, TransformUnknownError
from tinybev.types import Command, Goal
from tinybev_ros.goal import GoalKeeper, command_towards


def pose(x: float, y: float = 0.0, yaw: float = 0.0) -> np.ndarray:
    return transform_from(quaternion_from_yaw(yaw), (x, y, 0.0))


@pytest.fixture
def keeper() -> GoalKeeper:
    return GoalKeeper(TransformBuffer(), "base_link", radius_m=2.0)


def test_without_a_goal_the_command_is_what_was_asked_or_forward(keeper: GoalKeeper) -> None:
    assert keeper.at(0, "map", None, "auto") == Goal(Command.FORWARD, None)
    assert keeper.at(0, "map", None, "left") == Goal(Command.LEFT, None)


def test_goal_in_the_map_is_seen_from_the_vehicle(keeper: GoalKeeper) -> None:
    keeper.set_pose("map", pose(10.0, 10.0))
    assert keeper.at(0, "map", pose(10.0, 0.0, 0.0), "auto").point == pytest.approx((0.0, 10.0))
    turned = keeper.at(1, "map", pose(10.0, 0.0, math.pi / 2), "auto")
    assert turned.point == pytest.approx((10.0, 0.0))
    assert turned.command is Command.FORWARD


def test_goal_in_base_link_stays_on_the_ground_as_the_vehicle_moves(keeper: GoalKeeper) -> None:
    keeper.set_pose("base_link", pose(20.0, 0.0))
    assert keeper.at(0, "map", pose(100.0), "auto").point == pytest.approx((20.0, 0.0))
    assert keeper.at(1, "map", pose(105.0), "auto").point == pytest.approx((15.0, 0.0))


def test_goal_in_base_link_without_a_pose_stays_relative(keeper: GoalKeeper) -> None:
    keeper.set_pose("base_link", pose(20.0, 0.0))
    assert keeper.at(0, "", None, "auto").point == pytest.approx((20.0, 0.0))


def test_goal_is_forgotten_when_reached_and_only_then(keeper: GoalKeeper) -> None:
    keeper.set_pose("map", pose(10.0))
    assert keeper.at(0, "map", pose(13.0), "auto").point == pytest.approx((-3.0, 0.0))  # behind is not reached
    assert keeper.at(1, "map", pose(11.0), "auto").point is None
    assert keeper.at(2, "map", pose(30.0), "auto").point is None


def test_goal_in_another_frame_goes_through_the_transform_tree() -> None:
    transforms = TransformBuffer()
    keeper = GoalKeeper(transforms, "base_link", radius_m=2.0)
    keeper.set_pose("station", pose(1.0))
    with pytest.raises(TransformUnknownError):
        keeper.at(0, "map", pose(0.0), "auto")
    transforms.set_static("map", "station", pose(50.0))
    transforms.set_dynamic("map", "base_link", 0, pose(40.0))
    assert keeper.at(0, "map", pose(40.0), "auto").point == pytest.approx((11.0, 0.0))


@pytest.mark.parametrize(
    ("point", "command"),
    [
        (None, Command.FORWARD),
        ((30.0, 2.0), Command.FORWARD),
        ((30.0, -2.0), Command.FORWARD),
        ((10.0, 10.0), Command.LEFT),
        ((10.0, -10.0), Command.RIGHT),
        ((-10.0, 1.0), Command.LEFT),
    ],
)
def test_command_follows_the_bearing(point: tuple[float, float] | None, command: Command) -> None:
    assert command_towards(point) is command
