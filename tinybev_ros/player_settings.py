"""The player's settings: one definition for its command line and for its ROS parameters."""

from __future__ import annotations

import argparse
import math
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from typing import Any

from tinybev.errors import UserError


def _setting(default: Any, description: str) -> Any:
    return field(default=default, metadata={"description": description})


@dataclass(frozen=True)
class PlayerSettings:
    """What to play and how; a field's description is the help of its argument and of its parameter."""

    bag: str = _setting("", "the rosbag2: its folder, or an .mcap or .db3 file")
    rate: float = _setting(1.0, "speed of playback, times real time")
    loop: bool = _setting(False, "begin again at the end, with the clock set back")
    start: float = _setting(0.0, "where to begin, seconds after the first message")
    duration: float = _setting(0.0, "how much to play, seconds of the recording; 0: to the end")
    wait_for: tuple[str, ...] = _setting((), "topics that must have a subscriber before the first message")
    wait_timeout: float = _setting(60.0, "how long to wait for them, seconds")
    exclude: tuple[str, ...] = _setting((), "topics to leave out; a name that ends in / stands for all that begin so")

    def __post_init__(self) -> None:
        """Raises a UserError that names the first setting that has not the right type or range."""
        for entry in fields(self):
            _check_type(entry.name, getattr(self, entry.name), _default(entry))
        if not self.bag:
            raise UserError("expected the rosbag2 to play, as the argument BAG or the parameter bag.")
        for name, low_is_valid in (("rate", False), ("start", True), ("duration", True), ("wait_timeout", False)):
            value = getattr(self, name)
            if not math.isfinite(value) or value < 0 or (value == 0 and not low_is_valid):
                expected = "0 or more" if low_is_valid else "more than 0"
                raise UserError(f"{name}: expected a number that is {expected}, got {value}.")

    def leaves_out(self, topic: str) -> bool:
        """Whether a topic is not to be played."""
        return any(topic.startswith(name) if name.endswith("/") else topic == name for name in self.exclude)


def setting_descriptions() -> dict[str, str]:
    """The description of every setting by name, in order."""
    return {entry.name: entry.metadata["description"] for entry in fields(PlayerSettings)}


def settings_from(values: Mapping[str, Any]) -> PlayerSettings:
    """Settings from values as a command line or ROS parameters give them: whole numbers for floats, lists for tuples.

    Raises:
        UserError: a value has the wrong type or is out of range.
    """
    converted: dict[str, Any] = {}
    for entry in fields(PlayerSettings):
        value = values[entry.name]
        default = _default(entry)
        if isinstance(default, float) and isinstance(value, int) and not isinstance(value, bool):
            value = float(value)
        elif isinstance(default, tuple):
            given = [value] if isinstance(value, str) else value
            # A launch file cannot pass an empty list; an empty name stands for it.
            value = tuple(name for name in given if name) if isinstance(given, list | tuple) else given
        converted[entry.name] = value
    return PlayerSettings(**converted)


def add_setting_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds one argument per setting; ``bag`` is positional and may be left out where the ROS parameter says it."""
    for entry in fields(PlayerSettings):
        default, help_text = _default(entry), entry.metadata["description"]
        flag = f"--{entry.name.replace('_', '-')}"
        if entry.name == "bag":
            parser.add_argument("bag", nargs="?", default=default, metavar="BAG", help=help_text)
        elif isinstance(default, bool):
            parser.add_argument(flag, action="store_true", help=help_text)
        elif isinstance(default, tuple):
            parser.add_argument(flag, nargs="+", default=list(default), metavar="TOPIC", help=help_text)
        else:
            parser.add_argument(flag, type=type(default), default=default, help=help_text)


def _default(entry: Any) -> Any:
    assert entry.default is not MISSING
    return entry.default


def _check_type(name: str, value: Any, default: Any) -> None:
    kinds = {str: "a text", float: "a number", bool: "true or false", tuple: "a list of topic names"}
    right = isinstance(value, type(default))
    if isinstance(value, tuple):
        right = right and all(isinstance(item, str) for item in value)
    if not right:
        raise UserError(f"{name}: expected {kinds[type(default)]}, got {value!r}.")
