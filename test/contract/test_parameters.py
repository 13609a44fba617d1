"""What is written in two places agrees: parameters and their file, message constants and the types."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import yaml

from tinybev.config import PARAMETERS, NodeConfig
from tinybev.config_docs import parameter_file, parameter_table
from tinybev.types import DETECTION_CLASSES, Command, MapClass
from tinybev_ros import msg as msgs

ROOT = Path(__file__).resolve().parents[2]


def file_parameters() -> dict[str, object]:
    document = yaml.safe_load((ROOT / "config" / "tinybev.yaml").read_text())
    assert list(document) == ["/**"]
    assert list(document["/**"]) == ["ros__parameters"]
    parameters: dict[str, object] = document["/**"]["ros__parameters"]
    return parameters


def test_parameter_file_lists_every_parameter_in_order_with_its_default() -> None:
    assert list(file_parameters()) == [item.name for item in dataclasses.fields(NodeConfig)]
    assert NodeConfig.from_values(file_parameters()) == NodeConfig()
    assert (ROOT / "config" / "tinybev.yaml").read_text() == parameter_file(), "run `python -m tinybev.config_docs`"


def test_every_parameter_is_described_and_its_default_is_in_its_range() -> None:
    for spec in PARAMETERS.values():
        assert spec.description
        assert spec.description[0] == spec.description[0].lower() or spec.description.startswith("YAML")
        assert not spec.description.endswith(".")
        if spec.minimum is not None and spec.maximum is not None:
            assert not isinstance(spec.default, str | bool)
            assert spec.minimum <= spec.default <= spec.maximum


def test_readme_holds_the_generated_table_of_parameters() -> None:
    assert parameter_table() in (ROOT / "README.md").read_text(), "run `python -m tinybev.config_docs --table`"


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (msgs.DetectedObject, {name.upper(): number for number, name in enumerate(DETECTION_CLASSES)}),
        (msgs.MapSegment, {member.name: int(member) for member in MapClass}),
        (msgs.PlannedTrajectory, {member.name: int(member) for member in Command}),
    ],
)
def test_message_constants_are_those_of_the_types(message: type, expected: dict[str, int]) -> None:
    for name, number in expected.items():
        assert getattr(message, name) == number
    text = (ROOT / "msg" / f"{message.__name__}.msg").read_text()
    assert text.count("=") == len(expected)
