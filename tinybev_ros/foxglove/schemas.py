"""The definition of a message type as one text, in the encoding Foxglove calls ``ros2msg``.

The text is the type's own ``.msg`` file, followed by one section for every type it is made of: a line of 80 ``=``, a
line ``MSG: package/Name``, and that type's ``.msg`` file (https://mcap.dev/spec/registry, "ros2msg").
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from tinybev.errors import UserError

SCHEMA_ENCODING = "ros2msg"
_SEPARATOR = "=" * 80
_INTEGERS = frozenset(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64))
_PRIMITIVES = _INTEGERS | {"bool", "byte", "char", "float32", "float64", "string", "wstring"}


def install_prefixes() -> list[Path]:
    """Folders under which ROS packages are installed: those of ``AMENT_PREFIX_PATH``, then the Python environment's.

    The environment's own comes last because ROS 2 wheels install there and leave ``AMENT_PREFIX_PATH`` unset.
    """
    ament = os.environ.get("AMENT_PREFIX_PATH", "")
    return [Path(prefix) for prefix in [*ament.split(os.pathsep), sys.prefix] if prefix]


def schema_text(type_name: str, prefixes: Sequence[Path]) -> str:
    """The ``ros2msg`` text of ``type_name`` (``package/msg/Name``) and of every type it contains, each once.

    ``prefixes`` are searched in order for ``share/package/msg/Name.msg``. Raises UserError when the type is not a
    message, or when its definition or that of a type it contains is not installed.
    """
    sections: dict[str, str] = {}
    pending = [type_name]
    while pending:
        name = pending.pop(0)
        if name not in sections:
            sections[name] = _definition(name, prefixes)
            pending.extend(_field_types(sections[name], package=name.split("/")[0]))
    own = sections.pop(type_name)
    return own + "".join(
        f"\n{_SEPARATOR}\nMSG: {name.replace('/msg/', '/')}\n{text}" for name, text in sections.items()
    )


def _definition(type_name: str, prefixes: Sequence[Path]) -> str:
    package, kind, name = _split(type_name)
    if kind != "msg":
        raise UserError(f"{type_name} is not a message type (package/msg/Name), so it has no definition to send.")
    for prefix in prefixes:
        path = prefix / "share" / package / "msg" / f"{name}.msg"
        if path.is_file():
            return path.read_text(encoding="utf-8")
    searched = ", ".join(str(prefix) for prefix in prefixes)
    raise UserError(
        f"No definition of {type_name} is installed (share/{package}/msg/{name}.msg under {searched}); "
        f"install the package {package} or source the workspace that holds it."
    )


def _split(type_name: str) -> tuple[str, str, str]:
    parts = type_name.split("/")
    if len(parts) != 3 or not all(part.isidentifier() for part in parts):
        raise UserError(f"Expected a type name like std_msgs/msg/String, got {type_name!r}.")
    return parts[0], parts[1], parts[2]


def _field_types(definition: str, package: str) -> Iterator[str]:
    """Full names of the message types among the fields of one definition, in the order of the fields."""
    for line in definition.splitlines():
        words = line.partition("#")[0].split()
        if not words:
            continue
        element = words[0].partition("[")[0].partition("<")[0]  # uint8[3], string<=10, Point[<=4]
        if element in _PRIMITIVES:
            continue  # constants, which are always primitive, end here too
        owner, _, name = element.rpartition("/")
        yield f"{owner.removesuffix('/msg') or package}/msg/{name}"
