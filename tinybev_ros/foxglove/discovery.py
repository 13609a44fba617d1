"""Which topics the ROS graph offers, and the quality of service that receives all publishers of each."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy

_QUEUE_DEPTH = 10
_LATCHED_DEPTH = 100  # several publishers may each keep a history, as on /tf_static


@dataclass(frozen=True)
class Topic:
    """A topic with one of the types its publishers give it, e.g. ("/odom", "nav_msgs/msg/Odometry")."""

    name: str
    type_name: str


@dataclass(frozen=True)
class Reception:
    """How to subscribe. ``latched``: a late subscriber gets the publishers' history (durability transient local)."""

    reliable: bool
    latched: bool

    def qos(self) -> QoSProfile:
        """As a profile of rclpy."""
        return QoSProfile(
            history=HistoryPolicy.KEEP_LAST,
            depth=_LATCHED_DEPTH if self.latched else _QUEUE_DEPTH,
            reliability=ReliabilityPolicy.RELIABLE if self.reliable else ReliabilityPolicy.BEST_EFFORT,
            durability=DurabilityPolicy.TRANSIENT_LOCAL if self.latched else DurabilityPolicy.VOLATILE,
        )


def reception(publishers: Iterable[QoSProfile]) -> Reception:
    """The strictest reception that every publisher can serve: one that asks for more hears nothing of a publisher."""
    offered = list(publishers)
    return Reception(
        reliable=all(profile.reliability == ReliabilityPolicy.RELIABLE for profile in offered),
        latched=all(profile.durability == DurabilityPolicy.TRANSIENT_LOCAL for profile in offered),
    )


def published_topics(node: Node, allowed: Sequence[re.Pattern[str]]) -> Mapping[Topic, Reception]:
    """The topics that nodes other than ``node`` publish and whose whole name one of ``allowed`` matches."""
    own = (node.get_name(), node.get_namespace())
    offered: dict[Topic, list[QoSProfile]] = {}
    for name, _ in node.get_topic_names_and_types():
        if any(pattern.fullmatch(name) for pattern in allowed):
            for publisher in node.get_publishers_info_by_topic(name):
                if (publisher.node_name, publisher.node_namespace) != own:
                    offered.setdefault(Topic(name, publisher.topic_type), []).append(publisher.qos_profile)
    return {topic: reception(profiles) for topic, profiles in offered.items()}
