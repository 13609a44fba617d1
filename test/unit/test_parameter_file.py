"""Sections of a parameter file are a node's exactly where rclpy says so."""

from __future__ import annotations

from pathlib import Path

import pytest
import rclpy
from rclpy.context import Context
from rclpy.node import Node

from tinybev.errors import UserError
from tinybev_ros.parameter_file import parameters_for

SECTIONS = (
    *("/**", "**", "tinybev", "/tinybev", "/car1/tinybev", "car1/tinybev", "/**/tinybev", "/*/tinybev", "*/tinybev"),
    *("/car1/*", "/*", "*", "/car1/**", "/*/*", "/**/*", "/*/**/tinybev", "/**/car1/tinybev", "/**/other"),
    "/*/*/tinybev",
)
NAMESPACES = ("", "/car1", "/fleet/car1")


def told_by_rclpy(path: Path, namespace: str) -> dict[str, object]:
    """The parameters that a node of that namespace, named tinybev, is given."""
    context = Context()
    arguments = ["--ros-args", "-r", "__node:=tinybev", "--params-file", str(path)]
    rclpy.init(context=context, args=arguments + (["-r", f"__ns:={namespace}"] if namespace else []))
    node = Node("x", context=context, enable_rosout=False, start_parameter_services=False)
    try:
        return {name: parameter.value for name, parameter in node._parameter_overrides.items()}
    finally:
        node.destroy_node()
        context.try_shutdown()


@pytest.mark.parametrize("namespace", NAMESPACES)
def test_sections_match_as_they_do_in_rclpy(tmp_path: Path, ros_domain: int, namespace: str) -> None:
    path = tmp_path / "parameters.yaml"
    lines = [f"'{section}': {{ros__parameters: {{p{n}: {n}}}}}" for n, section in enumerate(SECTIONS)]
    path.write_text("\n".join(lines))
    told = parameters_for(path, f"{namespace}/tinybev")
    assert told == told_by_rclpy(path, namespace)
    assert 0 < len(told) < len(SECTIONS)


@pytest.mark.parametrize(
    "text",
    [
        "/car1/tinybev: {ros__parameters: {a: 1}}\n/**: {ros__parameters: {a: 2}}\n",
        "/**: {ros__parameters: {a: 1, b: 1}}\n/*/tinybev: {ros__parameters: {a: 2}}\n",
        "car1:\n  tinybev:\n    ros__parameters: {a: 2}\n",
        "/**:\n  tinybev:\n    ros__parameters: {a: 2}\n",
    ],
)
def test_the_last_section_wins_and_names_may_be_spread_over_keys(tmp_path: Path, ros_domain: int, text: str) -> None:
    path = tmp_path / "parameters.yaml"
    path.write_text(text)
    told = parameters_for(path, "/car1/tinybev")
    assert told["a"] == 2
    assert told == told_by_rclpy(path, "/car1")


@pytest.mark.parametrize("text", ["", "3", "/**:", "/**: {ros__parameters: }", "/**: {a: 1}", "[1", "1: {2: 3}"])
def test_what_is_no_file_of_parameters_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "parameters.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=r"params_file: expected YAML with ros__parameters, .* is none"):
        parameters_for(path, "/tinybev")
