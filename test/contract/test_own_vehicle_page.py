"""The examples of docs/own_vehicle.md are what the code reads."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import yaml

from tinybev.config import NodeConfig, sync_options
from tinybev.types import CAMERAS
from tinybev_ros.fixed_transforms import load_fixed_transforms

PAGE = Path(__file__).resolve().parents[2] / "docs" / "own_vehicle.md"
DEGREES = dict(zip(CAMERAS, (0, -55, -110, 180, 110, 55), strict=True))


def example(begins: str) -> str:
    """The YAML block of the page that begins like that."""
    blocks = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL)
    (block,) = (block for block in blocks if block.lstrip().startswith(begins))
    return str(block)


def test_the_mountings_look_where_the_page_says(tmp_path: Path) -> None:
    path = tmp_path / "cameras.yaml"
    path.write_text(example("base_link:"))
    transforms = load_fixed_transforms(path)
    assert [(one.parent, one.child) for one in transforms] == [("base_link", camera.lower()) for camera in CAMERAS]
    for one in transforms:
        yaw = np.deg2rad(DEGREES[one.child.upper()])
        np.testing.assert_allclose(one.parent_T_child[:3, 2], (np.cos(yaw), np.sin(yaw), 0), atol=1e-3)  # forward
        np.testing.assert_allclose(one.parent_T_child[:3, 1], (0, 0, -1), atol=1e-3)  # down


def test_the_phases_are_those_the_page_describes() -> None:
    options = sync_options(NodeConfig.from_values(yaml.safe_load(example("sync_phases:"))))
    assert options.period_s == 0.1
    assert options.phases_s is not None
    np.testing.assert_allclose([options.phases_s[camera] for camera in CAMERAS], np.arange(6) * 0.015)
