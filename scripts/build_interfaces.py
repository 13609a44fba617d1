"""Builds the ROS 2 message packages that this project uses and that have no wheel, into the running environment.

The definitions come from the type store of the `rosbags` library, so nothing is downloaded. Messages only: services
and actions of those packages are not used here. A package that can be imported already is left alone.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

from rosbags.typesys import Stores, get_typestore

PACKAGES = ("tf2_msgs",)
SEPARATOR = "=" * 80

CMAKE = """\
cmake_minimum_required(VERSION 3.16)
project({package} LANGUAGES C CXX)
find_package(ament_cmake REQUIRED)
find_package(rosidl_default_generators REQUIRED)
{find_packages}
include("{helper}")
drop_missing_include_directories()
file(GLOB message_files RELATIVE "${{CMAKE_CURRENT_SOURCE_DIR}}" "msg/*.msg")
rosidl_generate_interfaces(${{PROJECT_NAME}} ${{message_files}} DEPENDENCIES {dependencies})
ament_package()
"""

PACKAGE_XML = """\
<package format="3">
  <name>{package}</name>
  <version>0.0.0</version>
  <description>Messages of {package}, generated from the definitions of the rosbags library</description>
  <maintainer email="maintainers@users.noreply.github.com">tinybev_ros maintainers</maintainer>
  <license>BSD-3-Clause</license>
  <buildtool_depend>ament_cmake</buildtool_depend>
  <buildtool_depend>rosidl_default_generators</buildtool_depend>
  {depends}
  <member_of_group>rosidl_interface_packages</member_of_group>
  <export><build_type>ament_cmake</build_type></export>
</package>
"""


def main() -> int:
    """Builds every missing package under the folder given as the one argument."""
    folder = Path(sys.argv[1])
    for package in PACKAGES:
        if importlib.util.find_spec(package) is None:
            build(package, folder / package)
        else:
            print(f"{package}: already there")
    return 0


def build(package: str, folder: Path) -> None:
    """Writes the CMake project of ``package`` into ``folder``, builds it and installs it into ``sys.prefix``."""
    dependencies = write_project(package, folder)
    print(f"{package}: building, on {', '.join(dependencies)}", flush=True)
    environment = {**os.environ, "AMENT_PREFIX_PATH": sys.prefix}
    binary = str(folder / "build")
    configure = [
        *("cmake", "-S", str(folder), "-B", binary, "-DBUILD_TESTING=OFF"),
        f"-DCMAKE_PREFIX_PATH={sys.prefix}",
        f"-DCMAKE_INSTALL_PREFIX={sys.prefix}",
        f"-DPython3_EXECUTABLE={sys.executable}",
    ]
    for command in (configure, ["cmake", "--build", binary, "--parallel", "2"], ["cmake", "--install", binary]):
        subprocess.run(command, check=True, env=environment)


def write_project(package: str, folder: Path) -> list[str]:
    """Writes the message definitions, package.xml and CMakeLists.txt; returns the packages they depend on."""
    store = get_typestore(Stores.ROS2_KILTED)
    names = sorted(name for name in store.types if name.startswith(f"{package}/msg/"))
    dependencies: set[str] = set()
    (folder / "msg").mkdir(parents=True, exist_ok=True)
    for name in names:
        definition, _ = store.generate_msgdef(name, ros_version=2)
        own, *nested = definition.split(SEPARATOR)
        (folder / "msg" / f"{name.rsplit('/', 1)[1]}.msg").write_text(own)
        dependencies.update(part.strip().splitlines()[0].removeprefix("MSG: ").split("/")[0] for part in nested)
    found = sorted(dependencies - {package})
    helper = Path(__file__).resolve().parent.parent / "cmake" / "include_directories.cmake"
    find_packages = "\n".join(f"find_package({name} REQUIRED)" for name in found)
    (folder / "CMakeLists.txt").write_text(
        CMAKE.format(package=package, find_packages=find_packages, helper=helper, dependencies=" ".join(found))
    )
    depends = "\n  ".join(f"<depend>{name}</depend>" for name in found)
    (folder / "package.xml").write_text(PACKAGE_XML.format(package=package, depends=depends))
    return found


if __name__ == "__main__":
    sys.exit(main())
