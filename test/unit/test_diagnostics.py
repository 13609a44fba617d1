"""What the node tells of itself: counts, rates, percentiles, levels, and that it can be read back."""

from __future__ import annotations

import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.serialization import deserialize_message, serialize_message

from tinybev.types import CAMERAS, StageTimes, WeightsInfo
from tinybev_ros import diagnostics
from tinybev_ros.complaints import Complaints
from tinybev_ros.statistics import FRAMES_REMEMBERED, Percentiles, Statistics, SyncCounts

TRAINED = WeightsInfo("tinybev-nano", "nuScenes trainval", "ab" * 32)
UNTRAINED = WeightsInfo("tinybev-nano", "nothing (untrained, seed 0)", "cd" * 32)


class HandClock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def times(total: float) -> StageTimes:
    return StageTimes(decode=1.0, preprocess=2.0, network=3.0, postprocess=4.0, total=total)


def health(statistics: Statistics, **changes: object) -> diagnostics.Health:
    values: dict[str, object] = {
        "node": "tinybev",
        "state": "active",
        "snapshot": statistics.snapshot(),
        "complaints": {},
        "weights": TRAINED,
        "device": "cpu",
        "stale_after_s": 1.0,
    }
    return diagnostics.Health(**(values | changes))  # type: ignore[arg-type]


def levels(told: diagnostics.Health) -> dict[str, tuple[bytes, str]]:
    message = diagnostics.health_to_msg(told, 0)
    return {status.name.split(": ")[1]: (status.level, status.message) for status in message.status}


def running(clock: HandClock, cameras: tuple[str, ...] = CAMERAS) -> Statistics:
    statistics = Statistics(clock)
    for n in range(25):
        for camera in cameras:
            statistics.image_arrived(camera)
        statistics.frame_arrived(complete=cameras == CAMERAS)
        if n % 2 == 0:
            statistics.frame_inferred(times(10.0 + n), {"queue": 0.5})
        clock.now += 0.1
    statistics.frames_dropped(12)
    return statistics


def test_rates_and_counts_are_those_of_what_arrived() -> None:
    snapshot = running(HandClock()).snapshot()
    assert all(rate == pytest.approx(10.0) for rate in snapshot.camera_rates_hz.values())
    assert snapshot.result_rate_hz == pytest.approx(5.0)
    assert snapshot.result_age_s == pytest.approx(0.1)
    counts = snapshot.counts
    assert (counts.assembled, counts.partial, counts.inferred, counts.dropped) == (25, 0, 13, 12)


def test_rates_fall_to_zero_when_nothing_comes() -> None:
    clock = HandClock()
    statistics = running(clock)
    clock.now += 60.0
    assert statistics.snapshot().camera_rates_hz["CAM_FRONT"] == 0.0
    assert statistics.snapshot().camera_ages_s["CAM_FRONT"] == pytest.approx(60.1)


def test_time_without_frames_runs_while_images_arrive() -> None:
    clock = HandClock()
    statistics = Statistics(clock)
    assert statistics.snapshot().frameless_s is None
    for _ in range(30):
        statistics.image_arrived("CAM_FRONT")
        clock.now += 0.1
    assert statistics.snapshot().frameless_s == pytest.approx(3.0)
    statistics.frame_arrived(complete=False)
    assert statistics.snapshot().frameless_s is None
    statistics.image_arrived("CAM_FRONT")
    clock.now += 60.0  # silence is no time without frames
    statistics.image_arrived("CAM_FRONT")
    clock.now += 0.5
    assert statistics.snapshot().frameless_s == pytest.approx(0.5)


def test_frames_without_all_cameras_are_a_warning_where_they_are_most_of_the_last_ones() -> None:
    clock = HandClock()
    statistics = running(clock)
    assert statistics.snapshot().partial_share == 0.0
    for number in range(50):
        statistics.frame_arrived(complete=number % 3 == 0)
        statistics.frame_inferred(times(10.0), {})
        for camera in CAMERAS:
            statistics.image_arrived(camera)
        clock.now += 0.1
    assert statistics.snapshot().partial_share == pytest.approx(0.66, abs=0.02)
    assert levels(health(statistics))["frames"] == (DiagnosticStatus.WARN, "66% of the frames lack cameras")
    clock.now += 10.0
    assert statistics.snapshot().partial_share is None


def test_percentiles_are_over_the_last_frames() -> None:
    statistics = Statistics(HandClock())
    for total in [1e6] * 50 + list(range(FRAMES_REMEMBERED)):
        statistics.frame_inferred(times(float(total)), {})
    total = statistics.snapshot().stages["total"]
    assert total.p50 == pytest.approx((FRAMES_REMEMBERED - 1) / 2)
    assert total.p95 == pytest.approx(0.95 * (FRAMES_REMEMBERED - 1))


def test_report_is_read_back_from_the_message() -> None:
    statistics = running(HandClock())
    sync = SyncCounts(late=1, duplicates=2, dropped=3, wrong_clock=7, joined=4, resets=5, undelivered=6)
    statistics.follow(lambda: sync)
    message = diagnostics.health_to_msg(health(statistics), 7)
    report = diagnostics.read_report(deserialize_message(serialize_message(message), type(message)), "tinybev")
    assert report is not None
    assert report.counts == statistics.snapshot().counts
    assert report.sync == sync
    assert report.stages["decode"] == Percentiles(1.0, 1.0)
    assert report.stages["total"].p50 == pytest.approx(22.0)
    assert (report.weights, report.device) == (TRAINED, "cpu")
    assert diagnostics.read_report(message, "another_node") is None


def test_report_of_a_node_that_never_ran_holds_no_latency_and_no_weights() -> None:
    message = diagnostics.health_to_msg(health(Statistics(), weights=None, device="", state="unconfigured"), 7)
    report = diagnostics.read_report(message, "tinybev")
    assert report is not None
    assert (report.stages, report.weights) == ({}, None)


def test_all_is_well_with_six_cameras_and_trained_weights() -> None:
    told = levels(health(running(HandClock())))
    assert {level for level, _ in told.values()} == {DiagnosticStatus.OK}


def test_nothing_arriving_is_an_error() -> None:
    told = levels(health(Statistics()))
    assert told["inputs"] == (DiagnosticStatus.ERROR, "no images arrive")
    assert told["frames"] == (DiagnosticStatus.ERROR, "no result yet")


def test_missing_camera_stale_result_and_untrained_weights_are_warnings() -> None:
    clock = HandClock()
    statistics = running(clock, cameras=CAMERAS[:5])
    told = levels(health(statistics, weights=UNTRAINED))
    assert told["inputs"] == (DiagnosticStatus.WARN, "no images of cam_front_left")
    assert told["model"][0] == DiagnosticStatus.WARN
    clock.now += 2.0
    for camera in CAMERAS:
        statistics.image_arrived(camera)
    level, message = levels(health(statistics))["frames"]
    assert level == DiagnosticStatus.WARN
    assert message.startswith("no result for 2.")


def test_inactive_node_is_neither_stale_nor_missing_anything() -> None:
    told = levels(health(Statistics(), state="inactive"))
    assert told["inputs"] == told["frames"] == (DiagnosticStatus.OK, "inactive")


def test_open_complaints_are_told() -> None:
    told = health(running(HandClock()), complaints={"CAM_BACK": "no mounting"})
    inputs = diagnostics.health_to_msg(told, 0).status[0]
    assert (inputs.level, inputs.message) == (DiagnosticStatus.WARN, "CAM_BACK")
    assert [pair.value for pair in inputs.values if pair.key == "problem.CAM_BACK"] == ["no mounting"]


def test_complaint_is_said_once_until_it_is_settled() -> None:
    said: list[str] = []
    complaints = Complaints(said.append)
    for _ in range(3):
        complaints.raise_about("CAM_BACK", "no calibration")
    assert said == ["CAM_BACK: no calibration"]
    assert complaints.open() == {"CAM_BACK": "no calibration"}
    complaints.settle("CAM_BACK")
    assert complaints.open() == {}
    complaints.raise_about("CAM_BACK", "no calibration")
    assert len(said) == 2
