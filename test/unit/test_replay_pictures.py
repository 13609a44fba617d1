"""Pictures of a replay whose recording holds what cannot be used: they are drawn with the rest, as the node ran."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from geometry_msgs.msg import TransformStamped
from rclpy.serialization import serialize_message
from sensor_msgs.msg import CameraInfo, CompressedImage
from tf2_msgs.msg import TFMessage
from visualization_msgs.msg import Marker, MarkerArray

from tinybev.draw.mosaic import draw_mosaic
from tinybev.draw.overlay import Overlay
from tinybev.types import Detections, Frame, WeightsInfo
from tinybev_ros import replay_pictures, topics
from tinybev_ros.bag_writer import BagFormat, writing_bag
from tinybev_ros.conversions import detections_to_msg, header_to_msg, intrinsics_to_msg
from tinybev_ros.replay_pictures import draw_replay

STAMP_NS = 1_600_000_000_000_000_000
INTRINSICS = np.array([[126.0, 0.0, 80.0], [0.0, 126.0, 45.0], [0.0, 0.0, 1.0]])
DAMAGED = f"{topics.camera_image_topic('CAM_BACK')} message"
WEIGHTS = WeightsInfo("tinybev", "nuScenes trainval", "0" * 64)


def transform(parent: str, child: str, w: float = 1.0) -> TransformStamped:
    stamped = TransformStamped(header=header_to_msg(STAMP_NS, parent), child_frame_id=child)
    stamped.transform.rotation.w = w
    return stamped


def marker(number: int, w: float) -> Marker:
    cube = Marker(header=header_to_msg(STAMP_NS, "map"), id=number, type=Marker.CUBE)
    cube.pose.orientation.w = w
    cube.scale.x = cube.scale.y = cube.scale.z = 2.0
    return cube


def write(path: Path, messages: list[tuple[str, str, Any]]) -> Path:
    with writing_bag(path, BagFormat()) as bag:
        for topic, type_name, message in messages:
            data = message if isinstance(message, bytes) else bytes(serialize_message(message))
            bag.write_serialized(topic, type_name, STAMP_NS, data)
    return path


def recording(path: Path) -> Path:
    """One picture of one camera with leading slashes and a frame of its own name, among messages of no use."""
    camera = "CAM_FRONT"
    image = CompressedImage(header=header_to_msg(STAMP_NS, "/front_optical"), format="jpeg")
    image.data = cv2.imencode(".jpg", np.full((90, 160, 3), 128, dtype=np.uint8))[1].tobytes()
    info = intrinsics_to_msg(INTRINSICS, (90, 160), image.header)
    broken, mounting = transform("base_link", "rear", w=0.0), transform("/base_link", "/front_optical")
    return write(
        path,
        [
            (topics.TF_STATIC, "tf2_msgs/msg/TFMessage", TFMessage(transforms=[broken, mounting])),
            (topics.TF, "tf2_msgs/msg/TFMessage", TFMessage(transforms=[transform("/map", "/base_link")])),
            (topics.camera_info_topic(camera), "sensor_msgs/msg/CameraInfo", info),
            (topics.camera_info_topic(camera), "sensor_msgs/msg/CameraInfo", CameraInfo()),
            (topics.camera_image_topic(camera), "sensor_msgs/msg/CompressedImage", image),
            (
                topics.camera_image_topic("CAM_BACK"),
                "sensor_msgs/msg/CompressedImage",
                bytes(serialize_message(image))[:60],
            ),
            (
                topics.ANNOTATIONS,
                "visualization_msgs/msg/MarkerArray",
                MarkerArray(markers=[marker(1, w=0.0), marker(2, w=1.0)]),
            ),
        ],
    )


def answers(path: Path) -> Path:
    """What the node said of it: nothing seen."""
    nothing = Detections(
        centers=np.zeros((0, 3)),
        sizes=np.zeros((0, 3)),
        yaws=np.zeros(0),
        velocities=np.zeros((0, 2)),
        scores=np.zeros(0),
        class_ids=np.zeros(0, dtype=np.int64),
        attribute_ids=np.zeros(0, dtype=np.int64),
        track_ids=np.zeros(0, dtype=np.int64),
    )
    message = detections_to_msg(nothing, header_to_msg(STAMP_NS, "base_link"), WEIGHTS)
    return write(path, [("/tinybev/detections", "tinybev_ros/msg/DetectedObjects", message)])


def test_messages_that_cannot_be_used_are_left_out_and_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    drawn: list[tuple[Frame, Overlay]] = []

    def drawing(frame: Frame, overlay: Overlay) -> Any:
        drawn.append((frame, overlay))
        return draw_mosaic(frame, overlay)

    monkeypatch.setattr(replay_pictures, "draw_mosaic", drawing)
    pictures = draw_replay(recording(tmp_path / "in"), answers(tmp_path / "out"), "tinybev", tmp_path)
    assert pictures.video is not None
    assert pictures.video.is_file()
    ((frame, overlay),) = drawn
    assert list(frame.images) == ["CAM_FRONT"]
    np.testing.assert_allclose(frame.images["CAM_FRONT"].base_T_camera, np.eye(4))
    np.testing.assert_allclose(frame.images["CAM_FRONT"].intrinsics, INTRINSICS)
    assert frame.map_T_base is not None
    assert overlay.truth is not None
    assert overlay.truth.track_ids.tolist() == [2]
    told = [line.split(": ")[1] for line in capsys.readouterr().err.splitlines() if line.startswith("pictures: ")]
    for subject in ("transform base_link -> rear", "CAM_FRONT calibration", "annotation 1", DAMAGED):
        assert told.count(subject) == 1
