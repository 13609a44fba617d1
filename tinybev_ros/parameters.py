"""ROS parameters from ``NodeConfig``: declared from it, read back into it.

The node takes whatever it was given (``automatically_declare_parameters_from_overrides``), so that a parameter nobody
knows can be refused by name at configure; rclpy alone ignores it in silence.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor, SetParametersResult
from rclpy.node import Node
from rclpy.parameter import Parameter

from tinybev.config import PARAMETERS, NodeConfig, ParameterSpec, checked_value
from tinybev.errors import UserError

FRAMEWORK_PARAMETERS = ("use_sim_time", "start_type_description_service")
"""Parameters that rclpy itself declares on every node."""
FRAMEWORK_PREFIXES = ("qos_overrides.",)


def declare(node: Node) -> None:
    """Declares every field of ``NodeConfig``; a value that was given and is wrong stays as given, for :func:`read`.

    Such a parameter takes values of every type, or rclpy would hold the wrong type to be the right one for ever.
    """
    for name, spec in PARAMETERS.items():
        value: object = spec.default
        described = descriptor(spec)
        if node.has_parameter(name):
            value = node.get_parameter(name).value
            try:
                value = checked_value(name, value)
            except UserError:
                described = ParameterDescriptor(description=described.description, dynamic_typing=True)
            node.undeclare_parameter(name)
        node.declare_parameter(name, value, described, ignore_override=True)


def descriptor(spec: ParameterSpec) -> ParameterDescriptor:
    """What ``ros2 param describe`` shows of a parameter."""
    result = ParameterDescriptor(
        description=f"{spec.description} [{spec.unit}]" if spec.unit else spec.description,
        additional_constraints=" | ".join(spec.choices),
    )
    if spec.minimum is not None and spec.maximum is not None:
        if isinstance(spec.default, float):
            result.floating_point_range = [
                FloatingPointRange(from_value=float(spec.minimum), to_value=float(spec.maximum))
            ]
        else:
            result.integer_range = [IntegerRange(from_value=int(spec.minimum), to_value=int(spec.maximum))]
    return result


def read(node: Node) -> NodeConfig:
    """The node's parameters.

    Raises:
        UserError: a parameter is unknown, has the wrong type, or is out of its range.
    """
    given: dict[str, Parameter[Any]] = node.get_parameters_by_prefix("")
    values = {name: parameter.value for name, parameter in given.items() if not _is_framework(name)}
    return NodeConfig.from_values(values)


def check_set(parameters: Sequence[Parameter[Any]], configured: bool) -> SetParametersResult:
    """Whether parameters may be set now: within their bounds always, read-only ones only while not configured."""
    for parameter in parameters:
        spec = PARAMETERS.get(parameter.name)
        if spec is None:
            continue
        if configured and spec.read_only:
            reason = f"parameter {spec.name!r} is read at configure: deactivate and clean up the node to change it."
            return SetParametersResult(successful=False, reason=reason)
        try:
            checked_value(spec.name, parameter.value)
        except UserError as error:
            return SetParametersResult(successful=False, reason=str(error))
    return SetParametersResult(successful=True)


def _is_framework(name: str) -> bool:
    return name in FRAMEWORK_PARAMETERS or name.startswith(FRAMEWORK_PREFIXES)
