"""`tinybev model`: its figures against hand-counted ones, its table, its file, and what it refuses."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from tinybev.cli import main
from tinybev.model.config import VARIANTS, find_variant
from tinybev.model.student import seeded_student
from tinybev.model.summary import markdown, summarize


@pytest.mark.parametrize("name", VARIANTS)
def test_the_file_has_what_its_schema_says(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "out" / "model.json"
    assert main(["model", name, "--json", str(path)]) == 0
    figures = json.loads(path.read_text())
    assert figures["variant"] == name
    assert figures["parameters"] == sum(part["parameters"] for part in figures["parts"])
    assert figures["macs"] == sum(part["macs"] for part in figures["parts"])
    printed = capsys.readouterr().out
    assert all(f"| {part['name']} | {part['parameters']:,} |" in printed for part in figures["parts"])


def test_parameters_are_those_of_the_network() -> None:
    config = find_variant("nano")
    student = seeded_student(config, 0)
    assert summarize(config).parameters == sum(parameter.numel() for parameter in student.parameters())


def test_macs_are_those_counted_by_hand() -> None:
    config = find_variant("base")
    parts = {part.name: part for part in summarize(config).parts}
    stem = 100 * 100 * 9 * config.context_channels * config.bev_widths[0]
    pairs = 6 * config.depth_bins * 16 * 44 + 1
    gate = 6 * (4 * config.neck_channels + config.neck_channels**2)
    convolutions = 6 * 16 * 44 * config.neck_channels * (9 * config.neck_channels + 59 + config.context_channels)
    assert parts["bev_stem"].macs == stem
    assert parts["splat"].macs == pairs * config.context_channels
    assert parts["lift"].macs == gate + convolutions
    assert parts["bev_stem"].activation_bytes == 2 * 4 * 100 * 100 * config.bev_widths[0]  # convolution, normalisation


def test_a_network_with_a_memory_is_counted_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["model", "nano", "--set", "memory_frames=1"]) == 0
    config = dataclasses.replace(find_variant("nano"), memory_frames=1)
    fusion = {part.name: part for part in summarize(config).parts}["temporal"]
    rows, columns = config.head_grid.shape
    assert fusion.macs == rows * columns * 2 * config.bev_widths[0] ** 2
    assert f"| temporal | {fusion.parameters:,} |" in capsys.readouterr().out


def test_a_changed_field_changes_the_figures(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["model", "nano", "--set", "bev_widths=[16,16]", "--set", "bev_blocks=[1,1]"]) == 0
    assert markdown(summarize(find_variant("nano"))) != capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["huge"], "expected one of tinybev-base"),
        (["nano", "--set", "bev_channels"], "expected FIELD=JSON, got 'bev_channels'"),
        (["nano", "--set", "colour=1"], "expected one of name, image_size"),
        (["nano", "--set", 'bev_channels="x"'], "expected bev_channels to be int"),
        (["nano", "--json", "/dev/null/x"], "expected a file that can be written"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(
    arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["model", *arguments]) == 2
    error = capsys.readouterr().err
    assert complaint in error
    assert len(error.splitlines()) == 1


def test_the_documents_table_is_the_commands() -> None:
    document = (Path(__file__).parents[2] / "docs" / "model.md").read_text()
    for config in VARIANTS.values():
        assert markdown(summarize(config)) in document, f"run `tinybev model {config.name}` and paste its table"
