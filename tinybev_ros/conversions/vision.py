"""Boxes as vision_msgs/Detection3DArray, for those who read the standard; needs the package vision_msgs."""

from __future__ import annotations

from geometry_msgs.msg import PoseWithCovariance, Vector3
from std_msgs.msg import Header
from vision_msgs.msg import BoundingBox3D, Detection3D, Detection3DArray, ObjectHypothesis, ObjectHypothesisWithPose

from tinybev.types import DETECTION_CLASSES, Detections
from tinybev_ros.conversions.geometry import pose_to_msg


def detections_to_vision_msg(detections: Detections, header: Header) -> Detection3DArray:
    """Boxes with the class's name as ``class_id`` and the track's id as ``id``; velocities and attributes are lost."""
    array = Detection3DArray(header=header)
    for n in range(len(detections)):
        pose = pose_to_msg(detections.centers[n], float(detections.yaws[n]))
        length, width, height = (float(value) for value in detections.sizes[n])
        hypothesis = ObjectHypothesis(
            class_id=DETECTION_CLASSES[int(detections.class_ids[n])], score=float(detections.scores[n])
        )
        array.detections.append(
            Detection3D(
                header=header,
                results=[ObjectHypothesisWithPose(hypothesis=hypothesis, pose=PoseWithCovariance(pose=pose))],
                bbox=BoundingBox3D(center=pose, size=Vector3(x=length, y=width, z=height)),
                id=str(int(detections.track_ids[n])) if detections.track_ids[n] else "",
            )
        )
    return array
