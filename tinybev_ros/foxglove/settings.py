"""The bridge's ROS parameters."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Any

from rcl_interfaces.msg import IntegerRange, ParameterDescriptor
from rclpy.exceptions import InvalidParameterTypeException, InvalidParameterValueException
from rclpy.node import Node

from tinybev.errors import UserError
from tinybev_ros.foxglove.server import BACKEND_NAMES
from tinybev_ros.topics import FOXGLOVE_PORT


@dataclass(frozen=True)
class Settings:
    """What the parameters say: where to listen, which server, and the patterns of topics to offer."""

    host: str
    port: int
    backend: str
    topics: tuple[re.Pattern[str], ...]

    @property
    def local(self) -> bool:
        """Whether only programs on this machine can connect."""
        try:
            return self.host == "localhost" or ipaddress.ip_address(self.host).is_loopback
        except ValueError:  # another name
            return False


def declare_settings(node: Node) -> Settings:
    """Declares the parameters on ``node``, read-only, and reads them.

    Raises UserError when a value has the wrong type, is out of range or is not a regular expression.
    """
    host = _declare(node, "host", "127.0.0.1", "address to listen on; clients are not asked for a password")
    port = _declare(
        node, "port", FOXGLOVE_PORT, "TCP port to listen on; 0: any that is free", from_value=0, to_value=65535
    )
    backend = _declare(node, "backend", BACKEND_NAMES[0], f"server library: {' or '.join(BACKEND_NAMES)}")
    topics = _declare(node, "topics", [".*"], "regular expressions; topics whose whole name one matches are offered")
    return Settings(host, port, backend, tuple(_pattern(text) for text in topics))


def _declare(node: Node, name: str, default: Any, description: str, **bounds: int) -> Any:
    descriptor = ParameterDescriptor(description=description, read_only=True)
    if bounds:
        descriptor.integer_range = [IntegerRange(step=1, **bounds)]
    try:
        value = node.declare_parameter(name, default, descriptor).value
    except (InvalidParameterTypeException, InvalidParameterValueException) as error:
        raise UserError(f"The parameter {name} ({description}; default {default!r}) is not valid: {error}.") from error
    if value is None:  # what an empty list on the command line becomes
        raise UserError(f"The parameter {name} ({description}; default {default!r}) is empty; give it a value.")
    return value


def _pattern(text: str) -> re.Pattern[str]:
    try:
        return re.compile(text)
    except re.error as error:
        raise UserError(f"The parameter topics holds {text!r}, which is not a regular expression: {error}.") from error
