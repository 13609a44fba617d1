"""What ``tinybev run`` reads of a bag besides images is taken as the node takes it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from geometry_msgs.msg import PoseStamped, TransformStamped
from nav_msgs.msg import Odometry
from rclpy.serialization import serialize_message
from sensor_msgs.msg import CompressedImage
from tf2_msgs.msg import TFMessage

from tinybev.config import NodeConfig
from tinybev_ros.bag import BagMessage
from tinybev_ros.bag_frames import BagFrames
from tinybev_ros.complaints import Complaints
from tinybev_ros.conversions import header_to_msg
from tinybev_ros.topics import ODOMETRY, TF_STATIC, camera_image_topic

START_NS = 1_600_000_000_000_000_000


class Messages:
    """What reads like a bag, of given messages."""

    path = Path("made")
    end_ns = START_NS
    topics = frozenset({camera_image_topic("CAM_FRONT")})

    def __init__(self, *messages: tuple[str, object]) -> None:
        self._messages = [BagMessage(topic, START_NS, bytes(serialize_message(each))) for topic, each in messages]

    def messages(self, topics: Sequence[str]) -> Iterator[BagMessage]:
        return (message for message in self._messages if message.topic in topics)


def test_a_bad_message_is_told_and_what_is_good_of_it_is_used() -> None:
    odometry = Odometry(header=header_to_msg(START_NS, "odom"), child_frame_id="base_link")
    odometry.twist.twist.linear.x = math.nan
    good, broken = (TransformStamped(header=header_to_msg(0, "/base_link"), child_frame_id=name) for name in ("a", "b"))
    broken.transform.rotation.w = 0.0
    said: list[str] = []
    source = Messages((ODOMETRY, odometry), (TF_STATIC, TFMessage(transforms=[broken, good])))
    frames = BagFrames(source, NodeConfig(), Complaints(said.append))
    assert list(frames) == []
    assert [sentence.partition(":")[0] for sentence in said] == ["odometry twist", "transform base_link -> b"]
    assert frames._transforms.connected("base_link", "a")
    assert frames._ego.poses([START_NS], wait_s=0.0).frame == "odom"
    assert frames._ego.status(START_NS) is None


def test_inputs_are_read_from_the_topics_that_the_parameters_name() -> None:
    config = NodeConfig.from_values(
        {"image_topic": "a,b,c,d,e,f", "odometry_topic": "motion/odom", "goal_topic": "/go"}
    )
    odometry = Odometry(header=header_to_msg(START_NS, "odom"), child_frame_id="base_link")
    goal = PoseStamped(header=header_to_msg(START_NS, "odom"))
    goal.pose.position.x, goal.pose.orientation.w = 9.0, 1.0
    source = Messages(("/motion/odom", odometry), (ODOMETRY, odometry), ("/go", goal))
    source.topics = frozenset({"/c"})
    frames = BagFrames(source, config, Complaints(print))
    assert list(frames) == []
    poses = frames._ego.poses([START_NS], wait_s=0.0)
    assert frames._goal.at(START_NS, poses.frame, poses.by_stamp[START_NS], "auto").point == (9.0, 0.0)


def test_a_damaged_message_is_told_and_the_rest_of_the_bag_is_read() -> None:
    front = camera_image_topic("CAM_FRONT")
    odometry = Odometry(header=header_to_msg(START_NS, "odom"), child_frame_id="base_link")
    image = CompressedImage(header=header_to_msg(START_NS, "cam_front"), format="jpeg", data=b"picture")
    source = Messages((ODOMETRY, odometry), (front, image), (ODOMETRY, odometry), (front, image))
    source._messages[:2] = [replace(message, data=message.data[:20]) for message in source._messages[:2]]
    said: list[str] = []
    frames = BagFrames(source, NodeConfig(), Complaints(said.append))
    assert len(list(frames)) == frames.images == frames.used == 1
    damaged = [sentence for sentence in said if " message: " in sentence]
    for topic, sentence in zip((ODOMETRY, front), damaged, strict=True):
        assert sentence.startswith(f"{topic} message: expected one that can be deserialized, got ")
        assert sentence.endswith("; it is skipped.")
    assert frames._ego.poses([START_NS], wait_s=0.0).frame == "odom"
