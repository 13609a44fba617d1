"""ROS messages of one reading, one pose, one keyframe, one map: the only place that fills their fields.

They are the ``rosbags`` library's message classes, so a bag is written without any ROS installation. Their layout is
Humble's, which is the same in Jazzy and Kilted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from rosbags.typesys.stores.ros2_humble import (
    builtin_interfaces__msg__Duration as Duration,
)
from rosbags.typesys.stores.ros2_humble import (
    builtin_interfaces__msg__Time as Time,
)
from rosbags.typesys.stores.ros2_humble import (
    geometry_msgs__msg__Point as Point,
)
from rosbags.typesys.stores.ros2_humble import (
    geometry_msgs__msg__Pose as Pose,
)
from rosbags.typesys.stores.ros2_humble import (
    geometry_msgs__msg__PoseWithCovariance as PoseWithCovariance,
)
from rosbags.typesys.stores.ros2_humble import (
    geometry_msgs__msg__Quaternion as Quaternion,
)
from rosbags.typesys.stores.ros2_humble import (
    geometry_msgs__msg__Transform as Transform,
)
from rosbags.typesys.stores.ros2_humble import (
    geometry_msgs__msg__TransformStamped as TransformStamped,
)
from rosbags.typesys.stores.ros2_humble import (
    geometry_msgs__msg__Twist as Twist,
)
from rosbags.typesys.stores.ros2_humble import (
    geometry_msgs__msg__TwistWithCovariance as TwistWithCovariance,
)
from rosbags.typesys.stores.ros2_humble import (
    geometry_msgs__msg__Vector3 as Vector3,
)
from rosbags.typesys.stores.ros2_humble import (
    nav_msgs__msg__MapMetaData as MapMetaData,
)
from rosbags.typesys.stores.ros2_humble import (
    nav_msgs__msg__OccupancyGrid as OccupancyGrid,
)
from rosbags.typesys.stores.ros2_humble import (
    nav_msgs__msg__Odometry as Odometry,
)
from rosbags.typesys.stores.ros2_humble import (
    sensor_msgs__msg__CameraInfo as CameraInfo,
)
from rosbags.typesys.stores.ros2_humble import (
    sensor_msgs__msg__CompressedImage as CompressedImage,
)
from rosbags.typesys.stores.ros2_humble import (
    sensor_msgs__msg__PointCloud2 as PointCloud2,
)
from rosbags.typesys.stores.ros2_humble import (
    sensor_msgs__msg__PointField as PointField,
)
from rosbags.typesys.stores.ros2_humble import (
    sensor_msgs__msg__RegionOfInterest as RegionOfInterest,
)
from rosbags.typesys.stores.ros2_humble import (
    std_msgs__msg__ColorRGBA as ColorRGBA,
)
from rosbags.typesys.stores.ros2_humble import (
    std_msgs__msg__Header as Header,
)
from rosbags.typesys.stores.ros2_humble import (
    tf2_msgs__msg__TFMessage as TFMessage,
)
from rosbags.typesys.stores.ros2_humble import (
    visualization_msgs__msg__Marker as Marker,
)
from rosbags.typesys.stores.ros2_humble import (
    visualization_msgs__msg__MarkerArray as MarkerArray,
)
from rosbags.typesys.stores.ros2_humble import (
    visualization_msgs__msg__MeshFile as MeshFile,
)

from tinybev.geometry import Array, quaternion_from_rotation
from tinybev_ros.nuscenes_map import DrivableArea
from tinybev_ros.topics import BASE_FRAME, MAP_FRAME, sensor_frame

NS_PER_S = 1_000_000_000
LIDAR_FIELDS = ("x", "y", "z", "intensity", "ring")
LIDAR_POINT_BYTES = 4 * len(LIDAR_FIELDS)
ANNOTATION_LIFETIME_NS = 600_000_000  # keyframes are 0.4 to 0.6 s apart
ANNOTATION_OPACITY = 0.5
FREE, OCCUPIED = 0, 100


@dataclass(frozen=True)
class Annotation:
    """A labelled box of a keyframe.

    Attributes:
        instance_id: the same in all keyframes of a scene for one object, from 1.
        instance_token: nuScenes' token of the object.
        category: nuScenes' category, e.g. ``vehicle.car``.
        color: (red, green, blue), 0 to 1.
        map_T_box: (4, 4) pose of the centre; x points along the length.
        size: (length, width, height), metres.
    """

    instance_id: int
    instance_token: str
    category: str
    color: tuple[float, float, float]
    map_T_box: Array
    size: tuple[float, float, float]


def header(stamp_ns: int, frame: str) -> Header:
    """A header; the stamp is split into seconds and nanoseconds."""
    return Header(stamp=Time(sec=stamp_ns // NS_PER_S, nanosec=stamp_ns % NS_PER_S), frame_id=frame)


def compressed_image(stamp_ns: int, channel: str, jpeg: bytes) -> CompressedImage:
    """The bytes of a JPEG file as they are."""
    return CompressedImage(header(stamp_ns, sensor_frame(channel)), "jpeg", np.frombuffer(jpeg, dtype=np.uint8))


def camera_info(stamp_ns: int, channel: str, intrinsics: Array, image_size: tuple[int, int]) -> CameraInfo:
    """The calibration of an undistorted, rectified image: no distortion, R the identity, P = [K | 0].

    Args:
        intrinsics: (3, 3) pinhole matrix of the full-size image.
        image_size: (height, width), pixels.
    """
    height, width = image_size
    return CameraInfo(
        header=header(stamp_ns, sensor_frame(channel)),
        height=height,
        width=width,
        distortion_model="plumb_bob",
        d=np.zeros(5),
        k=intrinsics.reshape(9),
        r=np.eye(3).reshape(9),
        p=np.hstack([intrinsics, np.zeros((3, 1))]).reshape(12),
        binning_x=0,
        binning_y=0,
        roi=RegionOfInterest(x_offset=0, y_offset=0, height=0, width=0, do_rectify=False),
    )


def point_cloud(stamp_ns: int, channel: str, points: bytes) -> PointCloud2:
    """The points of a nuScenes lidar file as they are: float32 x, y, z (metres, sensor frame), intensity, ring.

    Raises:
        ValueError: the file does not hold whole points.
    """
    count, rest = divmod(len(points), LIDAR_POINT_BYTES)
    if rest:
        raise ValueError(f"expected a multiple of {LIDAR_POINT_BYTES} bytes, got {len(points)}")
    return PointCloud2(
        header=header(stamp_ns, sensor_frame(channel)),
        height=1,
        width=count,
        fields=[
            PointField(name=name, offset=4 * index, datatype=PointField.FLOAT32, count=1)
            for index, name in enumerate(LIDAR_FIELDS)
        ],
        is_bigendian=False,
        point_step=LIDAR_POINT_BYTES,
        row_step=len(points),
        data=np.frombuffer(points, dtype=np.uint8),
        is_dense=True,
    )


def ego_transform(stamp_ns: int, map_T_base: Array) -> TFMessage:
    """The transform map -> base_link at one stamp."""
    return TFMessage([_stamped(stamp_ns, MAP_FRAME, BASE_FRAME, map_T_base)])


def static_transforms(stamp_ns: int, base_T_sensors: Mapping[str, Array]) -> TFMessage:
    """The transforms base_link -> sensor, by channel."""
    return TFMessage(
        [
            _stamped(stamp_ns, BASE_FRAME, sensor_frame(channel), base_T_sensor)
            for channel, base_T_sensor in base_T_sensors.items()
        ]
    )


def odometry(stamp_ns: int, map_T_base: Array, linear: Array, angular: Array) -> Odometry:
    """The pose of base_link in the map, and its twist (3,) m/s and (3,) rad/s along the axes of base_link.

    The covariances are zero, which is how ROS says unknown.
    """
    return Odometry(
        header=header(stamp_ns, MAP_FRAME),
        child_frame_id=BASE_FRAME,
        pose=PoseWithCovariance(_pose(map_T_base), np.zeros(36)),
        twist=TwistWithCovariance(Twist(_vector(linear), _vector(angular)), np.zeros(36)),
    )


def annotation_markers(stamp_ns: int, annotations: Iterable[Annotation]) -> MarkerArray:
    """One cube per annotation, in the map; ``ns`` is the category, ``id`` the instance, ``text`` its token."""
    cubes: list[Any] = [_cube(stamp_ns, annotation) for annotation in annotations]  # the library types it too narrowly
    return MarkerArray(cubes)


def drivable_area_grid(stamp_ns: int, area: DrivableArea) -> OccupancyGrid:
    """The drivable area in the map: 0 where one may drive, 100 elsewhere."""
    rows, columns = area.drivable.shape
    stamped = header(stamp_ns, MAP_FRAME)
    x, y = area.origin
    return OccupancyGrid(
        header=stamped,
        info=MapMetaData(
            map_load_time=stamped.stamp,
            resolution=area.resolution,
            width=columns,
            height=rows,
            origin=Pose(Point(x, y, 0.0), Quaternion(0.0, 0.0, 0.0, 1.0)),
        ),
        data=np.where(area.drivable, FREE, OCCUPIED).astype(np.int8).reshape(-1),
    )


def _cube(stamp_ns: int, annotation: Annotation) -> Marker:
    nothing = header(0, "")
    seconds, nanoseconds = divmod(ANNOTATION_LIFETIME_NS, NS_PER_S)
    return Marker(
        header=header(stamp_ns, MAP_FRAME),
        ns=annotation.category,
        id=annotation.instance_id,
        type=Marker.CUBE,
        action=Marker.ADD,
        pose=_pose(annotation.map_T_box),
        scale=Vector3(*annotation.size),
        color=ColorRGBA(*annotation.color, ANNOTATION_OPACITY),
        lifetime=Duration(sec=seconds, nanosec=nanoseconds),
        frame_locked=False,
        points=[],
        colors=[],
        texture_resource="",
        texture=CompressedImage(nothing, "", np.zeros(0, dtype=np.uint8)),
        uv_coordinates=[],
        text=annotation.instance_token,
        mesh_resource="",
        mesh_file=MeshFile("", np.zeros(0, dtype=np.uint8)),
        mesh_use_embedded_materials=False,
    )


def _stamped(stamp_ns: int, parent: str, child: str, parent_T_child: Array) -> TransformStamped:
    transform = Transform(_vector(parent_T_child[:3, 3]), _quaternion(parent_T_child))
    return TransformStamped(header(stamp_ns, parent), child, transform)


def _pose(parent_T_child: Array) -> Pose:
    x, y, z = (float(value) for value in parent_T_child[:3, 3])
    return Pose(Point(x, y, z), _quaternion(parent_T_child))


def _vector(values: Array) -> Vector3:
    x, y, z = (float(value) for value in values)
    return Vector3(x, y, z)


def _quaternion(transform: Array) -> Quaternion:
    x, y, z, w = (float(value) for value in quaternion_from_rotation(transform[:3, :3]))
    return Quaternion(x, y, z, w)
