"""Names of the node, of topics and frames that bags, node and viewers share, and the viewers' port."""

from __future__ import annotations

NODE = "tinybev"
"""The node, where nobody names it otherwise; its topics lie under it."""

MAP_FRAME = "map"
BASE_FRAME = "base_link"

TF = "/tf"
TF_STATIC = "/tf_static"
CLOCK = "/clock"
ODOMETRY = "/odom"
LIDAR = "/lidar_top"
ANNOTATIONS = "/markers/annotations"
DRIVABLE_AREA = "/drivable_area"

ABOUT_NODES = ("/diagnostics", "/rosout", "/parameter_events")
"""What nodes say of themselves. Played again, it would be taken for what the nodes of today say."""
FOXGLOVE_PORT = 8765

LATCHED_TOPICS = frozenset({TF_STATIC, DRIVABLE_AREA})
"""Said once and kept for late subscribers: offered as transient local."""


def absolute_name(topic: str, node: str) -> str:
    """The whole name of a topic for a node of a whole name: of ``odom`` for ``/car1/tinybev``, ``/car1/odom``."""
    if topic.startswith("/"):
        return topic
    if topic.startswith("~"):
        return node + topic[1:]
    return f"{node.rpartition('/')[0]}/{topic}"


def sensor_frame(channel: str) -> str:
    """The frame of a sensor by nuScenes' channel: ``CAM_FRONT`` -> ``cam_front``; a camera's is its optical frame."""
    return channel.lower()


def camera_frame(camera: str) -> str:
    """The optical frame of a camera: ``CAM_FRONT`` -> ``cam_front``."""
    return sensor_frame(camera)


def camera_image_topic(camera: str) -> str:
    """The compressed, rectified pictures of a camera (``sensor_msgs/CompressedImage``)."""
    return f"/{camera.lower()}/image_rect_compressed"


def camera_info_topic(camera: str) -> str:
    """The calibration of a camera (``sensor_msgs/CameraInfo``)."""
    return f"/{camera.lower()}/camera_info"
