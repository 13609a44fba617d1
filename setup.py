"""Builds the CMake project into an ordinary wheel, or into a development install that uses the checkout.

CMake generates the messages; what it installs goes where the other ROS 2 wheels put theirs: libraries into
``<prefix>/lib``, the package's share folder into ``<prefix>/share``, generated Python beside the modules. Everything
else about the package is in pyproject.toml. (On a ROS 2 machine ``colcon build`` uses CMakeLists.txt directly.)
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

from setuptools import Command, Distribution, setup
from setuptools.command.build import build

ROOT = Path(__file__).resolve().parent
PYTHON_FOLDER = f"lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages"


class RosDistribution(Distribution):
    """A distribution with compiled parts and, in a development install too, data files."""

    def has_ext_modules(self) -> bool:
        return True

    def has_data(self) -> bool:  # asked by setuptools' editable_wheel, which knows no other name for data_files
        return True


class BuildRos(Command):
    """Runs CMake and hands what it installed to the wheel."""

    description = "generate the ROS 2 messages and install the package's ROS 2 files"
    editable_mode = False
    build_lib: str | None

    def initialize_options(self) -> None:
        self.build_lib = None

    def finalize_options(self) -> None:
        self.set_undefined_options("build", ("build_lib", "build_lib"))

    def run(self) -> None:
        staged = install_with_cmake()
        data_files: dict[str, list[str]] = {}
        for file in sorted(path for path in staged.rglob("*") if path.is_file()):
            relative = file.relative_to(staged)
            if ".egg-info" in str(relative) or "__pycache__" in relative.parts:
                continue  # pip writes the package's metadata itself
            generated_python = relative.is_relative_to(PYTHON_FOLDER)
            if generated_python and relative.match("tinybev_ros/__init__.py"):
                continue  # ours, not the empty generated one
            if generated_python and not self.editable_mode:
                assert self.build_lib is not None
                target = Path(self.build_lib) / relative.relative_to(PYTHON_FOLDER)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(file, target)
            else:
                data_files.setdefault(str(relative.parent), []).append(str(file.relative_to(ROOT)))
        self.distribution.data_files = list(data_files.items())

    def get_outputs(self) -> list[str]:
        return []

    def get_output_mapping(self) -> dict[str, str]:
        return {}

    def get_source_files(self) -> list[str]:
        return [
            str(path.relative_to(ROOT)) for folder in ("msg", "cmake") for path in sorted((ROOT / folder).iterdir())
        ]


def ros_prefixes() -> list[str]:
    """Where ROS 2's CMake packages are: the sourced installation, or the environment that holds the wheels."""
    sourced = [path for path in os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep) if path]
    spec = importlib.util.find_spec("ament_package")
    wheels = [str(Path(spec.origin).parents[4])] if spec and spec.origin else []  # <prefix>/lib/pythonX.Y/site-packages
    return list(dict.fromkeys([*sourced, *wheels, sys.prefix]))


def install_with_cmake() -> Path:
    """Configures, builds and installs the CMake project under build/, and returns the installed tree."""
    binary, staged = ROOT / "build" / "cmake", ROOT / "build" / "staged"
    shutil.rmtree(staged, ignore_errors=True)
    prefixes = ros_prefixes()
    environment = {**os.environ, "AMENT_PREFIX_PATH": os.pathsep.join(prefixes)}
    configure = [
        *("cmake", "-S", str(ROOT), "-B", str(binary), "-DBUILD_TESTING=OFF", "-DTINYBEV_INSTALL_MODULES=OFF"),
        f"-DCMAKE_PREFIX_PATH={';'.join(prefixes)}",
        f"-DCMAKE_INSTALL_PREFIX={staged}",
        f"-DPython3_EXECUTABLE={sys.executable}",
        f"-DPYTHON_INSTALL_DIR={PYTHON_FOLDER}",
    ]
    # A cache of another environment would go on naming its files.
    fresh = ["--fresh"] if cmake_version() >= (3, 24) else []
    subprocess.run([*configure, *fresh], check=True, env=environment)
    jobs = str(os.cpu_count() or 1)
    subprocess.run(["cmake", "--build", str(binary), "--parallel", jobs], check=True, env=environment)
    subprocess.run(["cmake", "--install", str(binary)], check=True, env=environment)
    return staged


def cmake_version() -> tuple[int, int]:
    """Major and minor version of the CMake on the path."""
    words = subprocess.run(["cmake", "--version"], check=True, capture_output=True, text=True).stdout.split()
    major, minor = words[2].split(".")[:2]
    return int(major), int(minor)


def ros_build_requirements() -> list[str]:
    """The build wheels, unless a ROS 2 installation is sourced."""
    if os.environ.get("AMENT_PREFIX_PATH"):
        return []
    lines = (ROOT / "requirements" / "ros-build.txt").read_text().splitlines()
    return [line for line in lines if line and not line.startswith("#")]


build.sub_commands = [*build.sub_commands, ("build_ros", None)]

if __name__ == "__main__":
    setup(distclass=RosDistribution, cmdclass={"build_ros": BuildRos}, setup_requires=ros_build_requirements())
