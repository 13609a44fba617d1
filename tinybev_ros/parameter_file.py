"""A YAML file of ROS parameters, read as rcl reads it: which of its sections are meant for a node."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from tinybev.errors import UserError

PARAMETERS_KEY = "ros__parameters"


def parameters_for(path: Path, node: str) -> dict[str, object]:
    """The parameters of the sections that match a node; where several give one parameter, the last section's.

    Args:
        path: the file.
        node: the whole name of the node: ``/car1/tinybev``.

    Raises:
        UserError: the file is no YAML of ROS parameters.
    """
    try:
        return {
            parameter: value
            for name, parameters in _sections(yaml.safe_load(path.read_text()))
            if _matches(name, node)
            for parameter, value in parameters.items()
        }
    except (OSError, UnicodeDecodeError, yaml.YAMLError, AttributeError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(
            f"params_file: expected YAML with {PARAMETERS_KEY}, {path} is none ({reason}); "
            "begin with a copy of config/tinybev.yaml."
        ) from error


def _sections(document: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The sections by name, which begins with a slash; a name may be spread over keys below each other."""
    for key, content in document.items():
        if key == PARAMETERS_KEY:
            yield above, content
        else:
            yield from _sections(content, f"{above}/{key.removeprefix('/')}")


def _matches(section: str, node: str) -> bool:
    """Whether a section is a node's: ``*`` stands for one name between slashes, ``**`` for any number of them."""
    pattern = re.escape(section).replace(r"/\*\*", r"(/\w+)*").replace(r"/\*", r"/\w+")
    return re.fullmatch(pattern, node) is not None
