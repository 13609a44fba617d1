"""``tinybev world``: goes on where it was stopped, and says what is wrong."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from tinybev_training.long_work.folder_lock import alone_in
from tinybev_training.world import dataset_writer
from tinybev_training.world.dataset_writer import (
    TRAIN,
    VAL,
    VERSION,
    Order,
    begin,
    default_splits,
    is_val,
    named_splits,
    tile_of,
)
from tinybev_training.world.demo_scene import demo_scenario

from tinybev.cli import run_command
from tinybev.errors import UserError

MODULE = "tinybev_training.world.commands"
SMALL = ("--duration", "1.2", "--size", "64", "36", "--processes", "1", "--scenes", "2")


def run(*arguments: str) -> int:
    return run_command(MODULE, arguments, "tinybev world")


@pytest.fixture
def without_traffic(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The demo's scenario, cut to the duration, in place of generated ones; the names that were asked for."""
    asked: list[str] = []

    def stand_in(seed: int, duration_s: float, name: str) -> object:
        from dataclasses import replace

        asked.append(name)
        scenario, ticks = demo_scenario(), round(duration_s * 20) + 1
        agents = replace(scenario.agents, poses=scenario.agents.poses[:ticks], present=scenario.agents.present[:ticks])
        return replace(scenario, name=name, seed=seed, ego=scenario.ego[:ticks], agents=agents)

    monkeypatch.setattr(dataset_writer, "generate_scenario", stand_in)
    return asked


def digests(root: Path) -> dict[str, str]:
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def test_a_killed_run_goes_on_and_ends_with_the_same_bytes(
    without_traffic: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert run(*SMALL, "--out", str(whole)) == 0
    assert without_traffic == ["world-0000", "world-0001"]

    kept = dataset_writer.finish_scene

    def killed_in_the_second(root: Path, scenario: object, rows: object) -> None:
        if scenario.name == "world-0001":  # type: ignore[attr-defined]
            raise KeyboardInterrupt
        kept(root, scenario, rows)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(dataset_writer, "finish_scene", killed_in_the_second)
        assert run(*SMALL, "--out", str(killed)) == 130
    assert not (killed / VERSION).exists()  # nothing that looks whole
    without_traffic.clear()
    assert run(*SMALL, "--out", str(killed)) == 0
    assert without_traffic == ["world-0001"]  # the finished scene is not made again
    assert digests(killed) == digests(whole)
    splits = json.loads((whole / VERSION / "splits.json").read_text())
    assert splits == {TRAIN: ["world-0000"], VAL: ["world-0001"]}


def test_other_options_for_the_same_folder_are_refused(
    without_traffic: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(tmp_path / "out")
    assert run(*SMALL, "--out", out) == 0
    assert run(*SMALL, "--seed", "5", "--out", out) == 2
    assert "other options" in capsys.readouterr().err


def test_scenes_of_two_versions_of_the_world_are_not_mixed(
    without_traffic: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert run(*SMALL, "--out", str(out)) == 0
    whole = digests(out)
    monkeypatch.setattr(dataset_writer, "drawing_code", lambda: "another")
    assert run(*SMALL, "--out", str(out)) == 0  # nothing is missing
    assert digests(out) == whole
    more = ("--duration", "1.2", "--size", "64", "36", "--processes", "1", "--scenes", "3")
    assert run(*more, "--out", str(out)) == 2
    assert "another version of the synthetic world" in capsys.readouterr().err
    assert digests(out) == whole


@pytest.mark.parametrize(
    "arguments",
    [
        ("--scenes", "0"),
        ("--camera-hz", "3"),
        ("--duration", "0.5"),
        ("--weather", "snow=1"),
        ("--size", "8", "8"),
        ("--seed", "-1"),
        ("--splits", "few=0-99"),
    ],
)
def test_nonsense_is_refused_before_anything_is_written(arguments: tuple[str, ...], tmp_path: Path) -> None:
    assert run(*arguments, "--out", str(tmp_path / "out")) == 2
    assert not (tmp_path / "out").exists()


def test_a_folder_of_one_that_was_killed_at_its_start_is_taken(tmp_path: Path) -> None:
    (tmp_path / ".world").mkdir()
    (tmp_path / ".world" / ".order.json.partial").write_text("{")
    begin(tmp_path, Order())
    assert (tmp_path / ".world" / "order.json").is_file()


def test_a_sun_below_the_horizon_is_refused() -> None:
    for elevation in ("-0.5", "nan", "2"):
        with pytest.raises(UserError, match="above the horizon"):
            Order(weather=(f"sun_elevation={elevation}",))


def test_a_folder_of_somebody_else_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "precious.txt").write_text("mine")
    assert run("--out", str(tmp_path)) == 2
    assert "something else" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["precious.txt"]


def test_no_two_scenes_share_a_place_on_the_map() -> None:
    tiles = [tile_of(index, 600.0) for index in range(200)]
    assert len(set(tiles)) == 200
    same_place = [origin for place, origin in tiles if place == tiles[0][0]]
    assert min(abs(a[0] - b[0]) + abs(a[1] - b[1]) for a in same_place for b in same_place if a != b) >= 600.0


def test_splits_hold_every_scene_once() -> None:
    for scenes in (1, 2, 5, 12):
        splits = default_splits(scenes)
        assert sorted(splits[TRAIN] + splits[VAL]) == [f"world-{index:04d}" for index in range(scenes)]
        assert splits[VAL]
    assert [index for index in range(10) if is_val(index, 10)] == [4, 9]


def test_splits_may_be_named() -> None:
    splits = named_splits(["few=0-1", "rest=2-4", "all=0-4"], 5)
    assert splits["few"] == ["world-0000", "world-0001"]
    assert splits["few"] + splits["rest"] == splits["all"]


@pytest.mark.parametrize("ranges", [["few=0-5"], ["few=3-1"], ["few"], ["few=a-b"], ["few=0-1", "few=2-3"]])
def test_a_split_that_is_not_there_is_refused(ranges: list[str]) -> None:
    with pytest.raises(UserError, match=r"expected NAME=FIRST-LAST, each name once, within the scenes 0-4"):
        named_splits(ranges, 5)


@pytest.mark.parametrize("when", ["generate_scenario", "write_text"])
def test_a_full_disk_and_a_second_process_are_one_sentence(
    when: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    out = tmp_path / "world"
    monkeypatch.setattr(dataset_writer, when, full)
    assert run(*SMALL, "--out", str(out)) == 2
    assert f"tinybev world: {out} cannot be written: No space left on device" in capsys.readouterr().err
    with alone_in(out):
        assert run(*SMALL, "--out", str(out)) == 2
    assert f"tinybev world: {out}: another process is at work in it" in capsys.readouterr().err
