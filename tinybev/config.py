"""The node's parameters: the one place of their names, bounds and descriptions, and of those defaults that are its own.

The ROS side declares its parameters from :class:`NodeConfig`; ``config_docs`` writes ``config/tinybev.yaml`` and the
README's table from it. What belongs to the weights (classes, grid, image size, horizons) is in the bundle's manifest
and is no parameter.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from tinybev.camera_names import camera_names
from tinybev.errors import UserError
from tinybev.frames import IncompletePolicy, SyncOptions
from tinybev.runtime.options import BACKENDS, EGO_STATUS, PipelineOptions
from tinybev.types import CAMERAS

Value = bool | int | float | str
_PIPELINE, _SYNC = PipelineOptions(), SyncOptions()  # their defaults are the parameters' defaults


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
        per_camera: it names something of each camera, in a text for ``camera_names``; its default may be empty.
        read_only: it is read at configure; while the node is configured it cannot be set.
    """

    name: str
    default: Value
    description: str
    unit: str = ""
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()
    per_camera: bool = False
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
    per_camera: bool = False,
    read_only: bool = True,
) -> Any:
    """A field of :class:`NodeConfig` with what :class:`ParameterSpec` keeps of it."""
    details = {
        "description": description,
        "unit": unit,
        "minimum": minimum,
        "maximum": maximum,
        "choices": choices,
        "per_camera": per_camera,
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
        "shipped:mini",
        "weights and manifest: a folder, `shipped:mini` (trained on synthetic data only), or "
        "`untrained:VARIANT[:SEED]` for seeded weights",
    )
    backend: str = _parameter(
        _PIPELINE.backend,
        "what runs the network; auto: openvino on a CPU where it is installed, else torch; both in float32",
        choices=BACKENDS,
    )
    device: str = _parameter(
        _PIPELINE.device, "where the network runs; auto: cuda where PyTorch finds it", choices=("auto", "cpu", "cuda")
    )
    threads: int = _parameter(
        _PIPELINE.threads, "threads of the network on the CPU; 0: the backend's choice", minimum=0, maximum=256
    )
    score_threshold: float = _parameter(
        _PIPELINE.score_threshold, "objects below this confidence are left out", minimum=0, maximum=1
    )
    max_objects: int = _parameter(
        _PIPELINE.max_objects, "at most this many objects a frame, the best ones", minimum=1, maximum=1000
    )
    map_threshold: float = _parameter(
        _PIPELINE.map_threshold, "map cells below this probability are left out", minimum=0, maximum=1
    )
    occupancy_threshold: float = _parameter(
        _PIPELINE.occupancy_threshold,
        "cells from this probability on count as occupied by an object",
        minimum=0,
        maximum=1,
    )
    refine_plan: bool = _parameter(_PIPELINE.refine_plan, "move the plan away from predicted occupancy")
    ego_status: str = _parameter(
        _PIPELINE.ego_status,
        "give speed, yaw rate and acceleration to the planner; auto: where its weights were trained with them",
        choices=EGO_STATUS,
    )
    image_transport: str = _parameter(
        "compressed",
        "compressed: sensor_msgs/CompressedImage; raw: sensor_msgs/Image through cv_bridge",
        choices=("compressed", "raw"),
    )
    image_reliability: str = _parameter(
        "best_effort",
        "best_effort receives from every publisher and may lose images under load; reliable: lost images are sent "
        "again, images are missed only when the node is more than ten behind, and publishers must be reliable too",
        choices=("best_effort", "reliable"),
    )
    image_topic: str = _parameter(
        "/{camera}/image_rect_compressed",
        "topic of a camera's rectified images; `{camera}` stands for cam_front and so on, `{CAMERA}` for CAM_FRONT; or "
        "the six topics, separated by commas, in the order of sync_phases",
        per_camera=True,
    )
    camera_info_topic: str = _parameter(
        "/{camera}/camera_info",
        "topic of a camera's CameraInfo, as image_topic: a name with `{camera}` or `{CAMERA}`, or six",
        per_camera=True,
    )
    camera_frame: str = _parameter(
        "",
        "optical frame of a camera, as image_topic: a name with `{camera}` or `{CAMERA}`, or six; empty: what its "
        "images' headers say",
        per_camera=True,
    )
    odometry_topic: str = _parameter("/odom", "topic of the vehicle's motion, and of its pose where /tf has none")
    goal_topic: str = _parameter("/goal_pose", "topic of the goal pose")
    base_frame: str = _parameter("base_link", "frame of the vehicle: x forward, y left, z up; results are in it")
    map_frame: str = _parameter("map", "frame in which the vehicle's pose is looked up; odometry stands in without it")
    calibration_file: str = _parameter(
        "", "YAML of fixed transforms, for recordings that lack the cameras' mountings; empty: none"
    )
    sync_max_wait: float = _parameter(
        _SYNC.max_wait_s,
        "how long a frame waits for its last camera before it goes without; with `sync_incomplete: join` up to one "
        "revolution longer where its other half has begun",
        unit="s",
        minimum=0.01,
        maximum=2,
    )
    sync_incomplete: str = _parameter(
        _SYNC.incomplete.value,
        "what to do when some cameras skipped a revolution; join: fill the gaps with the next revolution's images if "
        "those are exactly the missing cameras; partial: publish it as it is and name the missing cameras",
        choices=tuple(policy.value for policy in IncompletePolicy),
    )
    sync_phases: str = _parameter(
        "learn",
        "when each camera fires within a revolution: `learn`, or six times in seconds, separated by commas, in the "
        f"order {', '.join(camera.lower() for camera in CAMERAS)}",
    )
    sync_period: float = _parameter(
        0.0,
        "time between two revolutions: needed where sync_phases gives times, 0 where it is `learn`",
        unit="s",
        minimum=0,
        maximum=1,
    )
    input_wait: float = _parameter(
        0.1,
        "how long a frame waits for a calibration or a pose that arrives after its images",
        unit="s",
        minimum=0,
        maximum=2,
    )
    command: str = _parameter(
        "auto",
        "driving command; auto: left or right where the goal pose lies more than 20 degrees to that side, else forward",
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
    if spec.per_camera and value != spec.default:
        try:
            camera_names(str(value))
        except ValueError as error:
            raise UserError(f"parameter {name!r}: {error}; correct it.") from error
    if isinstance(value, int | float) and not isinstance(value, bool):
        low = -math.inf if spec.minimum is None else spec.minimum
        high = math.inf if spec.maximum is None else spec.maximum
        if not low <= value <= high:  # refuses NaN too
            unit = f" {spec.unit}" if spec.unit else ""
            raise UserError(f"parameter {name!r}: expected {spec.allowed}{unit}, got {value!r}; correct it.")
    return value


def sync_options(config: NodeConfig) -> SyncOptions:
    """The synchronizer's options.

    Raises:
        UserError: ``sync_phases`` is neither ``learn`` nor six times, or does not fit ``sync_period``.
    """
    phases_s: dict[str, float] | None = None
    if config.sync_phases != "learn":
        try:
            times = [float(text) for text in config.sync_phases.split(",")]
        except ValueError:
            times = []
        if len(times) != len(CAMERAS) or not all(map(math.isfinite, times)):
            raise UserError(
                f"parameter 'sync_phases': expected 'learn' or {len(CAMERAS)} times in seconds separated by commas, "
                f"got {config.sync_phases!r}; correct it."
            )
        phases_s = dict(zip(CAMERAS, times, strict=True))
    if (phases_s is None) != (config.sync_period == 0):
        raise UserError(
            f"parameters 'sync_phases' and 'sync_period' belong together, got {config.sync_phases!r} and "
            f"{config.sync_period:g} s; give both, or 'learn' and 0."
        )
    return SyncOptions(
        max_wait_s=config.sync_max_wait,
        phases_s=phases_s,
        period_s=config.sync_period or None,
        incomplete=IncompletePolicy(config.sync_incomplete),
    )


def pipeline_options(config: NodeConfig) -> PipelineOptions:
    """The pipeline's options: the parameters of the same names."""
    return PipelineOptions(**{option.name: getattr(config, option.name) for option in fields(PipelineOptions)})


_TYPE_WORDS: dict[type, str] = {bool: "true or false", int: "an integer", float: "a number", str: "a text"}

PARAMETERS: dict[str, ParameterSpec] = {
    item.name: ParameterSpec(name=item.name, default=item.default, **item.metadata)  # type: ignore[arg-type]
    for item in fields(NodeConfig)
}
"""Every parameter by name, in the order in which they are listed everywhere."""
