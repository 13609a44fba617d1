"""Configurations: the registry, the JSON round trip, and what is refused."""

from __future__ import annotations

import dataclasses
import json
import math

import pytest

from tinybev.errors import UserError
from tinybev.model.config import VARIANTS, StudentConfig, find_variant


@pytest.mark.parametrize("name", VARIANTS)
def test_a_configuration_survives_json(name: str) -> None:
    config = VARIANTS[name]
    again = StudentConfig.from_dict(json.loads(json.dumps(config.to_dict())))
    assert again == config
    assert hash(again) == hash(config)
    assert repr(again) == repr(config)
    assert config.name == name


def test_base_is_what_the_paper_and_uniad_fix() -> None:
    base = find_variant("tinybev-base")
    assert base.image_size == (256, 704)
    assert base.grid.shape == (200, 200)
    assert base.x_bound[:2] == base.y_bound[:2] == (-51.2, 51.2)
    assert base.backbone_width == 64
    assert base.memory_frames == 0
    assert (base.motion_modes, base.motion_steps, base.time_step_s) == (6, 12, 0.5)
    assert (base.occupancy_steps, base.plan_steps) == (5, 6)


def test_the_prefix_of_a_variant_may_be_left_out() -> None:
    assert find_variant("nano") is find_variant("tinybev-nano")


def test_an_unknown_variant_is_refused_with_those_there_are() -> None:
    names = "tinybev-base, tinybev-fast, tinybev-small, tinybev-mini, tinybev-nano"
    with pytest.raises(UserError, match=f"expected one of {names}, got 'huge'"):
        find_variant("huge")


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"feature_stride": 5}, "feature_stride: expected 4, 8 or 16, got 5"),
        ({"image_size": (250, 704)}, "image_size: expected multiples of feature_stride"),
        ({"bev_blocks": (1, 1)}, "bev_widths and bev_blocks"),
        ({"x_bound": (-50.0, 50.0, 0.7)}, "x_bound: expected"),
        ({"z_bound": (-3.0, 5.0, 4.0)}, "one cell along z"),
        ({"bev_stem_stride": 3}, "bev_stem_stride: expected a divisor"),
        ({"bev_stem_stride": 0}, "bev_stem_stride: expected 1 or more, got 0"),
        ({"bev_stem_stride": -2}, "bev_stem_stride: expected 1 or more, got -2"),
        ({"backbone_width": 0}, "backbone_width: expected 1 or more, got 0"),
        ({"motion_steps": -1}, "motion_steps: expected 1 or more, got -1"),
        ({"bev_widths": (), "bev_blocks": ()}, r"bev_widths: expected 1 or more, got \(\)"),
        ({"bev_blocks": (1, 0, 1, 1)}, r"bev_blocks: expected 1 or more, got \(1, 0, 1, 1\)"),
        ({"max_agents": 0}, "max_agents: expected 1 or more, got 0"),
        ({"max_agents": 100_001}, "max_agents: expected at most 100000, one of each class in each of .* 100x100 cells"),
        ({"memory_frames": -1}, "memory_frames: expected 0 or more, got -1"),
        ({"time_step_s": 0.0}, "time_step_s: expected finite numbers above 0, got 0.0"),
        ({"image_std": (58.0, 0.0, 57.0)}, "image_std: expected finite numbers above 0"),
        ({"image_mean": (math.nan, 0.0, 0.0)}, "image_mean: expected finite numbers"),
        ({"x_bound": (-math.inf, math.inf, 0.512)}, "x_bound: expected"),
        ({"y_bound": (-51.2, math.nan, 0.512)}, "y_bound: expected"),
        ({"d_bound": (1.0, 60.0, math.inf)}, "d_bound: expected"),
        (
            {"d_bound": (-5.0, 60.0, 1.0)},
            r"d_bound: expected depths in front of the camera, above 0 m, got \(-5.0, 60.0",
        ),
        ({"d_bound": (0.0, 60.0, 1.0)}, "d_bound: expected depths in front of the camera"),
        ({"z_bound": (-math.inf, 5.0, 8.0)}, "z_bound: expected"),
    ],
)
def test_a_configuration_that_cannot_be_built_is_refused(change: dict, complaint: str) -> None:
    with pytest.raises(UserError, match=complaint):
        dataclasses.replace(find_variant("base"), **change)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"bev_channels": "many"}, "expected bev_channels to be int, got 'many'"),
        ({"bev_channels": 96.5}, "expected bev_channels to be int, got 96.5"),
        ({"image_size": [256]}, "expected image_size to be"),
        ({"bev_widths": [80, "x"]}, "expected bev_widths to be int, got 'x'"),
        ({"colour": 1}, "expected no colour"),
    ],
)
def test_json_that_is_no_configuration_is_refused(change: dict, complaint: str) -> None:
    with pytest.raises(UserError, match=complaint):
        StudentConfig.from_dict({**find_variant("base").to_dict(), **change})


def test_a_missing_key_is_named() -> None:
    values = find_variant("base").to_dict()
    del values["d_bound"]
    with pytest.raises(UserError, match="expected d_bound"):
        StudentConfig.from_dict(values)
