"""Frozen dataclasses <-> JSON, every value checked against the type of its field."""

from __future__ import annotations

import dataclasses
import json
import math
import types
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

from tinybev.errors import UserError

T = TypeVar("T")


def to_json(value: object) -> Any:
    """``value``, a nesting of dataclasses, tuples and JSON's types, in JSON's types."""
    if dataclasses.is_dataclass(value):
        return {field.name: to_json(getattr(value, field.name)) for field in dataclasses.fields(value)}
    return [to_json(one) for one in value] if isinstance(value, tuple) else value


def from_json(expected: type[T], value: object, where: str) -> T:
    """The inverse of :func:`to_json`.

    Args:
        expected: the dataclass to make.
        value: in JSON's types.
        where: what the value is, for complaints.

    Raises:
        UserError: a field is missing or unknown, or a value has the wrong type.
    """
    return typing.cast(T, _checked(expected, value, where))


def leaves(value: object, name: str = "") -> dict[str, Any]:
    """Every leaf of dataclasses, or of their JSON, by its dotted name, in JSON's types."""
    values = to_json(value)
    if not isinstance(values, Mapping):
        return {name: values}
    found: dict[str, Any] = {}
    for key, inner in values.items():
        found |= leaves(inner, f"{name}.{key}".lstrip("."))
    return found


def changed(value: T, settings: Mapping[str, str]) -> T:
    """A dataclass with some fields set from text.

    Args:
        value: the dataclass.
        settings: dotted names of fields -> JSON, where a text that is no JSON stands for itself. ``none`` is None;
            ``default`` is the default of a field that holds a dataclass or None.

    Raises:
        UserError: there is no such field, or the text is not of its type.
    """
    for name, text in settings.items():
        value = _changed(value, name.split("."), text, name)
    return value


def _changed(value: Any, path: list[str], text: str, name: str) -> Any:
    hints = typing.get_type_hints(type(value)) if dataclasses.is_dataclass(value) else {}
    if path[0] not in hints:
        raise UserError(f"--set {name}: expected a field, one of {', '.join(hints) or 'none'}, got {path[0]!r}.")
    expected, old = hints[path[0]], getattr(value, path[0])
    new = _changed(old, path[1:], text, name) if path[1:] else _parsed(expected, text, f"--set {name}")
    return dataclasses.replace(value, **{path[0]: new})


def _parsed(expected: Any, text: str, where: str) -> Any:
    made: Any = next((one for one in typing.get_args(expected) or (expected,) if dataclasses.is_dataclass(one)), None)
    if made is not None and text == "default":
        return made()
    try:
        value = None if text == "none" else json.loads(text)
    except json.JSONDecodeError:
        value = text
    if expected is str:  # a name may look like a number
        value = text
    return _checked(expected, value, where)


def _checked(expected: Any, value: Any, where: str) -> Any:
    """``value`` as ``expected``, which is any type that a field may have."""
    arguments = typing.get_args(expected)
    if isinstance(expected, types.UnionType) or typing.get_origin(expected) is typing.Union:
        if value is None and type(None) in arguments:
            return None
        (expected,) = (one for one in arguments if one is not type(None))
        return _checked(expected, value, where)
    if dataclasses.is_dataclass(expected) and isinstance(value, Mapping):
        return _dataclass(expected, value, where)
    if typing.get_origin(expected) is typing.Literal and value in arguments:
        return value
    if typing.get_origin(expected) is tuple and isinstance(value, list):
        types_ = (arguments[0],) * len(value) if arguments[-1] is Ellipsis else arguments
        if len(types_) == len(value):
            return tuple(
                _checked(one, item, f"{where}[{n}]") for n, (one, item) in enumerate(zip(types_, value, strict=True))
            )
    if expected is float and type(value) in (int, float) and math.isfinite(value):
        return float(value)
    if expected in (int, bool, str) and type(value) is expected:
        return value
    raise UserError(f"{where}: expected {_name(expected)}, got {value!r}; correct it.")


def _dataclass(expected: Any, value: Mapping[str, Any], where: str) -> Any:
    hints = typing.get_type_hints(expected)
    if unknown := sorted(value.keys() - hints.keys()):
        raise UserError(f"{where}: expected none but {', '.join(hints)}, got {', '.join(unknown)}; remove it.")
    if missing := sorted(hints.keys() - value.keys()):
        raise UserError(f"{where}: expected {', '.join(missing)}, not given; add what is missing.")
    return expected(**{key: _checked(hint, value[key], f"{where}.{key}") for key, hint in hints.items()})


def _name(expected: Any) -> str:
    if typing.get_origin(expected) is typing.Literal:
        return f"one of {', '.join(map(str, typing.get_args(expected)))}"
    if dataclasses.is_dataclass(expected):
        return f"the fields of {getattr(expected, '__name__', expected)}"
    return getattr(expected, "__name__", str(expected)) if isinstance(expected, type) else str(expected)
