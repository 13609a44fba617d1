"""``tinybev data``: what it draws, writes and says."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from tiny_nuscenes import VERSION

from tinybev.cli import run_command

MODULE = "tinybev_training.data.commands"


def run(*argv: str) -> int:
    return run_command(MODULE, list(argv), "tinybev data")


def test_show_draws_the_first_keyframe_of_every_scene(tiny_dataroot: Path, tmp_path: Path) -> None:
    assert run("show", "--dataroot", str(tiny_dataroot), "--version", VERSION, "--out", str(tmp_path / "out")) == 0
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["tiny-0001-000.png", "tiny-0002-000.png"]
    picture = cv2.imread(str(tmp_path / "out" / names[0]))
    assert picture.shape[1] == 1920
    panel = picture[-960:-480, :480]  # the map: a road of the drivable colour under the ego, dark around it
    assert len(np.unique(panel.reshape(-1, 3), axis=0)) > 3


def test_show_one_sample_augmented(tiny_dataroot: Path, tmp_path: Path) -> None:
    token = json.loads((tiny_dataroot / VERSION / "sample.json").read_text())[3]["token"]
    common = ("show", "--dataroot", str(tiny_dataroot), "--version", VERSION, "--sample", token)
    assert run(*common, "--out", str(tmp_path / "plain")) == 0
    assert run(*common, "--out", str(tmp_path / "augmented"), "--augment", "3", "--image-size", "96x160") == 0
    plain, augmented = (cv2.imread(str(next((tmp_path / d).iterdir()))) for d in ("plain", "augmented"))
    assert plain.shape == augmented.shape
    assert not np.array_equal(plain, augmented)


def test_bench_reports_where_the_time_goes(tiny_dataroot: Path, tmp_path: Path) -> None:
    report = tmp_path / "speed.json"
    common = (
        "bench",
        "--dataroot",
        str(tiny_dataroot),
        "--version",
        VERSION,
        "--samples",
        "6",
        "--image-size",
        "64x96",
    )
    assert run(*common, "--json", str(report), "--cache", str(tmp_path / "cache"), "--cache-size", "90x160") == 0
    speed = json.loads(report.read_text())
    assert speed["samples"] == 6
    assert speed["images_per_sample"] == 6
    assert speed["cached"] is True
    assert set(speed["stage_ms"]) == {"read", "decode", "images", "targets", "collate"}
    assert speed["samples_per_s"] == pytest.approx(1000 / sum(speed["stage_ms"].values()), rel=1e-6)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("show", "--sample", "nonsense"), "expected the token of a sample"),
        (("show", "--every", "0"), "--every: expected at least 1"),
        (("bench", "--samples", "0"), "--samples: expected at least 1"),
        (("show", "--scene", "scene-9999"), "expected a scene"),
    ],
)
def test_mistakes_end_in_one_sentence(
    arguments: tuple[str, ...], sentence: str, tiny_dataroot: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    action, *rest = arguments
    out = ("--out", str(tmp_path)) if action == "show" else ()
    assert run(action, "--dataroot", str(tiny_dataroot), "--version", VERSION, *out, *rest) == 2
    assert sentence in capsys.readouterr().err.splitlines()[-1]
    assert not list(tmp_path.iterdir())
