"""``tinybev train``: what its options come to, who may teach, and what it says when something is wrong."""

from __future__ import annotations

import argparse
import shlex
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from tinybev_training.data.dataset import open_dataset
from tinybev_training.teacher.cross_modal import seeded_teacher
from tinybev_training.teacher.cross_modal_config import find_teacher
from tinybev_training.teacher.live import LiveTeacher
from tinybev_training.teacher.stored import save_teacher
from tinybev_training.train import commands
from tinybev_training.train.curves import read_curves
from tinybev_training.train.first_weights import first_network
from tinybev_training.train.place import Place
from tinybev_training.train.recipe import Recipe, Telling
from tinybev_training.train.recipes import find_recipe
from tinybev_training.train.run import Outcome
from tinybev_training.train.teachers import Classroom, find_teacher_source
from train_runs import MICRO
from uniad_dumps import dump

from tinybev import cli
from tinybev.errors import UserError
from tinybev.model.student import seeded_student
from tinybev.runtime.backends import torch_device
from tinybev.runtime.bundle import load_bundle, make_bundle, read_bundle, save_bundle

pytestmark = pytest.mark.usefixtures("micro")

SMALL_RUN = shlex.split(
    "--split half --validation-split other_half --set network=micro --set steps=2 --set samples.labelled=2 "
    "--set rhythm.validation_samples=2 --device cpu --workers 0 --version v1.0-mini"
)


def asked(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> tuple[Recipe, Place, bool]:
    """What ``tinybev train`` with these arguments would train."""
    found: list[tuple[Recipe, Place, bool]] = []

    def train(recipe: Recipe, place: Place, resume: bool) -> Outcome:
        found.append((recipe, place, resume))
        return Outcome(recipe.steps, None)

    monkeypatch.setattr(commands, "train", train)
    assert cli.main(["train", *arguments]) == 0
    return found[0]


@pytest.mark.parametrize(
    ("split", "validation"), [("train", "val"), ("mini_train", "mini_val"), ("world_train", "world_val"), ("half", "")]
)
def test_validation_is_on_the_counterpart_of_the_split(
    monkeypatch: pytest.MonkeyPatch, split: str, validation: str
) -> None:
    recipe, _, _ = asked(monkeypatch, "--recipe", "alone", "--dataroot", "d", "--split", split)
    assert recipe.validation_split == validation


def test_options_become_the_recipe_and_the_place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    recipe, place, resume = asked(
        monkeypatch,
        *shlex.split("--recipe s3 --teacher runs/t --dataroot d --split world_train --validation-split none"),
        *shlex.split("--precision bf16 --devices 2 --workers 3 --set steps=7 --set optimization.learning_rate=1e-4"),
    )
    assert (recipe.name, recipe.teacher, recipe.split, recipe.validation_split) == (
        "s3_joint",
        "runs/t",
        "world_train",
        "",
    )
    assert (recipe.precision, recipe.steps, recipe.optimization.learning_rate) == ("bf16-mixed", 7, 1e-4)
    assert place == Place(Path("d"), "v1.0-trainval", Path("out/train/s3_joint"), devices=2, workers=3)
    assert not resume


def test_a_run_that_goes_on_takes_its_recipe_from_its_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    written = find_recipe("s2", "runs/t")
    (tmp_path / "recipe.json").write_text(written.to_json())
    recipe, place, resume = asked(monkeypatch, "--resume", "--out", str(tmp_path), "--dataroot", "d")
    assert (recipe, place.out, resume) == (written, tmp_path, True)
    again, _, _ = asked(monkeypatch, *f"--resume --recipe s2 --out {tmp_path} --dataroot d".split())
    assert again == written


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("--dataroot d", "--recipe: expected one of alone, s1, s2"),
        ("--recipe s9 --dataroot d", "got 's9'; choose one."),
        ("--recipe alone", "expected --dataroot"),
        ("--recipe alone --dataroot d --set steps", "--set steps: expected FIELD=VALUE"),
        ("--recipe alone --dataroot d --devices 0", "expected --devices from 1"),
        ("--recipe s1 --dataroot d", "learns from a teacher and none is named; name it with --teacher."),
        ("--recipe s1 --dataroot d --teacher nowhere", "--teacher nowhere: expected 'self', the folder of a finished"),
        ("--recipe alone --dataroot nowhere --set network=giant", "variant: expected one of"),
        ("--recipe alone --dataroot nowhere", "nowhere"),
        ("--recipe alone --dataroot nowhere --set start=elsewhere", "bundle 'elsewhere': expected a folder with"),
        ("--recipe teacher --dataroot d --set start=x", "start: expected none for a teacher"),
    ],
)
def test_what_is_wrong_is_one_sentence_and_leaves_nothing(
    arguments: str, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(["train", "--device", "cpu", *arguments.split()]) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("tinybev train: ")]
    assert sentence in line
    assert not list(tmp_path.iterdir())


def test_recipe_and_run_must_be_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "recipe.json").write_text(find_recipe("s2", "runs/t").to_json())
    assert cli.main(["train", *f"--resume --recipe s3 --out {tmp_path} --dataroot d".split()]) == 2
    assert "the run is of recipe 's2_output', not 's3_joint'; leave --recipe out." in capsys.readouterr().err


def test_another_teacher_is_another_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "recipe.json").write_text(find_recipe("s2", "runs/t").to_json())
    recipe, _, _ = asked(monkeypatch, *shlex.split(f"--resume --out {tmp_path} --dataroot d --teacher runs/other"))
    assert recipe.teacher == "runs/other"  # and the checkpoint, which names the first one, is refused


def test_decoded_images_are_kept_where_a_recipe_says_so(split_dataroot: Path, tmp_path: Path) -> None:
    cache = ["--cache", str(tmp_path / "cache"), "--set", "samples.cache_size=[90, 160]"]
    arguments = [*SMALL_RUN, "--dataroot", str(split_dataroot), "--out", str(tmp_path / "run")]
    assert cli.main(["train", "--recipe", "alone", *arguments, *cache]) == 0
    assert len(list((tmp_path / "cache").rglob("*.npy"))) >= 4 * 6


def test_what_is_shown_can_be_set(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["train", *shlex.split("--recipe s3 --teacher t --show")]) == 0
    fields = capsys.readouterr().out.splitlines()
    settings = [part for field in fields for part in ("--set", field)]
    parser = argparse.ArgumentParser()
    commands.add_arguments(parser)
    args = parser.parse_args(["--recipe", "s3", *settings])
    recipe, _ = commands._recipe_and_folder(args)
    assert recipe == find_recipe("s3", "t")


def test_float16_is_refused_without_a_gpu(
    split_dataroot: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [*SMALL_RUN, "--dataroot", str(split_dataroot), "--out", str(tmp_path / "run"), "--precision", "fp16"]
    assert cli.main(["train", "--recipe", "alone", *arguments]) == 2
    assert "precision: float16 needs a GPU; choose bf16 or fp32." in capsys.readouterr().err


def test_bfloat16_is_refused_where_it_would_only_be_slow(
    split_dataroot: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch_device, "computes_bfloat16", lambda device: False)
    arguments = [*SMALL_RUN, "--dataroot", str(split_dataroot), "--out", str(tmp_path / "run"), "--precision", "bf16"]
    assert cli.main(["train", "--recipe", "alone", *arguments]) == 2
    assert "precision: expected a processor with bfloat16 instructions" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_teachers_are_found_by_what_is_in_their_folder(tmp_path: Path, split_dataroot: Path) -> None:
    student = seeded_student(MICRO, 1)
    save_bundle(make_bundle("larger", MICRO, student.state_dict(), "nothing"), tmp_path / "run" / "bundle")
    save_teacher(seeded_teacher(find_teacher("teacher-nano"), 0), tmp_path / "teacher", {})
    (tmp_path / "dumps").mkdir()
    save_file({"bev_embed": torch.zeros(1)}, tmp_path / "dumps" / "token.safetensors")
    recipes = {name: find_recipe("s3", str(tmp_path / name)) for name in ("run", "run/bundle", "teacher", "dumps")}
    sources = {name: find_teacher_source(recipe) for name, recipe in recipes.items()}
    assert [source.needs_lidar for source in sources.values()] == [False, False, True, False]
    assert [source.past_frames for source in sources.values()] == [0, 0, 1, 0]

    def average() -> None:
        raise AssertionError("a trained teacher needs no average")

    room = Classroom(average, ["token"], torch.device("cpu"))  # type: ignore[arg-type]
    for name in ("run", "run/bundle", "teacher"):
        assert isinstance(sources[name].open(room), LiveTeacher)


def test_a_student_learns_from_dumps_of_some_of_its_samples(split_dataroot: Path, tmp_path: Path) -> None:
    """Those without a dump are masked; with several processes that is refused, as a process might have none at all."""
    tokens = [where.keyframe.token for where in open_dataset(split_dataroot, "v1.0-mini", "half").keyframes]
    for token in tokens[::2]:
        maps = {"lane_score": torch.rand(3, 200, 200), "drivable_score": torch.rand(200, 200)}
        dump(tmp_path / "dumps", token, **maps, occ_score=torch.rand(5, 200, 200), sdc_traj=torch.rand(6, 2))
    arguments = [*SMALL_RUN, "--dataroot", str(split_dataroot), "--out", str(tmp_path / "run"), "--set", "rhythm.log=1"]
    assert cli.main(["train", "--recipe", "s2", "--teacher", str(tmp_path / "dumps"), *arguments]) == 0
    curves = read_curves(tmp_path / "run" / "metrics.csv")
    for term in ("map", "occupancy"):
        assert max(curves[f"train/distilled/{term}"].values()) > 0
    assert set(curves["train/distilled/heatmap"].values()) == {0.0}
    source = find_teacher_source(find_recipe("s2", str(tmp_path / "dumps")))
    with pytest.raises(UserError, match=rf"2 processes train, {len(tokens) // 2} of {len(tokens)} have none"):
        source.open(Classroom(lambda: None, tokens, torch.device("cpu"), world_size=2))  # type: ignore[arg-type, return-value]


def test_a_run_may_start_from_a_bundle_and_learn_from_another(split_dataroot: Path, tmp_path: Path) -> None:
    """Two stages in a row, the second taught by what the first one left and starting from it."""
    first, second = tmp_path / "first", tmp_path / "second"
    common = [*SMALL_RUN, "--dataroot", str(split_dataroot)]
    assert cli.main(["train", "--recipe", "alone", "--out", str(first), *common]) == 0
    start = [
        "--set",
        f"start={first / 'bundle'}",
        "--set",
        "optimization.learning_rate=0",
        "--set",
        "averaging.decay=0",
    ]
    assert cli.main(["train", "--recipe", "s2", "--teacher", str(first), "--out", str(second), *start, *common]) == 0
    one, two = read_bundle(first / "bundle"), read_bundle(second / "bundle")
    assert two.manifest.name == "tinybev-micro-s2_output"
    for name, tensor in one.weights.items():
        if not name.endswith(("running_mean", "running_var", "num_batches_tracked")):
            assert torch.equal(two.weights[name], tensor)
    assert Recipe.from_json((second / "recipe.json").read_text(), "recipe.json").start == str(first / "bundle")


def test_a_bundle_of_another_network_is_no_start(
    split_dataroot: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_bundle(make_bundle("micro", MICRO, seeded_student(MICRO, 1).state_dict(), "nothing"), tmp_path / "bundle")
    arguments = [*SMALL_RUN, "--dataroot", str(split_dataroot), "--set", f"start={tmp_path / 'bundle'}"]
    assert (
        cli.main(["train", "--recipe", "alone", *arguments, "--set", "memory_frames=1", "--out", str(tmp_path / "r")])
        == 2
    )
    said = capsys.readouterr().err
    assert "start: expected a bundle of the configuration of tinybev-micro" in said
    assert "differs in memory_frames (0 in place of 1)" in said


def test_the_shipped_bundle_is_a_start_however_many_objects_it_finds() -> None:
    recipe = replace(find_recipe("alone"), network="mini", start="shipped:mini", telling=Telling(ego_status=True))
    network = first_network(recipe)
    shipped = load_bundle("shipped:mini")
    assert torch.equal(network.state_dict()["student.backbone.conv1.weight"], shipped.weights["backbone.conv1.weight"])


def test_a_planner_that_was_told_its_speed_is_told_it_further(
    split_dataroot: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = {"recipe": {"telling": {"ego_status": True}}}
    weights = seeded_student(MICRO, 1).state_dict()
    save_bundle(make_bundle("micro", MICRO, weights, "nothing", told), tmp_path / "bundle")
    arguments = [*SMALL_RUN, "--dataroot", str(split_dataroot), "--set", f"start={tmp_path / 'bundle'}"]
    assert cli.main(["train", "--recipe", "alone", *arguments, "--out", str(tmp_path / "run")]) == 2
    assert "telling.ego_status=true" in capsys.readouterr().err
