"""The assembler on schedules whose answer is known by hand."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from typing import Any

import pytest

from tinybev.errors import UserError
from tinybev.frames import CameraSet, FrameAssembler, IncompletePolicy, LatestSlot, SyncOptions
from tinybev.phases import NUSCENES_RIG
from tinybev.types import CAMERAS

MS = 1_000_000
START_NS = 1_532_402_927_000_000_000
NUSCENES_MS = {camera: phase / MS for camera, phase in NUSCENES_RIG.phases_ns.items()}
BACK = ("CAM_BACK", "CAM_BACK_LEFT")
FRONT = tuple(camera for camera in CAMERAS if camera not in BACK)

Message = tuple[float, str]
"""Stamp in ms after START_NS, and camera; it arrives at its stamp."""


def revolution(
    number: int, cameras: Iterable[str] = CAMERAS, phases: Mapping[str, float] = NUSCENES_MS
) -> list[Message]:
    return sorted((50.0 * number + phases[camera], camera) for camera in cameras)


def push(assembler: FrameAssembler[str], messages: Iterable[Message], late_by_ms: float = 0) -> list[CameraSet[str]]:
    sets = []
    for stamp_ms, camera in messages:
        stamp_ns = START_NS + round(stamp_ms * MS)
        sets += assembler.push(camera, stamp_ns, f"{camera} {stamp_ms}", stamp_ns + round(late_by_ms * MS))
    return sets


def at(ms: float) -> int:
    return START_NS + round(ms * MS)


def cameras_of(sets: Iterable[CameraSet[str]]) -> list[set[str]]:
    return [set(each.items) for each in sets]


def test_a_set_carries_its_images_in_the_order_of_the_cameras_and_the_newest_stamp() -> None:
    assembler = FrameAssembler[str](SyncOptions())
    (ready,) = push(assembler, revolution(0))
    assert tuple(ready.items) == CAMERAS
    assert ready.missing == ()
    assert ready.stamp_ns == at(42.6)
    assert ready.items["CAM_BACK"].stamp_ns == at(32.7)
    assert ready.items["CAM_BACK"].payload == "CAM_BACK 32.7"
    assert assembler.counters.assembled == 1
    assert assembler.next_deadline_ns() is None


def test_one_set_of_an_unknown_rig_comes_out_whole_after_silence() -> None:
    assembler = FrameAssembler[str](SyncOptions(known_rigs=()))
    assert push(assembler, revolution(0)) == []
    assert assembler.next_deadline_ns() == at(42.6 + 100)
    assert assembler.poll(at(142.5)) == []
    (ready,) = assembler.poll(at(142.6))
    assert ready.missing == ()
    assert assembler.next_deadline_ns() is None


def test_one_set_at_one_instant_comes_out_at_once() -> None:
    assembler = FrameAssembler[str](SyncOptions(known_rigs=()))
    (ready,) = push(assembler, [(0.0, camera) for camera in CAMERAS])
    assert ready.missing == ()


def test_the_backlog_of_learning_comes_out_in_order_and_whole() -> None:
    assembler = FrameAssembler[str](SyncOptions(known_rigs=()))
    phases = {camera: 5.0 * index for index, camera in enumerate(CAMERAS)}
    stream = [message for number in range(30) for message in revolution(number, phases=phases)]
    sets = push(assembler, stream)
    assert [each.stamp_ns for each in sets] == [at(50.0 * number + 25.0) for number in range(30)]
    assert all(not each.missing for each in sets)
    assert assembler.rig is not None
    assert {camera: phase / MS for camera, phase in assembler.rig.phases_ns.items()} == pytest.approx(phases)


def test_a_stream_that_starts_within_a_revolution_loses_only_that_one() -> None:
    assembler = FrameAssembler[str](SyncOptions())
    stream = [*revolution(0)[3:], *revolution(1), *revolution(2)]
    sets = push(assembler, stream)
    assert cameras_of(sets) == [{"CAM_BACK_RIGHT", "CAM_BACK", "CAM_BACK_LEFT"}, set(CAMERAS), set(CAMERAS)]
    assert sets[0].missing == ("CAM_FRONT", "CAM_FRONT_RIGHT", "CAM_FRONT_LEFT")


def test_complementary_halves_are_joined() -> None:
    assembler = FrameAssembler[str](SyncOptions())
    sets = push(assembler, [*revolution(0), *revolution(3, BACK), *revolution(4, FRONT)])
    assert len(sets) == 1
    sets = assembler.poll(at(200 + 100))
    assert cameras_of(sets) == [set(CAMERAS)]
    assert sets[0].joined
    assert sets[0].stamp_ns - min(item.stamp_ns for item in sets[0].items.values()) == pytest.approx(40.5 * MS, abs=MS)
    assert assembler.counters.joined == 1


def test_a_half_is_not_joined_to_a_revolution_that_becomes_complete() -> None:
    assembler = FrameAssembler[str](SyncOptions())
    sets = push(assembler, [*revolution(0), *revolution(3, BACK), *revolution(4)])
    assert cameras_of(sets) == [set(CAMERAS), set(BACK), set(CAMERAS)]
    assert not any(each.joined for each in sets)


def test_halves_that_lie_more_than_a_period_apart_are_not_joined() -> None:
    assembler = FrameAssembler[str](SyncOptions())
    sets = push(assembler, [*revolution(0), *revolution(3, FRONT), *revolution(4, BACK)])
    sets += assembler.flush()
    assert cameras_of(sets) == [set(CAMERAS), set(FRONT), set(BACK)]


def test_the_partial_policy_joins_nothing_and_does_not_wait_for_the_other_half() -> None:
    assembler = FrameAssembler[str](SyncOptions(incomplete=IncompletePolicy.PARTIAL))
    sets = push(assembler, [*revolution(0), *revolution(3, BACK), *revolution(4, FRONT)])
    assert cameras_of(sets) == [set(CAMERAS), set(BACK)]
    assert cameras_of(assembler.poll(at(200 + 100))) == [set(FRONT)]


def test_a_camera_that_stops_costs_the_wait_and_is_named() -> None:
    assembler = FrameAssembler[str](SyncOptions(max_wait_s=0.08))
    push(assembler, revolution(0))
    rest = [camera for camera in CAMERAS if camera != "CAM_BACK"]
    assert push(assembler, revolution(2, rest)) == []
    assert assembler.next_deadline_ns() == at(100 + 80)
    assert assembler.poll(at(179.9)) == []
    (ready,) = assembler.poll(at(180))
    assert ready.missing == ("CAM_BACK",)
    assert assembler.counters.partial == 1


def test_a_camera_that_only_skipped_is_not_waited_for() -> None:
    assembler = FrameAssembler[str](SyncOptions(incomplete=IncompletePolicy.PARTIAL))
    push(assembler, revolution(0))
    sets = push(assembler, [*revolution(1, FRONT), *revolution(2)])
    assert cameras_of(sets) == [set(FRONT), set(CAMERAS)]


def test_late_and_doubled_images_are_counted_and_left_out() -> None:
    assembler = FrameAssembler[str](SyncOptions())
    stream = revolution(0)
    push(assembler, [*stream[:3], stream[0], *stream[3:]])
    assert assembler.counters.duplicates == 1
    push(assembler, revolution(1, FRONT))
    assembler.poll(at(50 + 100))
    assert push(assembler, revolution(1, ["CAM_BACK"]), late_by_ms=150) == []
    assert assembler.counters.late == 1
    push(assembler, revolution(4), late_by_ms=150)
    assert assembler.counters.assembled == 2
    assert assembler.counters.used == 16


def test_the_second_image_of_a_camera_in_one_revolution_is_dropped() -> None:
    assembler = FrameAssembler[str](SyncOptions())
    push(assembler, revolution(0))
    push(assembler, [(50.0, "CAM_FRONT_LEFT"), (52.0, "CAM_FRONT_LEFT")])
    assert assembler.counters.dropped == 1


def test_an_image_out_of_order_still_finds_its_open_revolution() -> None:
    assembler = FrameAssembler[str](SyncOptions())
    push(assembler, revolution(0))
    first, *rest = revolution(1)
    (ready,) = push(assembler, [*rest, first], late_by_ms=60)
    assert ready.missing == ()


@pytest.mark.parametrize("back_ms", [20_000.0, 500.0])
def test_a_looping_bag_starts_anew_and_mixes_nothing(back_ms: float) -> None:
    assembler = FrameAssembler[str](SyncOptions())
    length = int(back_ms / 50)
    loop = [message for number in range(length) for message in revolution(number)]
    sets = []
    for lap in range(3):
        for stamp_ms, camera in loop[:-2]:  # it ends within a revolution
            now_ns = round((lap * back_ms + stamp_ms) * MS)
            sets += assembler.push(camera, at(stamp_ms), f"{lap}", now_ns)
    sets += assembler.flush()
    assert all(len({item.payload for item in each.items.values()}) == 1 for each in sets)
    whole = [each for each in sets if not each.missing]
    assert len(whole) == 3 * (length - 1)
    assert assembler.counters.resets == 2
    assert assembler.counters.late == 0


def test_the_receivers_clock_may_jump_back() -> None:
    assembler = FrameAssembler[str](SyncOptions())
    push(assembler, revolution(0, FRONT), late_by_ms=60_000)
    sets = push(assembler, revolution(1))
    assert cameras_of(sets) == [set(FRONT), set(CAMERAS)]
    assert assembler.counters.resets == 1


def test_given_phases_need_no_learning() -> None:
    cameras = ("left", "right")
    options = SyncOptions(cameras=cameras, phases_s={"left": 0.04, "right": 0.0}, period_s=0.05)
    assembler = FrameAssembler[str](options)
    # Nearer to each other, but of two revolutions: right opens each.
    sets = push(assembler, [(40.0, "left"), (50.0, "right"), (90.0, "left"), (100.0, "right")])
    assert [each.items.keys() for each in sets] == [{"left"}, {"left", "right"}]


def test_a_rig_without_a_rhythm_is_split_where_it_pauses() -> None:
    assembler = FrameAssembler[str](SyncOptions(known_rigs=(), learning_s=0.3))
    sets, starts_ms = [], [0.0, 81.0, 143.0, 240.0, 307.0, 404.0, 470.0, 561.0]
    for start_ms in starts_ms:
        sets += push(assembler, [(start_ms + index, camera) for index, camera in enumerate(CAMERAS)])
    sets += assembler.poll(at(700.0))
    assert [each.stamp_ns for each in sets] == [at(start_ms + 5.0) for start_ms in starts_ms]
    assert all(not each.missing for each in sets)


def test_what_left_before_the_rig_was_known_does_not_come_again() -> None:
    assembler = FrameAssembler[str](SyncOptions())
    push(assembler, revolution(0, FRONT[:3]))
    assert len(assembler.poll(at(42.6 + 100))) == 1
    push(assembler, revolution(4, FRONT))
    assert assembler.rig == NUSCENES_RIG
    push(assembler, [(7.0, "CAM_FRONT")], late_by_ms=240)
    assert assembler.counters.late == 1


def test_a_rig_that_changes_is_learnt_anew() -> None:
    assembler = FrameAssembler[str](SyncOptions())
    push(assembler, [message for number in range(40) for message in revolution(number)])
    other = {camera: 4.0 * index for index, camera in enumerate(reversed(CAMERAS))}
    push(assembler, [message for number in range(40, 100) for message in revolution(number, phases=other)])
    sets = push(assembler, [message for number in range(100, 110) for message in revolution(number, phases=other)])
    assert [each.stamp_ns for each in sets] == [at(50.0 * number + 20.0) for number in range(100, 110)]
    assert all(not each.missing for each in sets)


def test_a_camera_that_joins_the_stream_later_is_learnt_too() -> None:
    assembler = FrameAssembler[str](SyncOptions(known_rigs=()))
    phases = {camera: 4.0 * index for index, camera in enumerate(CAMERAS)}
    rest = CAMERAS[1:]  # the first to fire is away, so all phases shift when it comes
    sets = push(assembler, [message for number in range(40) for message in revolution(number, rest, phases)])
    assert {each.missing for each in sets} == {CAMERAS[:1]}
    push(assembler, [message for number in range(40, 80) for message in revolution(number, phases=phases)])
    sets = push(assembler, [message for number in range(80, 90) for message in revolution(number, phases=phases)])
    assert [each.missing for each in sets] == [()] * 10


def test_no_more_images_are_held_than_may_be() -> None:
    assembler = FrameAssembler[str](SyncOptions(max_images=12))
    push(assembler, revolution(0))
    for number in range(1, 50):
        for stamp_ms, camera in revolution(number, FRONT[:2]):
            assembler.push(camera, at(stamp_ms), "", at(50.0))  # a clock that stands still: no deadline passes
    held = sum(assembler.counters.received.values()) - assembler.counters.used
    assert held <= 12


def test_a_recording_of_one_set_that_loops_gives_it_every_time() -> None:
    assembler = FrameAssembler[str](SyncOptions())
    for round_number in range(3):
        sets = []
        for stamp_ms, camera in revolution(0):
            sets += assembler.push(camera, at(stamp_ms), "", at(stamp_ms + 20_000.0 * round_number))
        sets += assembler.poll(at(5_000.0 + 20_000.0 * round_number))
        assert cameras_of(sets) == [set(CAMERAS)]
    assert assembler.counters.resets == 2
    assert assembler.counters.duplicates == 0


def test_an_unknown_camera_is_refused() -> None:
    with pytest.raises(ValueError, match="CAM_ROOF"):
        FrameAssembler[str](SyncOptions()).push("CAM_ROOF", 0, "", 0)


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"cameras": ("CAM_BACK", "CAM_BACK")}, "name each camera once"),
        ({"max_wait_s": 0.0}, "max_wait_s must be"),
        ({"max_wait_s": float("nan")}, "max_wait_s must be"),
        ({"learning_s": -1.0}, "learning_s must be"),
        ({"max_images": 5}, "max_images must hold one set of 6"),
        ({"phases_s": dict.fromkeys(CAMERAS, 0.0)}, "belong together"),
        ({"phases_s": {"CAM_BACK": 0.0}, "period_s": 0.05}, "one offset for each"),
        ({"phases_s": dict.fromkeys(CAMERAS, 0.0), "period_s": 0.0}, "above 0 s"),
        ({"phases_s": {**dict.fromkeys(CAMERAS, 0.0), "CAM_BACK": 0.06}, "period_s": 0.05}, "within one period"),
    ],
)
def test_options_that_cannot_be_are_refused(wrong: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        SyncOptions(**wrong)


def test_the_latest_wins_and_what_it_replaces_is_counted() -> None:
    slot = LatestSlot[int]()
    for item in range(3):
        slot.put(item)
    assert slot.get() == 2
    assert slot.replaced == 2
    assert slot.get(0.0) is None


def test_who_waits_can_be_called_to_something_else() -> None:
    slot, called = LatestSlot[int](), threading.Event()
    taken: list[int | None] = []
    worker = threading.Thread(target=lambda: taken.append(slot.get(unless=called.is_set)))
    worker.start()
    slot.wake()  # for nothing: it waits on
    called.set()
    slot.wake()
    worker.join(10)
    assert taken == [None]
    slot.put(1)
    assert slot.get(unless=called.is_set) == 1  # an item comes first


def test_closing_wakes_the_worker() -> None:
    slot = LatestSlot[int]()
    taken: list[int | None] = []
    worker = threading.Thread(target=lambda: taken.append(slot.get()))
    worker.start()
    slot.close()
    worker.join(10)
    assert taken == [None]
    slot.put(1)
    assert slot.closed
    assert slot.get(0.0) is None
