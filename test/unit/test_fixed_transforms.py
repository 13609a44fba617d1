"""The file of fixed transforms, and the sentence with which another file is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tinybev.errors import UserError
from tinybev.geometry import transform_from
from tinybev_ros.fixed_transforms import load_fixed_transforms


def test_file_gives_its_transforms(tmp_path: Path) -> None:
    path = tmp_path / "rig.yaml"
    path.write_text(
        "base_link:\n"
        "  cam_front: {translation: [1.7, 0.02, 1.5], rotation: [-0.5, 0.5, -0.5, 0.5]}\n"
        "  rack: {translation: [0, 0, 2], rotation: [0, 0, 0, 1]}\n"
        "rack:\n"
        "  cam_back: {translation: [0, 0, 0], rotation: [0, 0, 0, 1]}\n"
    )
    transforms = load_fixed_transforms(path)
    assert [(t.parent, t.child) for t in transforms] == [
        ("base_link", "cam_front"),
        ("base_link", "rack"),
        ("rack", "cam_back"),
    ]
    np.testing.assert_allclose(transforms[0].parent_T_child, transform_from((-0.5, 0.5, -0.5, 0.5), (1.7, 0.02, 1.5)))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "- 1",
        "base_link: 3",
        "base_link: {cam: {translation: [1, 2], rotation: [0, 0, 0, 1]}}",
        "base_link: {cam: {translation: [1, 2, 3]}}",
        "base_link: {cam: {translation: [1, 2, 3], rotation: [0, 0, 0, 0]}}",
        "base_link: {cam: {translation: [1, 2, .nan], rotation: [0, 0, 0, 1]}}",
        "base_link: [",
    ],
)
def test_other_files_are_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "rig.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match="parameter 'calibration_file'"):
        load_fixed_transforms(path)


def test_absent_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be read"):
        load_fixed_transforms(tmp_path / "absent.yaml")
