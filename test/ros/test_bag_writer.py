"""Recording what ROS 2 serialized: the bag carries our own types' definitions, as ROS 2 itself has them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from rclpy.serialization import serialize_message
from rosbags.highlevel import AnyReader
from tinybev_ros.msg import DetectedObject, DetectedObjects

from tinybev.errors import UserError
from tinybev_ros.bag_writer import BagFormat, writing_bag
from tinybev_ros.foxglove.schemas import install_prefixes

DETECTIONS = "tinybev_ros/msg/DetectedObjects"


def test_a_message_of_ours_can_be_read_without_ros(tmp_path: Path) -> None:
    message = DetectedObjects(objects=[DetectedObject(track_id=7, class_name="car", score=0.5)])
    message.header.frame_id = "base_link"
    with writing_bag(tmp_path / "bag", BagFormat()) as bag:
        for stamp_ns in (5, 6):
            bag.write_serialized("/detections", DETECTIONS, stamp_ns, serialize_message(message))
        assert bag.counts == {"/detections": 2}
    with AnyReader([tmp_path / "bag"]) as reader:
        (connection,) = reader.connections
        read = [(stamp_ns, reader.deserialize(data, DETECTIONS)) for _, stamp_ns, data in reader.messages()]
    assert [stamp_ns for stamp_ns, _ in read] == [5, 6]
    content = read[0][1]
    assert content.header.frame_id == "base_link"
    assert [(one.track_id, one.class_name, one.score) for one in content.objects] == [(7, "car", 0.5)]
    described = next(
        path
        for path in (prefix / "share/tinybev_ros/msg/DetectedObjects.json" for prefix in install_prefixes())
        if path.is_file()
    )
    hashes = {entry["type_name"]: entry["hash_string"] for entry in json.loads(described.read_text())["type_hashes"]}
    assert connection.digest == hashes[DETECTIONS]


def test_a_type_that_is_not_installed_is_refused_and_leaves_no_bag(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nowhere_msgs"), writing_bag(tmp_path / "bag", BagFormat()) as bag:
        bag.write_serialized("/a", "nowhere_msgs/msg/Unheard", 1, b"")
    assert list(tmp_path.iterdir()) == []
