"""Keeps what the processes of this one say on this machine."""

from __future__ import annotations

import os


def keep_to_this_machine() -> None:
    """Tells ROS, here and in the processes that are started from here, not to look beyond this machine.

    A recording's clock and transforms must not reach the robots of this network. What is set already stays.
    """
    if os.environ.get("ROS_DISTRO") == "humble":  # the variable of the distributions since Iron means nothing to it
        os.environ.setdefault("ROS_LOCALHOST_ONLY", "1")
    else:
        os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
