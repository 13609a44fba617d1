"""Messages <-> tinybev's types: pure functions, one pair a message; nothing else knows both sides.

``x_to_msg`` makes a message, ``msg_to_x`` takes one apart. Numeric arrays are assigned as ``array.array``, which rclpy
takes as it is instead of checking every element. Messages hold float32 where the types hold float64: a round trip is
exact to that.
"""

from tinybev_ros.conversions.camera import (
    compressed_msg_to_image,
    intrinsics_to_msg,
    msg_to_intrinsics,
    raw_msg_to_image,
)
from tinybev_ros.conversions.geometry import (
    header_to_msg,
    msg_to_frame_id,
    msg_to_points,
    msg_to_pose,
    msg_to_stamp,
    msg_to_transform,
    points_to_msg,
    pose_to_msg,
    stamp_to_msg,
    transform_stamped_to_msg,
    transform_to_msg,
    yaw_from_msg,
)
from tinybev_ros.conversions.map import map_segments_to_msg, msg_to_map_segments
from tinybev_ros.conversions.objects import (
    detections_to_msg,
    model_info_to_msg,
    msg_to_detections,
    msg_to_model_info,
    msg_to_trajectories,
    trajectories_to_msg,
)
from tinybev_ros.conversions.occupancy import (
    forecast_to_msg,
    grid_to_msg,
    msg_to_forecast,
    msg_to_grid,
    msg_to_occupancy,
    occupancy_to_msg,
    tracks_to_instances,
)
from tinybev_ros.conversions.planning import msg_to_path, msg_to_plan, path_to_msg, plan_to_msg

__all__ = [
    "compressed_msg_to_image",
    "detections_to_msg",
    "forecast_to_msg",
    "grid_to_msg",
    "header_to_msg",
    "intrinsics_to_msg",
    "map_segments_to_msg",
    "model_info_to_msg",
    "msg_to_detections",
    "msg_to_forecast",
    "msg_to_frame_id",
    "msg_to_grid",
    "msg_to_intrinsics",
    "msg_to_map_segments",
    "msg_to_model_info",
    "msg_to_occupancy",
    "msg_to_path",
    "msg_to_plan",
    "msg_to_points",
    "msg_to_pose",
    "msg_to_stamp",
    "msg_to_trajectories",
    "msg_to_transform",
    "occupancy_to_msg",
    "path_to_msg",
    "plan_to_msg",
    "points_to_msg",
    "pose_to_msg",
    "raw_msg_to_image",
    "stamp_to_msg",
    "tracks_to_instances",
    "trajectories_to_msg",
    "transform_stamped_to_msg",
    "transform_to_msg",
    "yaw_from_msg",
]
