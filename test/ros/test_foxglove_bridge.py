"""The bridge with real publishers on one side and real WebSocket clients on the other, on either server library."""

from __future__ import annotations

import re
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import rclpy
from foxglove_client import PROTOCOLS, FoxgloveClient, ServerTime, wait_until
from geometry_msgs.msg import PointStamped, TransformStamped
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.publisher import Publisher
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy, qos_profile_sensor_data
from rclpy.serialization import serialize_message
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from rosgraph_msgs.msg import Clock
from std_msgs.msg import String, UInt8MultiArray
from tinybev_ros.msg import DetectedObject, DetectedObjects

from tinybev_ros.foxglove.bridge import FoxgloveBridge
from tinybev_ros.foxglove.schemas import install_prefixes, schema_text
from tinybev_ros.foxglove.server import BACKLOG
from tinybev_ros.foxglove.settings import Settings

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # foxglove-websocket's, of its own imports

RELIABLE = QoSProfile(depth=100)
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)


class World:
    """A bridge that runs, a node to publish from, and as many clients as a test wants."""

    def __init__(self, backend: str, domain: int) -> None:
        self.backend = backend
        self._closing = ExitStack()
        self._context = rclpy.Context()
        rclpy.init(context=self._context, domain_id=domain)
        self._closing.callback(self._context.try_shutdown)
        self.talker = self._node("talker", enable_rosout=False)
        self._bridge: FoxgloveBridge | None = None

    def _node(self, name: str, **options: Any) -> Node:
        node = Node(name, context=self._context, **options)
        self._closing.callback(node.destroy_node)
        return node

    def start(self, topics: tuple[str, ...] = (".*",), use_sim_time: bool = False) -> None:
        overrides = [Parameter("use_sim_time", value=use_sim_time)]
        node = self._node("bridge", parameter_overrides=overrides)
        settings = Settings("127.0.0.1", 0, self.backend, tuple(re.compile(topic) for topic in topics))
        self._bridge = FoxgloveBridge(node, settings)
        self._closing.callback(self._bridge.close)
        executor = SingleThreadedExecutor(context=self._context)
        executor.add_node(node)
        spinning = threading.Thread(target=executor.spin)
        spinning.start()
        self._closing.callback(spinning.join)
        self._closing.callback(executor.shutdown)

    def client(self, **options: Any) -> FoxgloveClient:
        assert self._bridge is not None
        return self._closing.enter_context(FoxgloveClient(self._bridge.port, PROTOCOLS[self.backend], **options))

    def wait_subscribers(self, topic: str, count: int) -> None:
        wait_until(lambda: self.talker.count_subscribers(topic) == count)

    def close(self) -> None:
        self._closing.close()


@pytest.fixture(params=sorted(PROTOCOLS))
def world(request: pytest.FixtureRequest, ros_domain: int) -> Iterator[World]:
    world = World(request.param, ros_domain)
    yield world
    world.close()


def say(publisher: Publisher[Any], message: Any) -> bytes:
    """Publishes a message and returns its bytes, exactly: serialized once, as padding need not come out alike twice."""
    serialized: bytes = serialize_message(message)
    publisher.publish(serialized)
    return serialized


def detections() -> DetectedObjects:
    message = DetectedObjects()
    message.header.frame_id = "base_link"
    message.header.stamp.sec = 7
    message.objects = [DetectedObject(class_name="car", score=0.5), DetectedObject(class_name="bus", track_id=3)]
    message.objects[1].pose.position.x = -4.25
    return message


def read_with_schema(channel: dict[str, Any], payload: bytes) -> Any:
    """The message as rosbags reads it, knowing of types only what the channel's schema says."""
    store = get_typestore(Stores.EMPTY)
    own, *others = channel["schema"].split("\n" + "=" * 80 + "\nMSG: ")
    types = get_types_from_msg(own, channel["schemaName"])
    for other in others:
        name, text = other.split("\n", 1)
        types |= get_types_from_msg(text, name.replace("/", "/msg/"))
    store.register(types)
    return store.deserialize_cdr(payload, channel["schemaName"])


def test_a_client_is_told_the_protocol_the_topics_and_the_text_of_their_types(world: World) -> None:
    world.talker.create_publisher(DetectedObjects, "/found", 10)
    world.start()
    client = world.client()
    assert client.subprotocol == PROTOCOLS[world.backend]
    assert client.server_info["name"] == "/bridge"
    assert client.server_info["capabilities"] == []
    channel = client.channel("/found")
    assert channel["encoding"] == "cdr"
    assert channel["schemaName"] == "tinybev_ros/msg/DetectedObjects"
    assert channel["schemaEncoding"] == "ros2msg"
    assert channel["schema"] == schema_text("tinybev_ros/msg/DetectedObjects", install_prefixes())


def test_ros_is_subscribed_to_only_while_a_client_is(world: World) -> None:
    publisher = world.talker.create_publisher(String, "/words", RELIABLE)
    world.start()
    first, second = world.client(), world.client()
    first.channel("/words")
    assert world.talker.count_subscribers("/words") == 0
    first.subscribe("/words", 1)
    world.wait_subscribers("/words", 1)
    second.subscribe("/words", 1)
    first.unsubscribe(1)
    sent = say(publisher, String(data="to the second alone"))
    assert second.data(1).payload == sent
    assert first.unread_data() == []
    assert world.talker.count_subscribers("/words") == 1
    second.close()
    world.wait_subscribers("/words", 0)


def test_the_bytes_are_those_of_the_publisher_and_the_schema_reads_them(world: World) -> None:
    words = world.talker.create_publisher(String, "/words", RELIABLE)
    found = world.talker.create_publisher(DetectedObjects, "/found", RELIABLE)
    world.start()
    client = world.client()
    client.subscribe("/words", 11)
    client.subscribe("/found", 12)
    world.wait_subscribers("/words", 1)
    world.wait_subscribers("/found", 1)
    before = time.time_ns()
    word_sent, seen_sent = say(words, String(data="Grüße")), say(found, detections())
    word, seen = client.data(11), client.data(12)
    assert before <= word.log_time_ns <= seen.log_time_ns <= time.time_ns()
    assert word.payload == word_sent
    assert seen.payload == seen_sent

    read = read_with_schema(client.channel("/found"), seen.payload)
    assert (read.header.stamp.sec, read.header.frame_id) == (7, "base_link")
    assert [(item.class_name, item.score, item.track_id) for item in read.objects] == [("car", 0.5, 0), ("bus", 0.0, 3)]
    assert read.objects[1].pose.position.x == -4.25


@pytest.mark.parametrize("profiles", [(qos_profile_sensor_data,), (RELIABLE, qos_profile_sensor_data, LATCHED)])
def test_publishers_of_any_quality_of_service_are_heard(world: World, profiles: tuple[QoSProfile, ...]) -> None:
    publishers = [world.talker.create_publisher(String, "/words", profile) for profile in profiles]
    world.start()
    client = world.client()
    client.subscribe("/words", 1)
    for index, publisher in enumerate(publishers):
        wait_until(lambda publisher=publisher: publisher.get_subscription_count() == 1)
        sent = say(publisher, String(data=str(index)))
        assert client.data(1).payload == sent


def test_a_publisher_of_lesser_quality_that_comes_later_is_heard_too(world: World) -> None:
    world.talker.create_publisher(String, "/words", RELIABLE)
    world.start()
    client = world.client()
    client.subscribe("/words", 1)
    world.wait_subscribers("/words", 1)
    late = world.talker.create_publisher(String, "/words", qos_profile_sensor_data)
    wait_until(lambda: _reliability(world.talker, "/words") == [ReliabilityPolicy.BEST_EFFORT])
    wait_until(lambda: late.get_subscription_count() == 1)
    sent = say(late, String(data="late"))
    assert client.data(1).payload == sent


def _reliability(node: Node, topic: str) -> list[ReliabilityPolicy]:
    return [info.qos_profile.reliability for info in node.get_subscriptions_info_by_topic(topic)]


def test_a_late_client_gets_what_every_latched_publisher_said(world: World) -> None:
    expected = set()
    for name in ("left", "right"):
        publisher = world.talker.create_publisher(TransformStamped, "/tf_like", LATCHED)
        expected.add(say(publisher, TransformStamped(child_frame_id=name)))
    world.start()
    first = world.client()
    first.subscribe("/tf_like", 1)
    assert {first.data(1).payload, first.data(1).payload} == expected
    second = world.client()
    second.subscribe("/tf_like", 5)
    assert {second.data(5).payload, second.data(5).payload} == expected


def test_the_bridge_does_not_offer_what_only_it_publishes(world: World) -> None:
    world.start()
    client = world.client()
    wait_until(lambda: world.talker.count_publishers("/rosout") == 1)  # the bridge's; the talker has none
    world.talker.create_publisher(String, "/later", 10)
    client.channel("/later")
    assert "/rosout" not in client.channels


def test_only_topics_whose_whole_name_is_allowed_are_offered(world: World) -> None:
    for topic in ("/cam/image", "/cam/image/secret", "/words"):
        world.talker.create_publisher(String, topic, 10)
    world.start(topics=("/cam/image", "/wo.*"))
    client = world.client()
    for topic in ("/cam/image", "/words"):
        client.channel(topic)
    assert set(client.channels) == {"/cam/image", "/words"}


def test_many_topics_that_appear_at_once_reach_a_client_that_is_connected(world: World) -> None:
    """More than its queue holds: the bridge must not announce them all at once."""
    world.start()
    client = world.client()
    topics = {f"/sensor_{index}" for index in range(BACKLOG + 16)}
    for topic in topics:
        world.talker.create_publisher(String, topic, 1)
    for topic in topics:
        client.channel(topic)


def test_a_topic_that_ends_is_withdrawn_and_offered_again_when_it_returns(world: World) -> None:
    publisher = world.talker.create_publisher(String, "/words", 10)
    world.start()
    client = world.client()
    client.subscribe("/words", 1)
    world.wait_subscribers("/words", 1)
    gone = client.channel("/words")["id"]
    world.talker.destroy_publisher(publisher)
    client.wait_unadvertised("/words")
    world.wait_subscribers("/words", 0)
    again = world.talker.create_publisher(String, "/words", 10)
    assert client.channel("/words")["id"] != gone
    client.subscribe("/words", 2)
    wait_until(lambda: again.get_subscription_count() == 1)
    sent = say(again, String(data="back"))
    assert client.data(2).payload == sent


def test_a_type_that_is_not_installed_is_left_out_and_the_others_work(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    definitions = tmp_path / "share" / "std_msgs" / "msg"
    definitions.mkdir(parents=True)
    (definitions / "String.msg").write_text("string data\n")
    monkeypatch.setattr("tinybev_ros.foxglove.bridge.install_prefixes", lambda: [tmp_path])
    world.talker.create_publisher(PointStamped, "/a_point", 10)
    world.talker.create_publisher(String, "/words", 10)
    world.start()
    client = world.client()
    assert client.channel("/words")["schema"] == "string data\n"
    assert "/a_point" not in client.channels


@pytest.mark.parametrize(
    "request_",
    [
        {
            "op": "advertise",
            "channels": [{"id": 1, "topic": "/cmd", "encoding": "cdr", "schemaName": "std_msgs/String"}],
        },
        {"op": "getParameters", "parameterNames": [], "id": "1"},
        {"op": "setParameters", "parameters": [{"name": "host", "value": "0.0.0.0"}], "id": "1"},
        {"op": "fetchAsset", "uri": "package://tinybev_ros/package.xml", "requestId": 1},
        struct.pack("<BI", 1, 1) + serialize_message(String(data="go")),
        struct.pack("<BIII", 2, 1, 1, 0),
    ],
    ids=["publish", "get-parameters", "set-parameters", "asset", "message", "service"],
)
def test_what_would_write_is_refused_and_the_connection_stays(world: World, request_: Any) -> None:
    publisher = world.talker.create_publisher(String, "/words", RELIABLE)
    world.start()
    client = world.client()
    client.send(request_)
    assert client.error()
    assert world.talker.count_publishers("/cmd") == 0
    client.subscribe("/words", 1)
    world.wait_subscribers("/words", 1)
    sent = say(publisher, String(data="still here"))
    assert client.data(1).payload == sent


def test_simulated_time_is_told_and_stamps_the_messages(world: World) -> None:
    clock = world.talker.create_publisher(Clock, "/clock", 10)
    words = world.talker.create_publisher(String, "/words", RELIABLE)
    world.start(use_sim_time=True)
    client = world.client()
    assert client.server_info["capabilities"] == ["time"]
    client.subscribe("/words", 1)
    world.wait_subscribers("/words", 1)
    now = Clock()
    now.clock.sec, now.clock.nanosec = 1_532_402_927, 647_951_000
    wait_until(lambda: clock.get_subscription_count() == 2)  # the clock of the bridge's node, and what it tells clients

    def stamped_with_it() -> bool:
        clock.publish(now)
        words.publish(String(data="tick"))
        return client.data(1).log_time_ns == 1_532_402_927_647_951_000

    wait_until(stamped_with_it)
    assert client.wait(lambda m: m.time_ns if isinstance(m, ServerTime) else None) == 1_532_402_927_647_951_000


def test_a_client_that_does_not_read_loses_the_oldest_and_holds_up_nobody(world: World) -> None:
    count, size = 300, 200_000
    publisher = world.talker.create_publisher(UInt8MultiArray, "/large", RELIABLE)
    world.start()
    reader, sleeper = world.client(), world.client(max_queue=1)
    for client in (reader, sleeper):
        client.subscribe("/large", 1)
    world.wait_subscribers("/large", 1)
    for index in range(count):
        publisher.publish(serialize_message(UInt8MultiArray(data=_numbered(index, size))))
        assert _number(reader.data(1).payload) == index
    received = [_number(sleeper.data(1).payload)]
    while received[-1] != count - 1:
        received.append(_number(sleeper.data(1).payload))
    assert received == sorted(received)
    assert len(received) < count - 50


def _numbered(index: int, size: int) -> bytes:
    return index.to_bytes(4, "little") + bytes(size - 4)


def _number(payload: bytes) -> int:
    """The number at the start of a UInt8MultiArray without dimensions: after header, layout and length."""
    return int.from_bytes(payload[16:20], "little")
