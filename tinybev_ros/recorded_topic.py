"""A recorded topic as rclpy needs it: the class of its messages and the QoS to offer it with."""

from __future__ import annotations

import importlib
from typing import Any

from rclpy.qos import QoSDurabilityPolicy, QoSHistoryPolicy, QoSProfile, QoSReliabilityPolicy
from rosbags.interfaces import QosDurability, QosReliability

from tinybev_ros.bag import BagTopic
from tinybev_ros.topics import LATCHED_TOPICS

MIN_DEPTH = 10
MAX_LATCHED_DEPTH = 100


def message_class(type_name: str) -> type[Any] | None:
    """The class of ``package/msg/Name``, or None where that package is not installed or lacks the message."""
    package, _, name = type_name.partition("/msg/")
    if not package.isidentifier() or not name.isidentifier():
        return None
    try:
        return getattr(importlib.import_module(f"{package}.msg"), name, None)
    except ImportError:
        return None


def is_latched(topic: BagTopic) -> bool:
    """Whether late subscribers get what was said before: recorded as transient local, or always said that way."""
    recorded = any(profile.durability is QosDurability.TRANSIENT_LOCAL for profile in topic.offered_qos)
    return recorded or topic.name in LATCHED_TOPICS


def publisher_qos(topic: BagTopic) -> QoSProfile:
    """The QoS to offer a recorded topic with.

    Best effort where every recorded publisher was, else reliable; transient local where any was. A queue holds the last
    messages and at least ten, so a slow subscriber never holds the player up; that of a latched topic holds all its
    messages, up to 100, because one player stands for all its publishers. Deadline, lifespan and liveliness are left
    out: they do not survive another rate.
    """
    best_effort = bool(topic.offered_qos) and all(
        profile.reliability is QosReliability.BEST_EFFORT for profile in topic.offered_qos
    )
    latched = is_latched(topic)
    depth = max([MIN_DEPTH, *(profile.depth for profile in topic.offered_qos)])
    if latched:
        depth = max(1, min(topic.message_count, MAX_LATCHED_DEPTH))
    return QoSProfile(
        history=QoSHistoryPolicy.KEEP_LAST,
        depth=depth,
        reliability=QoSReliabilityPolicy.BEST_EFFORT if best_effort else QoSReliabilityPolicy.RELIABLE,
        durability=QoSDurabilityPolicy.TRANSIENT_LOCAL if latched else QoSDurabilityPolicy.VOLATILE,
    )
