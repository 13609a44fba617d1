"""The figures of a play follow from its stamps, and the share of other work from the counters of the kernel."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tinybev.bench.foreign_load import (
    Meter,
    foreign_share,
    is_disturbed,
    machine_busy_s,
    peak_memory_mb,
    process_busy_s,
)
from tinybev.bench.playback import Heard, Playback, ages, freshness, outside_share, percentile, set_exposures

MS = 1_000_000
BEHIND_NS = 5_000 * MS
"""By so much the subscriber's clock is ahead of the player's."""


def heard(stamp_ms: float, late_ms: float) -> Heard:
    """Something stamped on the player's clock that came so late."""
    return Heard(round(stamp_ms * MS), round((stamp_ms + late_ms) * MS) + BEHIND_NS)


STANDING = [heard(0, late) for late in (-900, -500, -100)]
CLOCK = [*STANDING, *(heard(stamp, late) for stamp, late in ((0, 3), (20, 0), (40, 7), (60, 1)))]


def test_age_is_on_the_players_clock_between_its_ticks() -> None:
    results = [heard(5, 95), heard(88, 130)]
    assert ages(CLOCK, results) == pytest.approx([95.0, 130.0])
    assert ages([], results) == []
    assert ages(STANDING, results) == []


def test_freshness_of_known_stamps() -> None:
    exposures = [n * 100 * MS for n in range(20)]  # 10 a second
    results = [heard(n * 100, 50 + n) for n in range(0, 20, 2)]  # every other one, ever later
    whole = freshness(Playback(CLOCK, results, exposures), warm_up_s=0.0)
    assert (whole.results, whole.sets) == (10, 20)
    assert whole.used_share == pytest.approx(0.5)
    assert whole.sets_per_s == pytest.approx(10.0)
    assert whole.results_per_s == pytest.approx(5.0)
    assert whole.age_p50_ms == pytest.approx(59.0)
    assert whole.age_p95_ms == pytest.approx(67.1)
    late = freshness(Playback(CLOCK, results, exposures), warm_up_s=1.0)
    assert (late.results, late.sets) == (5, 10)
    assert late.age_p50_ms == pytest.approx(64.0)
    assert late.results_per_s == pytest.approx(5.0)


def test_a_play_without_results_has_no_age() -> None:
    nothing = freshness(Playback(CLOCK, [], [0, 100 * MS]), warm_up_s=0.0)
    assert (nothing.results, nothing.used_share, nothing.age_p50_ms, nothing.age_p95_ms) == (0, 0.0, None, None)
    assert freshness(Playback([], [], []), warm_up_s=0.0).sets == 0


def test_a_result_that_came_twice_uses_one_set() -> None:
    twice = freshness(Playback(CLOCK, [heard(0, 10), heard(0, 20)], [0, 100 * MS]), warm_up_s=0.0)
    assert twice.used_share == pytest.approx(0.5)


def test_sets_are_counted_by_the_camera_with_most_images_that_fires_last() -> None:
    stamps = {"CAM_FRONT": [0, 200, 100], "CAM_BACK": [30, 130, 230], "CAM_BACK_LEFT": [40, 140]}
    assert set_exposures(stamps) == [30, 130, 230]
    assert set_exposures({"CAM_FRONT": []}) == []
    assert set_exposures({}) == []


def test_share_outside_the_network_and_percentiles() -> None:
    assert outside_share(frame_ms=100.0, network_ms=80.0) == pytest.approx(0.2)
    assert percentile([1.0, 2.0, 3.0], 50) == 2.0
    assert percentile([], 50) is None


def test_foreign_share_is_what_the_measured_processes_did_not_use() -> None:
    before = Meter(wall_s=10.0, machine_s=100.0, processes_s={1: 5.0, 2: 7.0})
    after = Meter(wall_s=20.0, machine_s=118.0, processes_s={1: 17.0, 2: 12.0})
    assert foreign_share(before, after, processors=2) == pytest.approx(1.0 / 20.0)
    alone = Meter(wall_s=20.0, machine_s=117.0, processes_s={1: 17.0, 2: 12.0})
    assert foreign_share(before, alone, processors=2) == 0.0
    assert foreign_share(before, before, processors=2) is None
    assert foreign_share(before, Meter(20.0, None, {}), processors=2) is None
    assert is_disturbed(0.05)
    assert not is_disturbed(0.01)
    assert not is_disturbed(None)


def test_counters_are_read_as_the_kernel_writes_them(tmp_path: Path) -> None:
    ticks = os.sysconf("SC_CLK_TCK")
    (tmp_path / "stat").write_text(f"cpu  {ticks} {2 * ticks} {3 * ticks} 900 900 0 0 {4 * ticks} 0 0\ncpu0 1\n")
    folder = tmp_path / "7"
    folder.mkdir()
    (folder / "stat").write_text(f"7 (a) name) S {' '.join(['0'] * 10)} {5 * ticks} {ticks} 0 0\n")
    (folder / "status").write_text("Name:\ta\nVmHWM:\t  2048 kB\nVmRSS:\t 1024 kB\n")
    assert machine_busy_s(tmp_path) == pytest.approx(10.0)
    assert process_busy_s(7, tmp_path) == pytest.approx(6.0)
    assert peak_memory_mb(7, tmp_path) == pytest.approx(2.0)
    assert (process_busy_s(8, tmp_path), peak_memory_mb(8, tmp_path), machine_busy_s(folder)) == (0.0, None, None)
