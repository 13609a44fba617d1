"""A camera whose stamps are on another clock than those of the others, in streams whose answer is known."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest

from tinybev.frames import CameraSet, FrameAssembler, SyncOptions
from tinybev.types import CAMERAS

MS = 1_000_000
START_NS = 1_700_000_000_000_000_000
PERIOD_MS = 1000 / 12
WRONG = "CAM_BACK"
REST = set(CAMERAS) - {WRONG}

Stamp = Callable[[str, float], float]
"""From camera and time of exposure, ms, to the stamp, ms after ``START_NS``."""


def drive(
    stamp: Stamp,
    revolutions: Iterable[int],
    assembler: FrameAssembler[int] | None = None,
    speed: float = 1.0,
    period_ms: float = PERIOD_MS,
) -> tuple[FrameAssembler[int], list[CameraSet[int]]]:
    """Cameras that fire 6 ms apart, images that arrive 30 ms later, played at ``speed``; payload: the revolution."""
    assembler = assembler or FrameAssembler[int](SyncOptions())
    sets = []
    for number in revolutions:
        for index, camera in enumerate(CAMERAS):
            fired_ms = number * period_ms + index * 6.0
            now_ns = round((fired_ms + 30.0) / speed * MS)
            while (deadline_ns := assembler.next_deadline_ns()) is not None and deadline_ns <= now_ns:
                sets += assembler.poll(deadline_ns)
            sets += assembler.push(camera, START_NS + round(stamp(camera, fired_ms) * MS), number, now_ns)
    return assembler, sets


def off_by(offset_ms: float) -> Stamp:
    return lambda camera, fired_ms: fired_ms + (offset_ms if camera == WRONG else 0.0)


@pytest.mark.parametrize("offset_ms", [-37_000.0, -2000.0, -300.0, 300.0, 2000.0, 37_000.0, -START_NS / MS])
def test_a_camera_on_another_clock_costs_its_own_images_and_no_others(offset_ms: float) -> None:
    assembler, sets = drive(off_by(offset_ms), range(120))
    settled = [each for each in sets if min(item.payload for item in each.items.values()) >= 24]  # 2 s
    assert {frozenset(each.items) for each in settled} == {frozenset(REST)}
    assert [{item.payload for item in each.items.values()} for each in settled] == [{n} for n in range(24, 119)]
    assert assembler.clock_offsets_ns.keys() == {WRONG}
    assert assembler.clock_offsets_ns[WRONG] == pytest.approx(offset_ms * MS, abs=PERIOD_MS * MS)
    assert assembler.counters.resets <= 1


def test_stamps_that_are_all_zero_cost_no_others() -> None:
    _, sets = drive(lambda camera, fired_ms: -START_NS / MS if camera == WRONG else fired_ms, range(60))
    assert [set(each.items) for each in sets[2:]] == [REST] * (len(sets) - 2)
    assert len(sets) >= 58


def test_a_clock_that_is_set_right_brings_its_camera_back() -> None:
    assembler, _ = drive(off_by(700.0), range(60))
    assert assembler.clock_offsets_ns
    _, sets = drive(off_by(0.0), range(60, 100), assembler)
    assert not assembler.clock_offsets_ns
    assert [set(each.items) for each in sets[-20:]] == [set(CAMERAS)] * 20


def test_a_camera_that_starts_its_clock_anew_stops_no_others() -> None:
    assembler, before = drive(off_by(0.0), range(60))
    _, after = drive(off_by(-50_000.0), range(60, 120), assembler)
    whole = [each.items["CAM_FRONT"].payload for each in (*before, *after) if set(each.items) >= REST]
    assert whole == list(range(119))
    assert assembler.counters.resets == 0


def test_of_two_halves_the_earlier_clock_is_followed() -> None:
    late = CAMERAS[:3]
    assembler, sets = drive(lambda camera, fired_ms: fired_ms + 900.0 * (camera in late), range(120))
    assert assembler.clock_offsets_ns.keys() == set(late)
    assert {frozenset(each.items) for each in sets[-60:]} == {frozenset(CAMERAS[3:])}


@pytest.mark.parametrize("speed", [0.05, 1.0, 50.0])
@pytest.mark.parametrize("period_ms", [50.0, 500.0])
def test_at_no_speed_of_playing_a_right_clock_is_taken_for_a_wrong_one(speed: float, period_ms: float) -> None:
    skips = [number for number in range(80) if number % 7]
    assembler, _ = drive(off_by(0.0), skips, speed=speed, period_ms=period_ms)
    assert assembler.counters.wrong_clock == 0
    assert assembler.counters.resets == 0


def test_a_recording_that_loops_keeps_who_is_set_aside_and_mixes_no_laps() -> None:
    assembler, _ = drive(off_by(-2000.0), range(60))
    lap_ms = 60 * PERIOD_MS
    _, sets = drive(lambda camera, fired_ms: off_by(-2000.0)(camera, fired_ms - lap_ms), range(60, 120), assembler)
    assert assembler.counters.resets == 1
    assert {frozenset(each.items) for each in sets[1:]} == {frozenset(REST)}
    assert [each.items["CAM_FRONT"].payload for each in sets[1:]] == list(range(60, 119))
