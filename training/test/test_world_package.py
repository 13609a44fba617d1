"""What an installed package must carry: the scenario of the demo is among its data files."""

from __future__ import annotations

from pathlib import Path

import tinybev_training.world
from setuptools import Distribution
from setuptools.command.build_py import build_py
from setuptools.config.pyprojecttoml import apply_configuration


def test_a_build_copies_the_demo_scenario() -> None:
    """setuptools, reading the project's own pyproject.toml, counts demo.npz among the files of the package."""
    package = Path(tinybev_training.world.__file__).parent
    distribution = Distribution()
    apply_configuration(distribution, package.parents[1] / "pyproject.toml")
    command = build_py(distribution)
    command.ensure_finalized()
    command.manifest_files = {}  # only what pyproject.toml names, not what version control knows
    found = command.find_data_files("tinybev_training.world", str(package))
    assert str(package / "demo.npz") in found
