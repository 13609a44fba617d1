"""The node's parameters: the one place of their names, defaults, bounds and descriptions.

The ROS side declares its parameters from :class:`NodeConfig`, ``config/tinybev.yaml`` repeats its defaults, and the
README's table is :func:`parameter_table`. What belongs to the weights (classes, grid, image size, horizons) is in the
bundle's manifest and is no parameter.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from tinybev.errors import UserError
from tinybev.types import CAMERAS

Value = bool | int | float | str


@dataclass(frozen=True)
class ParameterSpec:
    """What is to know about one parameter.

    Attributes:
        name: its name, that of the field.
        default: its default; the parameter has the type of it.
        description: one sentence.
        unit: SI unit, empty for a pure number or a text.
        minimum, maximum: inclusive bounds, None where there is none.
        choices: the allowed texts, empty where any is.
        read_only: it is read at configure; while the node is configured it cannot be set.
    """

    name: str
    default: Value
    description: str
    unit: str = ""
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()
    read_only: bool = True

    @property
    def allowed(self) -> str:
        """The allowed values in words, empty where the type says it all."""
        if self.choices:
            return " | ".join(self.choices)
        if self.minimum is not None and self.maximum is not None:
            return f"{self.minimum:g} to {self.maximum:g}"
        if self.minimum is not None:
            return f"at least {self.minimum:g}"
        return ""


def _parameter(
    default: Value,
    description: str,
    *,
    unit: str = "",
    minimum: float | None = None,
    maximum: float | None = None,
    choices: tuple[str, ...] = (),
    read_only: bool = True,
) -> Any:
    """A field of :class:`NodeConfig` with what :class:`ParameterSpec` keeps of it."""
    details = {
        "description": description,
        "unit": unit,
        "minimum": minimum,
        "maximum": maximum,
        "choices": choices,
        "read_only": read_only,
    }
    return field(default=default, metadata=details)


@dataclass(frozen=True)
class NodeConfig:
    """The parameters of the node ``tinybev``; construct it with :meth:`from_values`, which checks them."""

    autostart: bool = _parameter(
        True, "configure and activate at start; false: wait for a lifecycle manager (`ros2 lifecycle set`)"
    )
    bundle: str = _parameter(
        "untrained:nano", "weights and manifest: a folder, or `untrained:VARIANT[:SEED]` for seeded weights"
    )
    device: str = _parameter(
        "auto", "where the network runs; auto: cuda where PyTorch finds it", choices=("auto", "cpu", "cuda")
    )
    threads: int = _parameter(0, "threads of the network on the CPU; 0: PyTorch's choice", minimum=0, maximum=256)
    score_threshold: float = _parameter(0.3, "objects below this confidence are left out", minimum=0, maximum=1)
    max_objects: int = _parameter(200, "at most this many objects a frame, the best ones", minimum=1, maximum=1000)
    map_threshold: float = _parameter(0.5, "map cells below this probability are left out", minimum=0, maximum=1)
    occupancy_threshold: float = _parameter(
        0.3, "cells from this probability on count as occupied by an object", minimum=0, maximum=1
    )
    refine_plan: bool = _parameter(True, "move the plan away from predicted occupancy")
    use_ego_status: bool = _parameter(True, "give speed, yaw rate and acceleration to the planner")
    image_transport: str = _parameter(
        "compressed",
        "compressed: sensor_msgs/CompressedImage; raw: sensor_msgs/Image through cv_bridge",
        choices=("compressed", "raw"),
    )
    image_topic: str = _parameter(
        "/{camera}/image_rect_compressed",
        "topic of a camera's rectified images; `{camera}` stands for cam_front and so on, `{CAMERA}` for CAM_FRONT",
    )
    camera_info_topic: str = _parameter(
        "/{camera}/camera_info", "topic of a camera's CameraInfo; `{camera}` and `{CAMERA}` as in image_topic"
    )
    camera_frame: str = _parameter("{camera}", "optical frame of a camera; `{camera}` and `{CAMERA}` as in image_topic")
    base_frame: str = _parameter("base_link", "frame of the vehicle: x forward, y left, z up; results are in it")
    map_frame: str = _parameter("map", "frame in which the vehicle's pose is looked up; odometry stands in without it")
    calibration_file: str = _parameter(
        "", "YAML of camera mountings for recordings without them in the transform tree; empty: none"
    )
    sync_max_wait: float = _parameter(
        0.15, "how long a frame waits for its last camera before it goes without", unit="s", minimum=0.01, maximum=2
    )
    sync_phases: str = _parameter(
        "learn",
        "when each camera fires within a revolution: `learn`, or six seconds in the order "
        f"{', '.join(camera.lower() for camera in CAMERAS)}, separated by commas",
    )
    sync_incomplete: str = _parameter(
        "partial",
        "a revolution in which cameras skipped: partial: a frame that names the missing cameras; "
        "join: joined with its complement of the next revolution; skip: no frame",
        choices=("partial", "join", "skip"),
    )
    transform_wait: float = _parameter(
        0.1, "how long a frame waits for a pose that arrives after its images", unit="s", minimum=0, maximum=2
    )
    command: str = _parameter(
        "auto",
        "driving command; auto: left or right where the goal pose lies to that side, forward otherwise",
        choices=("auto", "left", "right", "forward"),
        read_only=False,
    )
    goal_radius: float = _parameter(
        3.0, "a goal pose is reached, and forgotten, within this distance", unit="m", minimum=0, maximum=100
    )
    stale_after: float = _parameter(
        1.0, "diagnostics warn when the newest result is older than this", unit="s", minimum=0.1, maximum=60
    )

    @classmethod
    def from_values(cls, values: Mapping[str, object]) -> NodeConfig:
        """The configuration with ``values`` in place of defaults; an integer is taken for a float.

        Raises:
            UserError: a name is unknown, a type is wrong, or a value is out of its range.
        """
        for name in values:
            if name not in PARAMETERS:
                near = difflib.get_close_matches(name, PARAMETERS, n=1)
                hint = f"did you mean {near[0]!r}?" if near else "remove it; config/tinybev.yaml lists them all."
                raise UserError(f"parameter {name!r} is unknown: {hint}")
        return cls(**{name: checked_value(name, value) for name, value in values.items()})  # type: ignore[arg-type]


def checked_value(name: str, value: object) -> Value:
    """The value of parameter ``name`` in the parameter's own type.

    Raises:
        UserError: the type is wrong, or the value is out of its range.
    """
    spec = PARAMETERS[name]
    expected = type(spec.default)
    if expected is float and type(value) is int:
        value = float(value)
    if type(value) is not expected:
        raise UserError(f"parameter {name!r}: expected {_TYPE_WORDS[expected]}, got {value!r}; correct it.")
    assert isinstance(value, bool | int | float | str)
    if spec.choices and value not in spec.choices:
        raise UserError(f"parameter {name!r}: expected one of {', '.join(spec.choices)}, got {value!r}; choose one.")
    if isinstance(value, int | float) and not isinstance(value, bool):
        low = -math.inf if spec.minimum is None else spec.minimum
        high = math.inf if spec.maximum is None else spec.maximum
        if not low <= value <= high:  # refuses NaN too
            unit = f" {spec.unit}" if spec.unit else ""
            raise UserError(f"parameter {name!r}: expected {spec.allowed}{unit}, got {value!r}; correct it.")
    return value


def fill_template(template: str, camera: str) -> str:
    """A topic or frame name of ``camera``: ``{camera}`` becomes ``cam_front``, ``{CAMERA}`` becomes ``CAM_FRONT``."""
    return template.replace("{camera}", camera.lower()).replace("{CAMERA}", camera)


def parameter_table() -> str:
    """The parameters as a Markdown table, for the README."""
    lines = ["| parameter | default | unit | allowed | meaning |", "| --- | --- | --- | --- | --- |"]
    for spec in PARAMETERS.values():
        default = str(spec.default).lower() if isinstance(spec.default, bool) else str(spec.default)
        meaning = spec.description if spec.read_only else f"{spec.description} (can be set while running)"
        cells = [f"`{spec.name}`", f"`{default}`" if default else "empty", spec.unit, spec.allowed, meaning]
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


_TYPE_WORDS: dict[type, str] = {bool: "true or false", int: "an integer", float: "a number", str: "a text"}

PARAMETERS: dict[str, ParameterSpec] = {
    item.name: ParameterSpec(name=item.name, default=item.default, **item.metadata)  # type: ignore[arg-type]
    for item in fields(NodeConfig)
}
"""Every parameter by name, in the order in which they are listed everywhere."""
