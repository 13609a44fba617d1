"""Bundles: what is exported is what is read, bit for bit; anything that does not match is refused and named."""

from __future__ import annotations

import dataclasses
import errno
import hashlib
import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import safetensors.torch
import torch

from tinybev.cli import main
from tinybev.config import NodeConfig
from tinybev.errors import UserError
from tinybev.model.config import find_variant
from tinybev.model.student import MAX_SEED, seeded_student
from tinybev.runtime.bundle import (
    MANIFEST_FILE,
    SHIPPED_FOLDER,
    WEIGHTS_FILE,
    halved,
    load_bundle,
    make_bundle,
    save_bundle,
)
from tinybev.runtime.manifest import Manifest
from tinybev.types import Command

SPEC = "untrained:nano:3"


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundles") / "mine"
    save_bundle(load_bundle(SPEC), folder)
    return folder


@pytest.fixture
def copy(exported: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(exported, tmp_path / "copy"))


def test_untrained_weights_say_so() -> None:
    info = load_bundle(SPEC).info
    assert info.name == "tinybev-nano"
    assert info.trained_on == "nothing (untrained, seed 3)"
    assert not info.trained
    assert load_bundle("untrained:tinybev-nano").info.trained_on == "nothing (untrained, seed 0)"


def test_the_seed_is_the_weights() -> None:
    assert load_bundle(SPEC).info == load_bundle(SPEC).info
    assert load_bundle("untrained:nano:4").info.sha256 != load_bundle(SPEC).info.sha256


def test_what_is_read_is_what_was_saved(exported: Path) -> None:
    saved, read = load_bundle(SPEC), load_bundle(str(exported))
    assert read.manifest == saved.manifest
    assert sorted(read.weights) == sorted(saved.weights)
    assert all(torch.equal(read.weights[name], saved.weights[name]) for name in saved.weights)
    assert sorted(path.name for path in exported.iterdir()) == [MANIFEST_FILE, WEIGHTS_FILE]
    student = read.build_student()
    assert not student.training
    assert all(torch.equal(value, saved.weights[name]) for name, value in student.state_dict().items())


def test_training_and_metrics_travel_along(tmp_path: Path) -> None:
    config = find_variant("nano")
    weights = seeded_student(config, 0).state_dict()
    bundle = make_bundle("best", config, weights, "a world", {"steps": 5, "recipe": {"lr": 0.1}}, {"mAP": 0.4})
    save_bundle(bundle, tmp_path / "best")
    read = load_bundle(str(tmp_path / "best"))
    assert read.manifest == bundle.manifest
    assert read.info.trained


def test_the_manifest_holds_what_belongs_to_the_weights(exported: Path) -> None:
    values = json.loads((exported / MANIFEST_FILE).read_text())
    assert values["detection_classes"][:2] == ["car", "truck"]
    assert values["map_classes"] == ["divider", "crossing", "boundary", "drivable"]
    assert values["config"]["x_bound"] == [-51.2, 51.2, 0.8]
    assert values["config"]["image_mean"] == [123.675, 116.28, 103.53]
    assert values["config"]["motion_steps"] == 12
    assert len(values["sha256"]) == 64


def edit(change: Callable[[dict], None]) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        path = folder / MANIFEST_FILE
        values = json.loads(path.read_text())
        change(values)
        path.write_text(json.dumps(values))

    return apply


def damage_weights(folder: Path) -> None:
    path = folder / WEIGHTS_FILE
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def replace_weights(change: Callable[[dict[str, torch.Tensor]], None]) -> Callable[[Path], None]:
    """Other weights, with a checksum that fits them."""

    def apply(folder: Path) -> None:
        weights = safetensors.torch.load_file(folder / WEIGHTS_FILE)
        change(weights)
        manifest = Manifest.from_json((folder / MANIFEST_FILE).read_text(), "manifest")
        content = safetensors.torch.save(weights)
        sha256 = hashlib.sha256(content).hexdigest()
        (folder / WEIGHTS_FILE).write_bytes(content)
        (folder / MANIFEST_FILE).write_text(dataclasses.replace(manifest, sha256=sha256).to_json())

    return apply


def add(weights: dict[str, torch.Tensor]) -> None:
    weights["extra"] = torch.zeros(2)


def double(weights: dict[str, torch.Tensor]) -> None:
    weights["neck.lateral.0.weight"] = weights["neck.lateral.0.weight"].double()


@pytest.mark.parametrize(
    ("harm", "complaint"),
    [
        (lambda folder: (folder / MANIFEST_FILE).unlink(), "manifest.json is missing"),
        (lambda folder: (folder / WEIGHTS_FILE).unlink(), "weights.safetensors is missing"),
        (lambda folder: (folder / MANIFEST_FILE).write_text("{"), "expected JSON, got"),
        (lambda folder: (folder / MANIFEST_FILE).write_bytes(b"\xff\xfe"), "expected a text file"),
        (lambda folder: (folder / MANIFEST_FILE).write_text("[]"), "expected a JSON object, got list"),
        (damage_weights, "expected sha256 [0-9a-f]{64}, got [0-9a-f]{64}"),
        (edit(lambda values: values.update(format_version=2)), "expected format_version 1, got 2"),
        (edit(lambda values: values["detection_classes"].reverse()), "expected detection_classes"),
        (edit(lambda values: values["map_classes"].pop()), "expected map_classes"),
        (edit(lambda values: values.pop("trained_on")), "expected trained_on to be a str, got None"),
        (edit(lambda values: values["config"].pop("d_bound")), "expected d_bound, not given"),
        *(
            (edit(lambda values, change=change: values["config"].update(change)), f"manifest.json: {complaint}")
            for change, complaint in (
                ({"bev_stem_stride": 0}, "bev_stem_stride: expected 1 or more, got 0"),
                ({"max_agents": 50_000}, "max_agents: expected at most 40960"),
                ({"x_bound": [-math.inf, math.inf, 0.8]}, "x_bound: expected"),
                ({"memory_frames": -1}, "memory_frames: expected 0 or more, got -1"),
            )
        ),
        (
            edit(lambda values: values["config"].update(bev_channels=40)),
            r"expected bev_encoder.lateral.0.bias of tinybev-nano to be float32\[40\], got float32\[48\]",
        ),
        (
            replace_weights(lambda weights: weights.pop("bev_stem.conv.0.weight")),
            "bev_stem.conv.0.weight .* got absent",
        ),
        (replace_weights(add), r"expected extra of tinybev-nano to be absent, got float32\[2\]"),
        (replace_weights(double), "to be float32.* got float64"),
    ],
)
def test_a_bundle_whose_parts_do_not_match_is_refused(copy: Path, harm: Callable[[Path], None], complaint: str) -> None:
    harm(copy)
    with pytest.raises(UserError, match=complaint):
        load_bundle(str(copy))


@pytest.mark.parametrize(
    ("spec", "complaint"),
    [
        ("untrained:huge", "expected one of tinybev-base"),
        ("untrained:nano:-1", f"seed from 0 to {MAX_SEED}, got '-1'"),
        ("untrained:nano:x", f"seed from 0 to {MAX_SEED}, got 'x'"),
        (f"untrained:nano:{MAX_SEED + 1}", f"seed from 0 to {MAX_SEED}, got '{MAX_SEED + 1}'"),
        ("untrained:nano:" + 5000 * "9", f"seed from 0 to {MAX_SEED}, got '999"),
        ("shipped:huge", "bundle 'shipped:huge': expected one of .*; choose one"),
        ("/no/such/folder", "expected a folder with manifest.json and weights.safetensors"),
    ],
)
def test_a_specification_that_names_nothing_is_refused(spec: str, complaint: str) -> None:
    with pytest.raises(UserError, match=complaint):
        load_bundle(spec)


def test_every_seed_that_is_allowed_gives_weights() -> None:
    assert load_bundle(f"untrained:nano:{MAX_SEED}").info.trained_on == f"nothing (untrained, seed {MAX_SEED})"
    for seed in (-1, MAX_SEED + 1):
        with pytest.raises(UserError, match=f"seed: expected 0 to {MAX_SEED}, got {seed}; choose another"):
            seeded_student(find_variant("nano"), seed)


def test_weights_that_cannot_be_read_are_refused(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> bytes:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(Path, "read_bytes", refuse)  # the superuser may read whatever its permissions are
    with pytest.raises(UserError, match=f"{copy / WEIGHTS_FILE}: expected .* can be read, got Permission denied"):
        load_bundle(str(copy))


def test_halved_weights_take_half_the_room_and_compute_almost_the_same(exported: Path, tmp_path: Path) -> None:
    whole = load_bundle(SPEC)
    manifest = whole.manifest
    save_bundle(make_bundle("half", whole.config, halved(whole.weights), manifest.trained_on), tmp_path / "half")
    half = load_bundle(str(tmp_path / "half"))
    sizes = [(folder / WEIGHTS_FILE).stat().st_size for folder in (tmp_path / "half", exported)]
    assert sizes[0] < 0.52 * sizes[1]
    exact, rounded = (bundle.build_student().state_dict() for bundle in (whole, half))
    for name, tensor in rounded.items():
        assert tensor.dtype == exact[name].dtype
        assert torch.allclose(tensor, exact[name], rtol=2**-11, atol=2**-24), name
        if "running" in name:
            assert torch.equal(tensor, exact[name])


def test_the_shipped_planner_listens_to_the_speed_and_not_to_the_acceleration_that_it_never_learnt() -> None:
    bundle = load_bundle("shipped:mini")
    listens_to_64x10 = bundle.weights["planning_head.conditions.weight"]
    assert listens_to_64x10.shape[1] == len(Command) + 3 + 4  # the goal, and of the ego the speed first
    assert listens_to_64x10[:, 6].any()
    assert not listens_to_64x10[:, 8].any()
    assert "acceleration" in str(bundle.manifest.training["after_training"])


def test_the_shipped_bundle_is_small_and_says_what_it_was_trained_on_and_how_it_scores() -> None:
    bundle = load_bundle(NodeConfig().bundle)
    assert bundle.config.name == "tinybev-mini"
    assert bundle.manifest.trained_on.startswith("synthetic data only")
    assert (SHIPPED_FOLDER / "mini" / WEIGHTS_FILE).stat().st_size < 30e6
    assert {tensor.dtype for name, tensor in bundle.weights.items() if name.endswith(".weight")} == {torch.float16}
    metrics = bundle.manifest.metrics
    assert {"detection.mAP", "rings.vehicle.AP_2m", "map.IoU_drivable", "planning.uniad.L2_3s"} <= metrics.keys()
    assert all(torch.isfinite(tensor).all() for tensor in bundle.build_student().state_dict().values())


def test_nothing_is_overwritten_and_nothing_left_behind(exported: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="expected a folder that does not exist yet"):
        save_bundle(load_bundle(SPEC), exported)
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="expected a place that can be written to"):
        save_bundle(load_bundle(SPEC), tmp_path / "file" / "bundle")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_an_interrupted_export_leaves_no_half_bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_arguments: object, **_keywords: object) -> str:
        raise KeyboardInterrupt

    bundle = load_bundle(SPEC)
    monkeypatch.setattr(Manifest, "to_json", interrupt)
    with pytest.raises(KeyboardInterrupt):
        save_bundle(bundle, tmp_path / "bundle")
    assert list(tmp_path.iterdir()) == []


def test_export_writes_what_it_is_given(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, again = tmp_path / "first", tmp_path / "second"
    assert main(["export", SPEC, "--output", str(folder), "--name", "mine"]) == 0
    assert "nothing (untrained, seed 3)" in capsys.readouterr().out
    assert load_bundle(str(folder)).info == dataclasses.replace(load_bundle(SPEC).info, name="mine")
    assert main(["export", str(folder), "--output", str(again)]) == 0
    assert load_bundle(str(again)).manifest == load_bundle(str(folder)).manifest


def test_export_takes_a_checkpoint(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    checkpoint = tmp_path / "step100.safetensors"
    safetensors.torch.save_file(seeded_student(find_variant("nano"), 3).state_dict(), checkpoint)
    arguments = ["export", str(checkpoint), "--output", str(tmp_path / "out")]
    assert main(arguments) == 2
    assert main([*arguments, "--variant", "small", "--trained-on", "a world"]) == 2
    assert "expected" in capsys.readouterr().err
    assert main([*arguments, "--variant", "nano", "--trained-on", "a world"]) == 0
    info = load_bundle(str(tmp_path / "out")).info
    assert (info.name, info.trained_on, info.trained) == ("step100", "a world", True)
    assert info.sha256 == load_bundle(SPEC).info.sha256
