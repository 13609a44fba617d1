"""What the node publishes: one table of topics, each with the function that builds its message from a result."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable, Container
from dataclasses import dataclass
from typing import Any

from nav_msgs.msg import OccupancyGrid, Path
from rclpy.lifecycle import LifecycleNode, LifecyclePublisher
from rclpy.qos import QoSProfile, ReliabilityPolicy
from std_msgs.msg import Header
from visualization_msgs.msg import MarkerArray

import tinybev_ros.msg as msgs
from tinybev.types import Results
from tinybev_ros.conversions import (
    detections_to_msg,
    forecast_to_msg,
    header_to_msg,
    map_segments_to_msg,
    occupancy_to_msg,
    path_to_msg,
    plan_to_msg,
    trajectories_to_msg,
)
from tinybev_ros.markers import detection_markers, map_markers, plan_markers, trajectory_markers

QOS = QoSProfile(depth=5, reliability=ReliabilityPolicy.RELIABLE)


@dataclass(frozen=True)
class Output:
    """A topic below the node's name, its message type, and how a result becomes that message.

    Attributes:
        map_segments: whether it says the map's lines and outlines, which take a while to find.
    """

    topic: str
    message_type: type
    build: Callable[[Results, Header], Any]
    map_segments: bool = False

    @property
    def type_name(self) -> str:
        """The type as ROS writes it: ``package/msg/Name``."""
        return f"{self.message_type.__module__.split('.')[0]}/msg/{self.message_type.__name__}"

    @property
    def for_viewers(self) -> bool:
        """Whether the topic only draws what another one says."""
        return self.message_type is MarkerArray


OUTPUTS: tuple[Output, ...] = (
    Output("~/detections", msgs.DetectedObjects, lambda r, h: detections_to_msg(r.detections, h, r.weights)),
    Output(
        "~/map_segments", msgs.MapSegments, lambda r, h: map_segments_to_msg(r.map, h, r.weights), map_segments=True
    ),
    Output(
        "~/trajectories",
        msgs.PredictedTrajectories,
        lambda r, h: trajectories_to_msg(r.trajectories, r.detections, h, r.weights),
    ),
    Output("~/occupancy", OccupancyGrid, lambda r, h: occupancy_to_msg(r.occupancy, h)),
    Output("~/occupancy_forecast", msgs.OccupancyForecast, lambda r, h: forecast_to_msg(r.occupancy, h, r.weights)),
    Output("~/path", Path, lambda r, h: path_to_msg(r.plan, h)),
    Output("~/plan", msgs.PlannedTrajectory, lambda r, h: plan_to_msg(r.plan, h, r.weights)),
    Output("~/detections/markers", MarkerArray, lambda r, h: detection_markers(r.detections, h, r.weights)),
    Output("~/map_segments/markers", MarkerArray, lambda r, h: map_markers(r.map, h, r.weights), map_segments=True),
    Output(
        "~/trajectories/markers",
        MarkerArray,
        lambda r, h: trajectory_markers(r.trajectories, r.detections, h, r.weights),
    ),
    Output("~/plan/markers", MarkerArray, lambda r, h: plan_markers(r.plan, h, r.weights)),
)


class Publishers:
    """One publisher per output, of a configured node. What nobody listens to is not built."""

    def __init__(self, node: LifecycleNode, base_frame: str) -> None:
        self._node = node
        self._base_frame = base_frame
        self._publishers: list[tuple[Output, LifecyclePublisher[Any]]] = [
            (output, node.create_lifecycle_publisher(output.message_type, output.topic, QOS))
            for output in OUTPUTS + _vision_outputs()
        ]

    def heard(self) -> frozenset[Output]:
        """The outputs that somebody listens to now."""
        return frozenset(output for output, publisher in self._publishers if publisher.get_subscription_count() > 0)

    def publish(self, results: Results, heard: Container[Output]) -> float:
        """Publishes a result with its own stamp, in base_link; returns how long its messages took to build, ms.

        Args:
            results: to publish.
            heard: the outputs to publish: those that were heard before the result was made, with all that they say.
        """
        header = header_to_msg(results.stamp_ns, self._base_frame)
        building_s = 0.0
        for output, publisher in self._publishers:
            if output in heard:
                started = time.perf_counter()
                message = output.build(results, header)
                building_s += time.perf_counter() - started
                publisher.publish(message)
        return 1e3 * building_s

    def close(self) -> None:
        """Destroys the publishers."""
        for _, publisher in self._publishers:
            self._node.destroy_lifecycle_publisher(publisher)
        self._publishers.clear()


def _vision_outputs() -> tuple[Output, ...]:
    """``~/detections_vision`` where the package vision_msgs is installed; it is not on PyPI."""
    if importlib.util.find_spec("vision_msgs") is None:
        return ()
    from vision_msgs.msg import Detection3DArray

    from tinybev_ros.conversions.vision import detections_to_vision_msg

    return (Output("~/detections_vision", Detection3DArray, lambda r, h: detections_to_vision_msg(r.detections, h)),)
