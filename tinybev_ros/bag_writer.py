"""Writes a rosbag2 that is whole or not there."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from rosbags.interfaces import (
    Connection,
    Qos,
    QosDurability,
    QosHistory,
    QosLiveliness,
    QosReliability,
    QosTime,
)
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from tinybev.errors import UserError
from tinybev_ros.topics import LATCHED_TOPICS, ODOMETRY, TF

Storage = Literal["mcap", "sqlite3"]
BagVersion = Literal[8, 9]
STORAGES: dict[Storage, StoragePlugin] = {"mcap": StoragePlugin.MCAP, "sqlite3": StoragePlugin.SQLITE3}
FILES_OF_A_BAG = (".mcap", ".db3", ".db3-shm", ".db3-wal", ".yaml")
DEPTH = 10
POSE_DEPTH = 100  # what tf2's own broadcaster offers: poses come in bursts
INFINITE = QosTime(9223372036, 854775807)  # RMW_DURATION_INFINITE, what rosbag2 itself records


@dataclass(frozen=True)
class BagFormat:
    """How a bag is stored: version 9 is Jazzy's and later, 8 is the newest that Humble reads."""

    storage: Storage = "mcap"
    version: BagVersion = 9


class BagWriter:
    """Appends messages to an open bag; a topic is added with its first message."""

    def __init__(self, writer: Writer) -> None:
        self.counts: Counter[str] = Counter()
        self._writer = writer
        self._typestore = get_typestore(Stores.ROS2_HUMBLE)
        self._connections: dict[str, Connection] = {}

    def write(self, topic: str, stamp_ns: int, message: Any) -> None:
        """Appends one message (an instance of a class of ``rosbags``' type store) with its log time."""
        type_name = message.__msgtype__
        self.write_serialized(topic, type_name, stamp_ns, self._typestore.serialize_cdr(message, type_name))

    def write_serialized(self, topic: str, type_name: str, stamp_ns: int, data: bytes | memoryview) -> None:
        """Appends one serialized message (CDR) of ``type_name`` (``package/msg/Name``) with its log time.

        Raises:
            UserError: the type is none of ROS's own, and its definition is not installed.
        """
        connection = self._connections.get(topic)
        if connection is None:
            self._learn(type_name)
            connection = self._writer.add_connection(
                topic, type_name, typestore=self._typestore, offered_qos_profiles=[offered_qos(topic)]
            )
            self._connections[topic] = connection
        self._writer.write(connection, stamp_ns, data)
        self.counts[topic] += 1

    def _learn(self, type_name: str) -> None:
        """Adds an installed type, and what it is made of, to the type store where that lacks it."""
        known = self._typestore.fielddefs
        if type_name in known:
            return
        from tinybev_ros.foxglove.schemas import install_prefixes, schema_text  # needs ROS, and only here

        found = get_types_from_msg(schema_text(type_name, install_prefixes()), type_name)
        self._typestore.register({name: fields for name, fields in found.items() if name not in known})


def offered_qos(topic: str) -> Qos:
    """Reliable, so that every subscriber matches; latched topics transient local with the last message only."""
    latched = topic in LATCHED_TOPICS
    depth = 1 if latched else POSE_DEPTH if topic in (TF, ODOMETRY) else DEPTH
    return Qos(
        history=QosHistory.KEEP_LAST,
        depth=depth,
        reliability=QosReliability.RELIABLE,
        durability=QosDurability.TRANSIENT_LOCAL if latched else QosDurability.VOLATILE,
        deadline=INFINITE,
        lifespan=INFINITE,
        liveliness=QosLiveliness.AUTOMATIC,
        liveliness_lease_duration=INFINITE,
        avoid_ros_namespace_conventions=False,
    )


@contextmanager
def writing_bag(path: Path, bag_format: BagFormat, *, overwrite: bool = False) -> Iterator[BagWriter]:
    """Writes a bag beside ``path`` and moves it there when the block ends well; a block that raises leaves nothing.

    Until then it lies in ``.<name>.partial``; one that a killed process left behind is removed first.

    Raises:
        UserError: ``path`` exists and may not be replaced: ``overwrite`` is off, or it is no bag.
    """
    check_output(path, overwrite=overwrite)
    partial = path.parent / f".{path.name}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        # The bag's files are named after its folder, so the folder has its final name from the start.
        unfinished = partial / path.name
        with Writer(unfinished, version=bag_format.version, storage_plugin=STORAGES[bag_format.storage]) as writer:
            yield BagWriter(writer)
        if path.exists():
            path.replace(partial / f"{path.name}.replaced")
        unfinished.replace(path)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def check_output(path: Path, *, overwrite: bool) -> None:
    """Refuses an output that exists, unless it is a bag that may be overwritten.

    Raises:
        UserError: as said.
    """
    if not path.exists():
        return
    if not overwrite:
        raise UserError(f"{path} exists already; choose another place, or replace it (--overwrite).")
    if not path.is_dir() or any(entry.suffix not in FILES_OF_A_BAG for entry in path.iterdir()):
        raise UserError(f"{path} exists and is not a bag, so it is not overwritten; choose another place.")
