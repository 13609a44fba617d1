"""The figures of ``tinybev bench --only sync``, on real stamps and on made ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import tiny_nuscenes

from tinybev.bench.camera_stamps import CameraStamp, read_camera_stamps
from tinybev.bench.sync import TRANSPORTS, Emitted, Row, judged, measure, sent_over, synchronizers
from tinybev.cli import main
from tinybev.errors import UserError
from tinybev.phases import NUSCENES_RIG, PhaseLearner
from tinybev.types import CAMERAS

REAL_SCENES = ("scene-0103", "scene-0916")
MS = 1_000_000


@pytest.fixture(scope="module")
def real_stamps(nuscenes_dataroot: Path) -> dict[str, list[CameraStamp]]:
    return read_camera_stamps(nuscenes_dataroot, "v1.0-mini", REAL_SCENES)


@pytest.mark.parametrize("transport", TRANSPORTS, ids=lambda transport: transport.name)
def test_every_complete_revolution_of_nuscenes_comes_out_once(
    real_stamps: dict[str, list[CameraStamp]], transport: Any
) -> None:
    row = measure("tinybev", synchronizers()["tinybev"], transport, real_stamps)
    assert row.exact == row.complete
    assert row.keyframes_exact == row.keyframes
    assert (row.mixed, row.reused, row.in_order) == (0, 0, True)
    if not transport.lost:
        assert (row.complete, row.keyframes) == (220, 81)  # what the two scenes hold


def test_the_true_revolutions_of_nuscenes_are_what_its_tables_say(real_stamps: dict[str, list[CameraStamp]]) -> None:
    for stamps in real_stamps.values():
        by_revolution: dict[int, list[CameraStamp]] = {}
        for image in stamps:
            by_revolution.setdefault(image.revolution, []).append(image)
        for images in by_revolution.values():
            assert len({image.camera for image in images}) == len(images)
            assert max(image.stamp_ns for image in images) - min(image.stamp_ns for image in images) < 45 * MS
            assert len({image.is_keyframe for image in images}) == 1


@pytest.mark.parametrize("scene", REAL_SCENES)
def test_the_phases_of_nuscenes_are_learnt_without_knowing_it(
    real_stamps: dict[str, list[CameraStamp]], scene: str
) -> None:
    learner = PhaseLearner(CAMERAS, known_rigs=())
    rig = None
    for image in real_stamps[scene]:
        learner.observe(image.camera, image.stamp_ns)
        rig = rig or learner.estimate()
    assert rig is not None
    assert rig.period_ns == pytest.approx(50 * MS, rel=1e-3)
    for camera, phase_ns in NUSCENES_RIG.phases_ns.items():
        assert rig.phases_ns[camera] == pytest.approx(phase_ns, abs=MS)


def revolution(number: int) -> list[CameraStamp]:
    return [
        CameraStamp(camera, number * 50 * MS + phase_ns, number, is_keyframe=number == 0)
        for camera, phase_ns in NUSCENES_RIG.phases_ns.items()
    ]


def test_the_judge_sees_what_is_wrong() -> None:
    first, second = revolution(0), revolution(1)
    received = [(image.stamp_ns, image) for image in first + second]
    mixed = (second[0], *first[1:])
    counts = judged(received, [Emitted(tuple(first), 0), Emitted(mixed, 0), Emitted(mixed, 0, joined=True)])
    assert counts["complete"] == 2
    assert counts["exact"] == 1
    assert counts["keyframes"] == counts["keyframes_exact"] == 1
    assert counts["mixed"] == counts["joined"] == 1
    assert counts["reused"] == 6
    assert judged(received, [Emitted(tuple(first), 0)] * 2)["exact"] == 0
    assert judged(received, [Emitted(tuple(first[:5]), 0)])["partial"] == 1


def test_transports_do_what_they_say() -> None:
    stamps = [image for number in range(200) for image in revolution(number)]
    in_order, jittered, lossy = (sent_over(transport, stamps, "seed") for transport in TRANSPORTS)
    assert in_order == [(image.stamp_ns, image) for image in stamps]
    delays = [arrival - image.stamp_ns for arrival, image in jittered]
    assert 0 <= min(delays) < MS
    assert 29 * MS < max(delays) <= 30 * MS
    assert [image for _, image in jittered] != stamps
    assert 0.96 < len(lossy) / len(stamps) < 1
    assert jittered == sent_over(TRANSPORTS[1], stamps, "seed")


def test_the_command_measures_any_dataset(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tiny_nuscenes.write_tiny_nuscenes(tmp_path / "data")
    arguments = ["--dataroot", str(tmp_path / "data"), "--version", tiny_nuscenes.VERSION]
    assert main(["bench", "--only", "sync", *arguments, "--json", str(tmp_path / "out" / "bench.json")]) == 0
    rows = json.loads((tmp_path / "out" / "bench.json").read_text())["sync"]
    ours = [row for row in rows if row["method"] == "tinybev"]
    assert [row["run"] for row in ours] == [transport.name for transport in TRANSPORTS]
    assert set(rows[0]) == set(Row.__annotations__)
    assert all(row["exact"] == row["complete"] > 0 and not row["mixed"] for row in ours)
    assert ours[0]["run"] in capsys.readouterr().out


def test_a_dataset_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="must be a table of a nuScenes-format dataset"):
        read_camera_stamps(tmp_path, "v1.0-mini")
    (tmp_path / "v1.0-mini").mkdir()
    (tmp_path / "v1.0-mini" / "sensor.json").write_text('[{"token": "a"}]')
    with pytest.raises(UserError, match="records with token, channel"):
        read_camera_stamps(tmp_path, "v1.0-mini")


def test_an_unknown_scene_is_refused(tmp_path: Path) -> None:
    tiny_nuscenes.write_tiny_nuscenes(tmp_path)
    with pytest.raises(UserError, match="no scene 'scene-9999'; it has tiny-0001, tiny-0002"):
        read_camera_stamps(tmp_path, tiny_nuscenes.VERSION, ["scene-9999"])
