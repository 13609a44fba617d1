"""Results -> MarkerArray, for RViz and Foxglove.

Boxes are wireframes, one LINE_LIST per class: nothing filled hides the camera views they are projected into, and a
hundred boxes are ten markers. Markers live for ``LIFETIME_S`` and every array starts by deleting the one before, so
what is no longer seen disappears at the next frame and also when the frames stop.
"""

from __future__ import annotations

import numpy as np
from builtin_interfaces.msg import Duration
from geometry_msgs.msg import Point, Pose, Quaternion, Vector3
from std_msgs.msg import ColorRGBA, Header
from visualization_msgs.msg import Marker, MarkerArray

from tinybev.draw.boxes import EDGES
from tinybev.geometry import box_corners
from tinybev.types import (
    DETECTION_CLASSES,
    Detections,
    Floats,
    MapClass,
    MapSegments,
    Plan,
    Trajectories,
    WeightsInfo,
)
from tinybev_ros.conversions import points_to_msg

Color = tuple[float, float, float]

LIFETIME_S = 1
"""Longer than the time between two frames of a recording at 2 Hz, or they would blink."""
GROUND_Z = 0.05
"""Lines on the ground are drawn this much above it, metres, so that a ground plane does not swallow them."""
UNTRAINED_TEXT = "UNTRAINED WEIGHTS"

CLASS_COLORS: dict[str, Color] = {
    "car": (1.0, 0.62, 0.0),
    "truck": (1.0, 0.39, 0.28),
    "construction_vehicle": (0.91, 0.59, 0.48),
    "bus": (1.0, 0.5, 0.31),
    "trailer": (1.0, 0.55, 0.0),
    "barrier": (0.44, 0.5, 0.56),
    "motorcycle": (1.0, 0.24, 0.39),
    "bicycle": (0.86, 0.08, 0.24),
    "pedestrian": (0.2, 0.4, 1.0),
    "traffic_cone": (0.0, 0.75, 0.75),
}
MAP_COLORS: dict[MapClass, Color] = {
    MapClass.DIVIDER: (1.0, 0.85, 0.2),
    MapClass.CROSSING: (0.3, 0.75, 1.0),
    MapClass.BOUNDARY: (0.95, 0.3, 0.3),
    MapClass.DRIVABLE: (0.45, 0.75, 0.45),
}
PLAN_COLOR: Color = (0.1, 0.95, 0.4)
RAW_PLAN_COLOR: Color = (0.6, 0.6, 0.6)
GOAL_COLOR: Color = (0.9, 0.2, 0.9)
WARNING_COLOR: Color = (1.0, 0.2, 0.2)


def detection_markers(detections: Detections, header: Header, weights: WeightsInfo) -> MarkerArray:
    """Wireframe boxes with a stroke from the centre to the front, and a text over each in the namespace ``labels``."""
    markers = _start(header, weights)
    for class_id, name in enumerate(DETECTION_CLASSES):
        members = np.flatnonzero(detections.class_ids == class_id)
        if len(members) == 0:
            continue
        boxes = _marker(header, f"boxes/{name}", class_id, Marker.LINE_LIST, CLASS_COLORS[name], width=0.08)
        for n in members:
            boxes.points += _box_lines(detections.centers[n], detections.sizes[n], float(detections.yaws[n]))
        markers.markers.append(boxes)
    for n in range(len(detections)):
        name = DETECTION_CLASSES[int(detections.class_ids[n])]
        x, y, z = detections.centers[n] + np.array([0.0, 0.0, detections.sizes[n][2] / 2 + 0.6])
        track = f" #{detections.track_ids[n]}" if detections.track_ids[n] else ""
        text = f"{name}{track} {detections.scores[n]:.2f}"
        markers.markers.append(_text(header, "labels", n, text, (x, y, z), CLASS_COLORS[name], height=0.6))
    return markers


def map_markers(map_segments: MapSegments, header: Header, weights: WeightsInfo) -> MarkerArray:
    """One LINE_STRIP per polyline on the ground, one namespace per map class."""
    markers = _start(header, weights)
    for n, segment in enumerate(map_segments.segments):
        name = segment.map_class.name.lower()
        line = _marker(header, f"map/{name}", n, Marker.LINE_STRIP, MAP_COLORS[segment.map_class], width=0.15)
        line.points = _line(segment.points)
        if segment.closed:
            line.points.append(line.points[0])
        markers.markers.append(line)
    return markers


def trajectory_markers(
    trajectories: Trajectories, detections: Detections, header: Header, weights: WeightsInfo
) -> MarkerArray:
    """One LINE_STRIP per agent and mode from the agent on; its opacity is the mode's probability."""
    markers = _start(header, weights)
    modes = trajectories.probabilities.shape[1] if len(trajectories) else 0
    for n in range(len(trajectories)):
        color = CLASS_COLORS[DETECTION_CLASSES[int(trajectories.class_ids[n])]]
        for k in range(modes):
            line = _marker(header, "trajectories", n * modes + k, Marker.LINE_STRIP, color, width=0.12)
            line.color.a = float(np.clip(trajectories.probabilities[n, k], 0.0, 1.0))
            line.points = _line(np.vstack([detections.centers[n, :2], trajectories.positions[n, k]]))
            markers.markers.append(line)
    return markers


def plan_markers(plan: Plan, header: Header, weights: WeightsInfo) -> MarkerArray:
    """The plan from the vehicle on, the network's own plan in grey where refinement moved it, and the goal point."""
    markers = _start(header, weights)
    origin = np.zeros((1, 2))
    line = _marker(header, "plan", 0, Marker.LINE_STRIP, PLAN_COLOR, width=0.4)
    line.points = _line(np.vstack([origin, plan.positions]))
    markers.markers.append(line)
    if not np.array_equal(plan.positions, plan.raw_positions):
        raw = _marker(header, "plan/raw", 0, Marker.LINE_STRIP, RAW_PLAN_COLOR, width=0.15)
        raw.points = _line(np.vstack([origin, plan.raw_positions]))
        markers.markers.append(raw)
    if plan.goal.point is not None:
        goal = _marker(header, "goal", 0, Marker.SPHERE, GOAL_COLOR, width=1.0)
        goal.scale = Vector3(x=1.0, y=1.0, z=1.0)
        goal.pose.position = Point(x=float(plan.goal.point[0]), y=float(plan.goal.point[1]), z=0.5)
        markers.markers.append(goal)
    return markers


def _start(header: Header, weights: WeightsInfo) -> MarkerArray:
    """An array that deletes the one before, and warns where the weights are untrained."""
    markers = [Marker(header=header, action=Marker.DELETEALL)]
    if not weights.trained:
        markers.append(_text(header, "warning", 0, UNTRAINED_TEXT, (0.0, 0.0, 3.0), WARNING_COLOR, height=1.0))
    return MarkerArray(markers=markers)


def _marker(header: Header, namespace: str, marker_id: int, kind: int, color: Color, width: float) -> Marker:
    red, green, blue = color
    return Marker(
        header=header,
        ns=namespace,
        id=marker_id,
        type=kind,
        action=Marker.ADD,
        pose=Pose(orientation=Quaternion(w=1.0)),
        scale=Vector3(x=width),
        color=ColorRGBA(r=red, g=green, b=blue, a=1.0),
        lifetime=Duration(sec=LIFETIME_S),
    )


def _text(
    header: Header,
    namespace: str,
    marker_id: int,
    text: str,
    xyz: tuple[float, float, float],
    color: Color,
    height: float,
) -> Marker:
    marker = _marker(header, namespace, marker_id, Marker.TEXT_VIEW_FACING, color, width=0.0)
    marker.pose.position = Point(x=float(xyz[0]), y=float(xyz[1]), z=float(xyz[2]))
    marker.scale = Vector3(z=height)
    marker.text = text
    return marker


def _line(points: Floats) -> list[Point]:
    return points_to_msg(points, z=GROUND_Z)


def _box_lines(center: Floats, size: Floats, yaw: float) -> list[Point]:
    """The twelve edges and the heading stroke of a box as pairs of points."""
    corners = box_corners(center, size, yaw)
    front = corners[[0, 1, 4, 5]].mean(axis=0)
    ends = [corners[end] for edge in EDGES for end in edge] + [np.asarray(center, dtype=np.float64), front]
    return points_to_msg(np.stack(ends))
