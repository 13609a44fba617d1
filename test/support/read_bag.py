"""Bags that were made of generated datasets, read back."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rosbags.highlevel import AnyReader
from tiny_nuscenes import VERSION


@dataclass(frozen=True)
class Message:
    """A message of a bag with its log time."""

    log_ns: int
    content: Any

    @property
    def stamp_ns(self) -> int:
        stamp = self.content.header.stamp
        return int(stamp.sec * 10**9 + stamp.nanosec)


def read_bag(path: Path) -> dict[str, list[Message]]:
    """All messages of a bag by topic, deserialized with the definitions that the bag itself carries."""
    found: dict[str, list[Message]] = defaultdict(list)
    with AnyReader([path]) as reader:
        for connection, log_ns, data in reader.messages():
            found[connection.topic].append(Message(log_ns, reader.deserialize(data, connection.msgtype)))
    return found


def edit_table(root: Path, table: str, edit: Callable[[list[dict[str, Any]]], list[dict[str, Any]]]) -> None:
    """Rewrites a table of a dataset."""
    path = root / VERSION / f"{table}.json"
    path.write_text(json.dumps(edit(json.loads(path.read_text()))))
