"""Small rosbags for tests: a few messages of given bytes at given times."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from rosbags.interfaces import Qos, QosDurability, QosHistory, QosLiveliness, QosReliability, QosTime
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

TYPESTORE = get_typestore(Stores.ROS2_HUMBLE)
STRING = "std_msgs/msg/String"
UNHEARD_OF = "nowhere_msgs/msg/Unheard"
TYPESTORE.register(get_types_from_msg("string data", UNHEARD_OF))
START_NS = 1_700_000_000_000_000_000


def string_cdr(text: str) -> bytes:
    """A serialized ``std_msgs/String``."""
    return bytes(TYPESTORE.serialize_cdr(TYPESTORE.types[STRING](data=text), STRING))


def qos(*, latched: bool = False, best_effort: bool = False) -> Qos:
    """A recorded QoS profile of depth 1."""
    return Qos(
        QosHistory.KEEP_LAST,
        1,
        QosReliability.BEST_EFFORT if best_effort else QosReliability.RELIABLE,
        QosDurability.TRANSIENT_LOCAL if latched else QosDurability.VOLATILE,
        QosTime(0, 0),
        QosTime(0, 0),
        QosLiveliness.AUTOMATIC,
        QosTime(0, 0),
        False,
    )


def write_bag(
    path: Path,
    messages: Sequence[tuple[float, str, bytes]],
    *,
    storage: StoragePlugin = StoragePlugin.MCAP,
    types: Mapping[str, str] | None = None,
    profiles: Mapping[str, Sequence[Qos]] | None = None,
) -> Path:
    """Writes messages (seconds after ``START_NS``, topic, bytes); topics are strings unless ``types`` says otherwise.

    Topics in ``types`` and ``profiles`` are added even where no message is theirs. Topics without profile are reliable.
    """
    types, profiles = types or {}, profiles or {}
    topics = {*types, *profiles, *(topic for _, topic, _ in messages)}
    with Writer(path, version=9, storage_plugin=storage) as writer:
        connections = {
            topic: writer.add_connection(
                topic,
                types.get(topic, STRING),
                typestore=TYPESTORE,
                offered_qos_profiles=profiles.get(topic, [qos()]),
            )
            for topic in sorted(topics)
        }
        for seconds, topic, data in messages:
            writer.write(connections[topic], START_NS + round(seconds * 1e9), data)
    return path
