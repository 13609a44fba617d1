"""The real player process into real subscribers: what arrives is what the bag holds."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import rclpy
from rclpy.context import Context
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSDurabilityPolicy, QoSProfile, QoSReliabilityPolicy
from rclpy.signals import SignalHandlerOptions
from rosgraph_msgs.msg import Clock
from small_bag import START_NS, STRING, TYPESTORE, UNHEARD_OF, qos, string_cdr, write_bag
from tiny_nuscenes import SCENES, VERSION, write_tiny_nuscenes

from tinybev_ros.bag import BagMessage, open_bag
from tinybev_ros.bag_writer import STORAGES, BagFormat
from tinybev_ros.nuscenes2bag import convert_scene
from tinybev_ros.nuscenes_dataset import open_dataset
from tinybev_ros.recorded_topic import message_class

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 60.0
SUBSCRIBER_QOS = QoSProfile(depth=1000)
LATCHED_QOS = QoSProfile(depth=10, durability=QoSDurabilityPolicy.TRANSIENT_LOCAL)


class Listener:
    """A node that keeps every message it receives, as bytes, by topic."""

    def __init__(self) -> None:
        self._context = Context()
        rclpy.init(args=[], context=self._context, signal_handler_options=SignalHandlerOptions.NO)
        self.node = Node("listener", context=self._context)
        self.received: dict[str, list[bytes]] = defaultdict(list)
        self.clock: list[int] = []
        self._changed = threading.Condition()
        self.node.create_subscription(Clock, "/clock", self._on_clock, SUBSCRIBER_QOS)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self.node)
        self._thread = threading.Thread(target=self._spin)
        self._thread.start()

    def subscribe(self, topic: str, type_name: str, profile: QoSProfile = SUBSCRIBER_QOS) -> None:
        def keep(data: bytes) -> None:
            with self._changed:
                self.received[topic].append(data)
                self._changed.notify_all()

        kind = message_class(type_name)
        assert kind is not None
        self.node.create_subscription(kind, topic, keep, profile, raw=True)

    def wait_until(self, condition: Callable[[], bool]) -> None:
        """Waits for messages until the condition holds; fails the test where it never does."""
        with self._changed:
            assert self._changed.wait_for(condition, PATIENCE_S), dict(self.received)

    def close(self) -> None:
        self._executor.shutdown()
        self._thread.join()
        self.node.destroy_node()
        rclpy.shutdown(context=self._context)

    def _on_clock(self, clock: Clock) -> None:
        with self._changed:
            self.clock.append(clock.clock.sec * 10**9 + clock.clock.nanosec)
            self._changed.notify_all()

    def _spin(self) -> None:
        with contextlib.suppress(ExternalShutdownException):
            self._executor.spin()


@pytest.fixture
def listener(ros_domain: int) -> Iterator[Listener]:
    listener = Listener()
    yield listener
    listener.close()


@pytest.fixture
def play(ros_domain: int) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts the player with arguments; ends it with the test."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: object) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "tinybev_ros.player", *map(str, arguments)],
            cwd=ROOT,
            env=os.environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def stop(process: subprocess.Popen[str], with_signal: signal.Signals = signal.SIGINT) -> str:
    """Ends the player early and returns what it printed."""
    process.send_signal(with_signal)
    return finish(process)


def finish(process: subprocess.Popen[str], returncode: int = 0) -> str:
    """Waits for the player to end by itself and returns what it printed."""
    output, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == returncode, output
    assert "Traceback" not in output
    return output


@pytest.fixture(scope="module")
def tiny_bags(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A nuScenes-format scene of one second as a bag, by storage."""
    folder = tmp_path_factory.mktemp("tiny")
    nusc = open_dataset(write_tiny_nuscenes(folder / "nuscenes", seconds=1.0, scenes=SCENES[:1]), VERSION)
    for storage in STORAGES:
        convert_scene(nusc, SCENES[0], folder / storage, BagFormat(storage))
    return {storage: folder / storage for storage in STORAGES}


def content_of(path: Path) -> tuple[dict[str, str], list[BagMessage]]:
    """The types of a bag's topics and all its messages."""
    with open_bag(path) as bag:
        return {topic.name: topic.type_name for topic in bag.topics.values()}, list(bag.messages(list(bag.topics)))


def bytes_by_topic(messages: Sequence[BagMessage]) -> dict[str, list[bytes]]:
    found: dict[str, list[bytes]] = defaultdict(list)
    for message in messages:
        found[message.topic].append(message.data)
    return found


def same_bytes(received: bytes, sent: bytes) -> bool:
    """Whether a payload arrived as it was sent; DDS fills it up with zeros to a multiple of four bytes."""
    return received.startswith(sent) and received[len(sent) :] in (b"", b"\0", b"\0\0", b"\0\0\0")


def texts(received: Sequence[bytes]) -> list[str]:
    """The texts of serialized strings."""
    return [str(TYPESTORE.deserialize_cdr(data, STRING).data) for data in received]


def ticking_bag(path: Path, seconds: float, **options: Any) -> Path:
    """Ten numbered strings a second on /count, and one latched string at the start on /latched."""
    profiles = {"/latched": [qos(latched=True)], "/count": [qos()], **options.pop("profiles", {})}
    messages = [(0.0, "/latched", string_cdr("always"))]
    messages += [(index * 0.1, "/count", string_cdr(str(index))) for index in range(round(seconds * 10))]
    return write_bag(path, messages, profiles=profiles, **options)


@pytest.mark.parametrize(("storage", "as_parameters"), [("mcap", False), ("sqlite3", True)])
def test_every_byte_of_every_topic_arrives_in_order_with_the_clock(
    listener: Listener,
    play: Callable[..., subprocess.Popen[str]],
    tiny_bags: dict[str, Path],
    storage: str,
    as_parameters: bool,
) -> None:
    tiny_bag = tiny_bags[storage]
    types, messages = content_of(tiny_bag)
    for topic, type_name in types.items():
        latched = topic in ("/tf_static", "/drivable_area")
        listener.subscribe(topic, type_name, LATCHED_QOS if latched else SUBSCRIBER_QOS)
    if as_parameters:
        wait_for = "[" + ", ".join(f'"{topic}"' for topic in types) + "]"
        arguments = ["--ros-args", "-p", f"bag:={tiny_bag}", "-p", "rate:=2", "-p", f"wait_for:={wait_for}"]
    else:
        arguments = [tiny_bag, "--rate", 2, "--wait-for", *types]
    output = finish(play(*arguments))
    listener.wait_until(lambda: sum(map(len, listener.received.values())) >= len(messages))
    sent = bytes_by_topic(messages)
    assert {topic: len(received) for topic, received in listener.received.items()} == {
        topic: len(data) for topic, data in sent.items()
    }
    for topic in sent:
        assert all(map(same_bytes, listener.received[topic], sent[topic])), topic
    assert f"played {len(messages)} messages" in output
    stamps = [message.stamp_ns for message in messages]
    listener.wait_until(lambda: listener.clock[-1:] == [stamps[-1]])
    assert listener.clock[0] == stamps[0]
    assert listener.clock == sorted(listener.clock)
    assert set(listener.clock) >= set(stamps)


def test_the_clock_runs_between_distant_messages(
    listener: Listener, play: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    bag = write_bag(tmp_path / "bag", [(0, "/a", string_cdr("one")), (0.4, "/a", string_cdr("two"))])
    listener.subscribe("/a", STRING)
    process = play(bag, "--wait-for", "/a")
    listener.wait_until(lambda: listener.clock[-1:] == [START_NS + 400_000_000])
    stop(process)
    assert any(START_NS < stamp < START_NS + 400_000_000 for stamp in listener.clock)
    assert listener.clock == sorted(listener.clock)


def test_bytes_are_passed_on_without_being_understood(
    listener: Listener, play: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    nonsense = b"\x00\x01\x00\x00" + b"\xff" * 60  # as a string this would be four gigabytes long
    bag = write_bag(tmp_path / "bag", [(0, "/a", nonsense), (0.1, "/a", string_cdr("sense"))])
    listener.subscribe("/a", STRING)
    process = play(bag, "--wait-for", "/a")
    listener.wait_until(lambda: len(listener.received["/a"]) == 2)
    stop(process)
    assert all(map(same_bytes, listener.received["/a"], [nonsense, string_cdr("sense")]))


def test_a_late_subscriber_gets_what_is_latched(
    listener: Listener, play: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    bag = ticking_bag(tmp_path / "bag", 300.0)
    listener.subscribe("/count", STRING)
    process = play(bag, "--wait-for", "/count")
    listener.wait_until(lambda: len(listener.received["/count"]) >= 3)  # long after /latched was said
    listener.subscribe("/latched", STRING, LATCHED_QOS)
    listener.wait_until(lambda: bool(listener.received["/latched"]))
    assert texts(listener.received["/latched"]) == ["always"]
    assert "played" in stop(process)


def test_what_is_latched_comes_before_waiting_and_the_rest_after(
    listener: Listener, play: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    bag = ticking_bag(tmp_path / "bag", 0.5)
    listener.subscribe("/latched", STRING, LATCHED_QOS)
    process = play(bag, "--wait-for", "/count")
    listener.wait_until(lambda: bool(listener.received["/latched"]))
    listener.wait_until(lambda: len(listener.clock) >= 3)  # the clock stands still while the player waits
    assert set(listener.clock) == {START_NS}
    listener.subscribe("/count", STRING)
    listener.wait_until(lambda: len(listener.received["/count"]) == 5)
    stop(process)
    assert texts(listener.received["/count"]) == [str(index) for index in range(5)]


def test_a_loop_sets_the_clock_back_and_repeats_everything(
    listener: Listener, play: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    bag = ticking_bag(tmp_path / "bag", 0.5)
    listener.subscribe("/count", STRING)
    listener.subscribe("/latched", STRING, LATCHED_QOS)
    process = play(bag, "--loop", "--wait-for", "/count", "/latched", "--rate", 4)
    listener.wait_until(lambda: len(listener.received["/count"]) >= 13 and len(listener.received["/latched"]) >= 3)
    listener.wait_until(lambda: listener.clock.count(START_NS) >= 3)
    stop(process, signal.SIGTERM)
    assert texts(listener.received["/count"])[:13] == (list("01234") * 3)[:13]
    backwards = [pair for pair in zip(listener.clock, listener.clock[1:], strict=False) if pair[1] < pair[0]]
    assert len(backwards) >= 2
    assert all(after == START_NS for _, after in backwards)


def test_start_and_duration_choose_a_window(
    listener: Listener, play: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    bag = ticking_bag(tmp_path / "bag", 2.0)
    listener.subscribe("/count", STRING)
    listener.subscribe("/latched", STRING, LATCHED_QOS)
    finish(play(bag, "--start", 0.5, "--duration", 0.4, "--wait-for", "/count", "/latched"))
    listener.wait_until(lambda: len(listener.received["/count"]) == 5 and bool(listener.received["/latched"]))
    assert texts(listener.received["/count"]) == [str(index) for index in range(5, 10)]
    assert texts(listener.received["/latched"]) == ["always"]  # said before the window, needed in it
    assert listener.clock[0] == START_NS + 500_000_000


def test_a_loop_over_silence_keeps_its_pace(
    listener: Listener, play: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    listener.subscribe("/count", STRING)
    process = play(ticking_bag(tmp_path / "bag", 2.0), "--start", 0.55, "--duration", 0.04, "--loop")
    begin, end = START_NS + 550_000_000, START_NS + 590_000_000
    listener.wait_until(lambda: listener.clock.count(begin) >= 3)
    stop(process)
    assert begin <= min(listener.clock) < max(listener.clock) <= end
    assert listener.received["/count"] == []


def test_topics_are_offered_as_they_were_recorded(
    listener: Listener, play: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    profiles = {"/hasty": [qos(best_effort=True)], "/tf_static": [qos()]}
    types = {"/tf_static": "tf2_msgs/msg/TFMessage"}
    listener.subscribe("/count", STRING)
    play(ticking_bag(tmp_path / "bag", 300.0, types=types, profiles=profiles), "--wait-for", "/count")
    listener.wait_until(lambda: bool(listener.received["/count"]))
    reliable, best_effort = QoSReliabilityPolicy.RELIABLE, QoSReliabilityPolicy.BEST_EFFORT
    latched, volatile = QoSDurabilityPolicy.TRANSIENT_LOCAL, QoSDurabilityPolicy.VOLATILE
    for topic, expected in (
        ("/count", (reliable, volatile)),
        ("/latched", (reliable, latched)),
        ("/hasty", (best_effort, volatile)),
        ("/tf_static", (reliable, latched)),  # whatever the recorder believed
    ):
        listener.wait_until(lambda topic=topic: listener.node.count_publishers(topic) == 1)  # type: ignore[misc]
        (publisher,) = listener.node.get_publishers_info_by_topic(topic)
        assert (publisher.qos_profile.reliability, publisher.qos_profile.durability) == expected, topic


def test_a_type_that_is_not_installed_is_reported_once_and_left_out(
    listener: Listener, play: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    messages = [(index * 0.05, topic, string_cdr(str(index))) for index in range(4) for topic in ("/known", "/unheard")]
    bag = write_bag(tmp_path / "bag", messages, types={"/unheard": UNHEARD_OF})
    listener.subscribe("/known", STRING)
    process = play(bag, "--wait-for", "/known")
    listener.wait_until(lambda: len(listener.received["/known"]) == 4)
    assert stop(process).count(UNHEARD_OF) == 1


def test_what_is_excluded_is_said_once_and_not_offered(
    listener: Listener, play: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    topics = ("/known", "/old/path", "/old/plan", "/said")
    bag = write_bag(
        tmp_path / "bag",
        [(index * 0.05, topic, string_cdr(str(index))) for index in range(4) for topic in topics],
        profiles={"/old/path": [qos(latched=True)]},
    )
    for topic in topics:
        listener.subscribe(topic, STRING)
    process = play(bag, "--loop", "--wait-for", "/known", "--exclude", "/said", "/old/")
    listener.wait_until(lambda: len(listener.received["/known"]) >= 8)
    (player,) = listener.node.get_publishers_info_by_topic("/known")
    offered = listener.node.get_publisher_names_and_types_by_node(player.node_name, player.node_namespace)
    assert not {name for name, _ in offered} & {"/old/path", "/old/plan"}
    output = stop(process)
    assert output.count("left out: /old/path, /old/plan, /said") == 1
    assert set(listener.received) == {"/known"}


def test_nothing_that_can_be_played(play: Callable[..., subprocess.Popen[str]], tmp_path: Path) -> None:
    bag = write_bag(tmp_path / "bag", [(0, "/unheard", b"1")], types={"/unheard": UNHEARD_OF})
    assert "there is nothing to play" in finish(play(bag), 2)


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_a_bag_cut_in_the_middle_is_one_sentence(
    play: Callable[..., subprocess.Popen[str]], tiny_bags: dict[str, Path], storage: str
) -> None:
    tiny_bag = tiny_bags[storage]
    file = next(file for file in tiny_bag.iterdir() if file.suffix != ".yaml")
    cut = tiny_bag.parent / f"cut{file.suffix}"
    cut.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    output = finish(play(cut), 2)
    assert "is cut off" in output
    assert len([line for line in output.splitlines() if "[INFO]" not in line]) == 1


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--rate", "0"], "rate: expected a number that is more than 0"),
        (["--rate=-1"], "rate: expected a number that is more than 0"),
        (["--ros-args", "-p", "rate:=fast"], "rate: expected a number, got 'fast'"),
        (["--start", "9"], "start: expected a moment within the 0.4 s"),
        (["--wait-for", "/count", "--wait-timeout", "0.2"], "nobody subscribed to /count within 0.2 s"),
    ],
)
def test_wrong_settings_are_refused(
    play: Callable[..., subprocess.Popen[str]], tmp_path: Path, arguments: list[str], sentence: str
) -> None:
    output = finish(play(ticking_bag(tmp_path / "bag", 0.5), *arguments), 2)
    assert sentence in output


def test_a_moment_cannot_be_looped(play: Callable[..., subprocess.Popen[str]], tmp_path: Path) -> None:
    bag = write_bag(tmp_path / "bag", [(0, "/a", string_cdr("once"))])
    assert "holds a single moment" in finish(play(bag, "--loop"), 2)


def test_a_topic_that_the_bag_lacks_is_not_waited_for(
    listener: Listener, play: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    listener.subscribe("/count", STRING)
    process = play(ticking_bag(tmp_path / "bag", 0.5), "--wait-for", "/elsewhere", "/count")
    listener.wait_until(lambda: len(listener.received["/count"]) == 5)
    assert stop(process).count("/elsewhere is not waited for") == 1


def test_a_signal_ends_the_waiting(
    listener: Listener, play: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    process = play(ticking_bag(tmp_path / "bag", 0.5), "--wait-for", "/count", "--wait-timeout", 1e6)
    listener.wait_until(lambda: bool(listener.clock))
    assert "played" in stop(process, signal.SIGTERM)
