"""Messages of odometry -> the vehicle's poses and motion; what of one cannot be used is left out with a sentence."""

from __future__ import annotations

from nav_msgs.msg import Odometry

from tinybev_ros.complaints import Complaints
from tinybev_ros.conversions import msg_to_frame_id, msg_to_pose, msg_to_stamp
from tinybev_ros.ego import EgoTracker

ODOMETRY_SUBJECT, TWIST_SUBJECT = "odometry", "odometry twist"
FRAME_SUBJECT, CHILD_FRAME_SUBJECT = "odometry frame_id", "odometry child_frame_id"


def take_odometry(message: Odometry, ego: EgoTracker, base_frame: str, complaints: Complaints) -> None:
    """Adds one message; one whose pose is no pose is ignored, of one whose twist is no motion the pose is kept."""
    _check_frames(message, base_frame, complaints)
    try:
        odom_T_base = msg_to_pose(message.pose.pose)
    except ValueError as error:
        complaints.raise_about(ODOMETRY_SUBJECT, f"{error}; it is ignored.")
        return
    complaints.settle(ODOMETRY_SUBJECT)
    speed_mps, yaw_rate_rps = message.twist.twist.linear.x, message.twist.twist.angular.z
    stamp_ns = msg_to_stamp(message.header.stamp)
    if ego.add_odometry(msg_to_frame_id(message.header), stamp_ns, odom_T_base, speed_mps, yaw_rate_rps):
        complaints.settle(TWIST_SUBJECT)
    else:
        complaints.raise_about(
            TWIST_SUBJECT,
            f"expected a finite speed and yaw rate, got {speed_mps} m/s and {yaw_rate_rps} rad/s; "
            "its pose is used without them, correct its publisher.",
        )


def _check_frames(message: Odometry, base_frame: str, complaints: Complaints) -> None:
    if msg_to_frame_id(message.header):
        complaints.settle(FRAME_SUBJECT)
    else:
        complaints.raise_about(
            FRAME_SUBJECT, "expected the frame of its poses, such as odom, got none; they are not used, name the frame."
        )
    child = message.child_frame_id.lstrip("/")
    if child in ("", base_frame):
        complaints.settle(CHILD_FRAME_SUBJECT)
    else:
        complaints.raise_about(
            CHILD_FRAME_SUBJECT,
            f"expected {base_frame}, got {child}, whose pose and motion are taken for those of {base_frame}; "
            "correct its publisher, or the parameter base_frame.",
        )
