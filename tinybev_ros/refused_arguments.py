"""ROS arguments that rclpy cannot take, said in one sentence by every program of ours."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import rclpy
from rclpy.exceptions import NameValidationException, ParameterException
from rclpy.impl.implementation_singleton import rclpy_implementation

from tinybev.errors import UserError

REFUSED_ARGUMENTS = (
    rclpy_implementation.RCLError,
    rclpy_implementation.UnknownROSArgsError,
    NameValidationException,
    ParameterException,
    ValueError,
)
"""What rclpy raises about a parameter file, a name or another argument that it cannot take."""


@contextmanager
def refused_as_user_error() -> Iterator[None]:
    """Around the start of rclpy and the construction of a node; where they refuse, rclpy is shut down again.

    Raises:
        UserError: ROS cannot take the arguments.
    """
    try:
        yield
    except REFUSED_ARGUMENTS as error:
        rclpy.try_shutdown()
        # rclpy's message in one line, without the places in its source.
        reason = re.sub(r",? at /\S+:\d+", "", " ".join(str(error).split())).rstrip(" .")
        raise UserError(f"cannot start: {reason}; correct the arguments after --ros-args.") from error
