"""The worker's order of work: the newest set wins, and images are decoded while nothing else needs the processors."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray
from sensor_msgs.msg import CompressedImage, Image

from tinybev.errors import UserError
from tinybev.frames import Stamped
from tinybev.types import StageTimes
from tinybev_ros.complaints import Complaints
from tinybev_ros.frame_builder import BuiltFrame
from tinybev_ros.outputs import OUTPUTS, Output
from tinybev_ros.statistics import Statistics
from tinybev_ros.worker import SUBJECT, Worker

PATIENCE_S = 60.0
TIMES = StageTimes(1.0, 1.0, 1.0, 1.0, 4.0)


class NumberedSet(NamedTuple):
    """A set of images as far as the worker looks at it."""

    number: int
    missing: tuple[str, ...] = ()
    items: Mapping[str, Stamped[CompressedImage]] = {}


class NumberedFrame(NamedTuple):
    """A frame as far as the worker looks at it."""

    stamp_ns: int
    images: tuple[str, ...] = ()


@dataclass
class Decoded:
    frame: NumberedFrame
    rejected: dict[str, str] = field(default_factory=dict)


@dataclass
class Inferred:
    stamp_ns: int
    pooling_ms: float | None = None


@dataclass
class Result:
    stamp_ns: int
    times: StageTimes = TIMES


class Line:
    """Builder, pipeline and publishers in one: says what happens, and stops where a test wants it to.

    Attributes:
        said: "decode 1", "network 1", "publish 1", "reset" in the order in which they began.
        gates: what waits, by what is said, until its event is set.
        broken: what fails.
        anew: numbers of the frames that do not continue the one before.
        early: by number of a frame, which of its images had been decoded before.
        listeners: the outputs that are heard; all of them from the first result on.
        published: by number of a frame, the outputs.
    """

    tracker_ms = 0.5

    def __init__(self) -> None:
        self.said: list[str] = []
        self.gates: dict[str, threading.Event] = {}
        self.broken: set[str] = set()
        self.anew: set[int] = set()
        self.early: dict[int, dict[str, str]] = {}
        self.listeners: frozenset[Output] = frozenset()
        self.published: dict[int, frozenset[Output]] = {}
        self._changed = threading.Condition()

    def build(self, camera_set: NumberedSet) -> BuiltFrame:
        frame: Any = NumberedFrame(camera_set.number)
        return BuiltFrame(frame, continues=camera_set.number not in self.anew)

    def decode_image(self, data: bytes) -> NDArray[np.uint8]:
        self._say(f"early {data.decode()}")
        return np.frombuffer(data, dtype=np.uint8)

    def decode(self, frame: NumberedFrame, *, spread: bool, early: Mapping[str, NDArray[np.uint8]]) -> Decoded:
        self.early[frame.stamp_ns] = {camera: pixels.tobytes().decode() for camera, pixels in early.items()}
        self._say(f"decode {frame.stamp_ns}")
        return Decoded(frame)

    def help_decoding(self) -> None:
        self._say("help")

    def infer(self, decoded: Decoded) -> Inferred:
        self._say(f"network {decoded.frame.stamp_ns}")
        return Inferred(decoded.frame.stamp_ns)

    def heard(self) -> frozenset[Output]:
        return self.listeners

    def conclude(self, inferred: Inferred, *, map_segments: bool) -> Result:
        if map_segments:
            self._say(f"segments {inferred.stamp_ns}")
        self.listeners = frozenset(OUTPUTS)  # who comes now hears the next result
        return Result(inferred.stamp_ns)

    def publish(self, result: Result, heard: frozenset[Output]) -> float:
        self.published[result.stamp_ns] = heard
        self._say(f"publish {result.stamp_ns}")
        return 0.1

    def reset(self) -> None:
        self._say("reset")

    def gate(self, what: str) -> threading.Event:
        """Holds the line there until the event is set."""
        self.gates[what] = threading.Event()
        return self.gates[what]

    def wait_for(self, what: str) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: what in self.said, PATIENCE_S), self.said

    def _say(self, what: str) -> None:
        with self._changed:
            self.said.append(what)
            self._changed.notify_all()
        if what in self.gates:
            assert self.gates[what].wait(PATIENCE_S), what
        if what in self.broken:
            raise UserError(f"{what} failed.")


@dataclass
class Rig:
    """A worker on its line."""

    line: Line
    worker: Worker
    statistics: Statistics
    complaints: Complaints

    def hand_over(self, number: int, **messages: CompressedImage) -> None:
        items = {camera: Stamped(number, message) for camera, message in messages.items()}
        camera_set: Any = NumberedSet(number, items=items)
        self.worker.hand_over(camera_set)

    def expect(self, camera: str, name: str) -> CompressedImage:
        """An image arrives."""
        message = CompressedImage(data=name.encode())
        self.worker.expect(camera, message)
        return message


@pytest.fixture
def rig() -> Iterator[Rig]:
    line: Any = Line()
    statistics, complaints = Statistics(), Complaints(lambda _: None)
    worker = Worker(line, line, line, statistics, complaints, now_ns=lambda: 5_000_000)
    worker.start()
    yield Rig(line, worker, statistics, complaints)
    for gate in line.gates.values():
        gate.set()
    worker.stop()


def test_the_next_set_is_decoded_while_a_result_is_published(rig: Rig) -> None:
    network, publish = rig.line.gate("network 1"), rig.line.gate("publish 1")
    rig.hand_over(1)
    rig.line.wait_for("network 1")
    rig.hand_over(2)
    network.set()
    rig.line.wait_for("decode 2")  # while the publishing of 1 is held
    rig.line.wait_for("publish 1")
    assert not {"network 2", "help"} & set(rig.line.said)
    publish.set()
    rig.line.wait_for("publish 2")
    assert rig.line.said.count("decode 2") == 1
    assert rig.line.said.index("publish 1") < rig.line.said.index("help") < rig.line.said.index("network 2")


def test_nothing_is_decoded_beside_the_network_and_the_newest_set_wins(rig: Rig) -> None:
    network = rig.line.gate("network 1")
    rig.hand_over(1)
    rig.line.wait_for("network 1")
    for number in (2, 3, 4):
        rig.hand_over(number)
    assert rig.line.said == ["decode 1", "network 1"]
    network.set()
    rig.line.wait_for("publish 4")
    assert not {"decode 2", "decode 3"} & set(rig.line.said)
    assert rig.statistics.snapshot().counts.dropped == 2


def test_a_set_that_comes_later_is_taken_when_it_comes(rig: Rig) -> None:
    rig.hand_over(1)
    rig.line.wait_for("publish 1")
    rig.hand_over(2)
    rig.line.wait_for("publish 2")
    rig.worker.stop()
    snapshot = rig.statistics.snapshot()
    assert (snapshot.counts.inferred, snapshot.counts.dropped, snapshot.counts.refused) == (2, 0, 0)
    assert "help" not in rig.line.said
    assert {"early", "queue", "inputs", "publish"} == set(snapshot.waits)
    assert snapshot.details["tracker"].p50 == 0.5
    assert snapshot.details["conversion"].p50 == 0.1
    assert snapshot.details["age"].p95 == pytest.approx(5.0, abs=1e-3)
    assert "splat" not in snapshot.details


def test_a_frame_that_cannot_be_decoded_ahead_is_refused_and_what_it_begins_anew_is_not_forgotten(rig: Rig) -> None:
    publish = rig.line.gate("publish 1")
    rig.line.broken, rig.line.anew = {"decode 2"}, {2}
    network = rig.line.gate("network 1")
    rig.hand_over(1)
    rig.line.wait_for("network 1")
    rig.hand_over(2)
    network.set()
    rig.line.wait_for("decode 2")
    publish.set()
    broken_network = rig.line.gate("network 3")
    rig.hand_over(3)
    rig.line.wait_for("network 3")
    assert rig.complaints.open()[SUBJECT] == "decode 2 failed."
    assert rig.line.said.index("reset") < rig.line.said.index("network 3")
    broken_network.set()
    rig.line.wait_for("publish 3")
    rig.worker.stop()
    assert SUBJECT not in rig.complaints.open()
    assert rig.statistics.snapshot().counts.refused == 1


def test_a_result_that_cannot_be_published_does_not_take_the_next_one_along(rig: Rig) -> None:
    rig.line.broken = {"publish 1"}
    network = rig.line.gate("network 1")
    rig.hand_over(1)
    rig.line.wait_for("network 1")
    rig.hand_over(2)
    network.set()
    rig.line.wait_for("publish 2")
    rig.worker.stop()
    counts = rig.statistics.snapshot().counts
    assert (counts.inferred, counts.refused) == (1, 1)


def test_images_are_decoded_while_their_set_is_awaited(rig: Rig) -> None:
    front, back = rig.expect("front", "front 1"), rig.expect("back", "back 1")
    rig.line.wait_for("early back 1")
    rig.hand_over(1, front=front, back=back, left=CompressedImage(data=b"left 1"))
    rig.line.wait_for("publish 1")
    assert rig.line.said[:3] == ["early front 1", "early back 1", "decode 1"]
    assert rig.line.early[1] == {"front": "front 1", "back": "back 1"}
    rig.hand_over(2, front=front)  # what was taken once is not kept
    rig.line.wait_for("publish 2")
    assert rig.line.early[2] == {}


def test_no_image_is_decoded_early_while_a_frame_is_worked_on(rig: Rig) -> None:
    network = rig.line.gate("network 1")
    rig.hand_over(1)
    rig.line.wait_for("network 1")
    old, back, new = rig.expect("front", "front 2"), rig.expect("back", "back 2"), rig.expect("front", "front 3")
    rig.hand_over(2, front=old, back=back)
    assert rig.line.said == ["decode 1", "network 1"]
    network.set()
    rig.line.wait_for("publish 2")
    rig.line.wait_for("early front 3")  # the next set's; what belonged to the last one is not waited with any more
    assert rig.line.early[2] == {}
    rig.hand_over(3, front=new)
    rig.line.wait_for("publish 3")
    assert rig.line.early[3] == {"front": "front 3"}
    assert not {"early front 2", "early back 2"} & set(rig.line.said)


def test_an_image_that_is_damaged_or_not_compressed_is_left_to_its_set(rig: Rig) -> None:
    rig.line.broken = {"early front 1"}
    front, back = rig.expect("front", "front 1"), rig.expect("back", "back 1")
    rig.worker.expect("left", Image())
    rig.line.wait_for("early back 1")
    rig.hand_over(1, front=front, back=back)
    rig.line.wait_for("publish 1")
    assert rig.line.early[1] == {"back": "back 1"}
    assert not rig.complaints.open()  # decoding its set tells
    assert "early " not in rig.line.said


def test_who_begins_to_listen_while_a_result_is_made_hears_the_next_one(rig: Rig) -> None:
    rig.hand_over(1)
    rig.line.wait_for("publish 1")
    rig.hand_over(2)
    rig.line.wait_for("publish 2")
    assert rig.line.published == {1: frozenset(), 2: frozenset(OUTPUTS)}
    assert "segments 1" not in rig.line.said  # nobody would have heard them
    assert "segments 2" in rig.line.said
