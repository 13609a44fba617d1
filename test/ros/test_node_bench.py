"""The benches of the running node: a made recording goes through a real node process, and its figures come out."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from tinybev.bench.speed_row import SpeedRow
from tinybev.cli import main
from tinybev.errors import UserError
from tinybev.types import CAMERAS
from tinybev_ros import topics
from tinybev_ros.bag import open_bag
from tinybev_ros.end_to_end_bench import end_to_end_rows
from tinybev_ros.node_bench import FRAME, NETWORK, PART_OF, node_rows
from tinybev_ros.node_bench_recording import RATE_HZ, Recording, read_recording, write_made_recording
from tinybev_ros.node_bench_turns import Settings, measure, settings_from

SECONDS = 2.5
BUNDLE = "untrained:nano"


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    """A made recording, short."""
    bag = tmp_path_factory.mktemp("made") / "recording"
    write_made_recording(bag, SECONDS)
    return read_recording(bag)


def test_the_made_recording_is_one_of_six_cameras_at_12_hz(recording: Recording) -> None:
    sets = round(SECONDS * RATE_HZ)
    assert len(recording.exposures_ns) == sets
    assert recording.duration_s == pytest.approx(SECONDS, abs=1.5 / RATE_HZ)
    with open_bag(recording.bag) as bag:
        for camera in CAMERAS:
            assert bag.topics[topics.camera_image_topic(camera)].message_count == sets
            assert bag.topics[topics.camera_info_topic(camera)].message_count == sets
        assert bag.topics[topics.TF_STATIC].message_count == 1
        assert bag.topics[topics.ODOMETRY].message_count == bag.topics[topics.TF].message_count > 6 * sets


@pytest.mark.timeout(300)
def test_a_recording_through_the_running_node_gives_the_rows_of_both_benches(
    recording: Recording, ros_domain: int
) -> None:
    settings = Settings(recording.bag, BUNDLE, ("torch",), threads=1, plays=1, warm_up_s=0.0)
    measured = measure(settings)
    (play,) = measured.plays["torch"].all
    assert measured.absent == {}

    stages = {row["stage"]: row for row in node_rows(measured, settings)}
    assert list(stages) == [stage for stage in PART_OF if stage != "splat"]  # eager PyTorch does not tell the pooling
    outside, network = (
        float(str(value)) for value in (stages[FRAME]["outside_network_share"], stages[NETWORK]["share_of_frame"])
    )
    assert outside == pytest.approx(1 - network, abs=1e-3)
    (row,) = end_to_end_rows(measured, settings)
    for each in (*stages.values(), row):
        assert set(SpeedRow.__annotations__) <= set(each)
        assert (each["backend"], each["precision"], each["threads"], each["samples"]) == ("torch", "float32", 1, 1)

    counts, sets = play.report.counts, len(recording.exposures_ns)
    heard = [result.stamp_ns for result in play.playback.results]
    assert 1 <= len(heard) <= counts.inferred  # the first may leave before the middleware has found who listens
    assert heard == sorted(set(heard))
    assert counts.inferred + counts.dropped + counts.refused <= counts.assembled + counts.partial
    assert 1 <= int(str(row["results"])) <= counts.inferred
    assert row["sets"] == sets
    assert row["used_share"] == pytest.approx(int(str(row["results"])) / sets, abs=1e-3)
    assert 0 < float(str(row["p50_ms"])) <= float(str(row["p95_ms"]))
    assert play.start_to_result_s > 0
    assert play.peak_memory_mb is None or play.peak_memory_mb > 50
    assert measure(settings) is measured  # the second bench plays nothing again


def test_a_node_that_refuses_to_start_is_a_sentence(recording: Recording, ros_domain: int) -> None:
    with pytest.raises(UserError, match="auto: the node ended with status 1"):
        measure(Settings(recording.bag, "/no/such/bundle", plays=1))


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [({"backends": ["abacus"]}, "got abacus"), ({"plays": 0}, "--plays: expected 1 or more, got 0")],
)
def test_wrong_arguments_are_refused(wrong: dict[str, object], sentence: str) -> None:
    right = {"bag": None, "bundle": None, "backends": None, "threads": 0, "plays": 1}
    with pytest.raises(UserError, match=sentence):
        settings_from(argparse.Namespace(**(right | wrong)))


def test_a_bag_that_is_not_there_is_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "--only", "node", "--bag", str(tmp_path / "nowhere")]) == 2
    assert "nowhere" in capsys.readouterr().err
