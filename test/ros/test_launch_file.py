"""The launch file, with the launch package of a ROS 2 installation."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from tinybev_ros.bringup import ARGUMENTS

LAUNCH_FILE = Path(__file__).resolve().parents[2] / "launch" / "tinybev.launch.py"


def test_launch_file_declares_the_arguments_of_bringup_and_starts_its_processes() -> None:
    pytest.importorskip("launch_ros", reason="launch and launch_ros have no wheel: they come with a ROS 2 installation")
    from launch.actions import DeclareLaunchArgument
    from launch_ros.actions import Node

    from launch import LaunchContext

    spec = importlib.util.spec_from_file_location("tinybev_launch", LAUNCH_FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    entities = module.generate_launch_description().entities
    declared = [entity for entity in entities if isinstance(entity, DeclareLaunchArgument)]
    assert [argument.name for argument in declared] == [argument.name for argument in ARGUMENTS]

    context = LaunchContext()
    for argument in declared:
        argument.execute(context)
    nodes = module.start(context)
    assert all(isinstance(node, Node) for node in nodes)
    assert [node.node_executable for node in nodes] == ["tinybev_node", "foxglove_bridge"]
