"""Opens a rosbag2 for reading, or says in one sentence what is wrong with it."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rosbags.interfaces import Connection, ConnectionExtRosbag2, Qos
from rosbags.rosbag2 import Reader

from tinybev.errors import UserError

BAG_SUFFIXES = (".mcap", ".db3")
MCAP_MAGIC = b"\x89MCAP0\r\n"
MCAP_RECORD_HEAD = struct.Struct("<BQ")  # opcode, length of what follows
MCAP_CHUNK = 0x06
MCAP_CHUNK_TIMES = struct.Struct("<QQ")  # stamps of a chunk's first and last message
SQLITE_MAGIC = b"SQLite format 3\0"
NS_PER_S = 1e9


@dataclass(frozen=True)
class BagTopic:
    """One topic of a bag: its name, its type (``package/msg/Name``), its offered QoS profiles, its messages."""

    name: str
    type_name: str
    offered_qos: tuple[Qos, ...]
    message_count: int


@dataclass(frozen=True)
class BagMessage:
    """One message as it lies in the bag: serialized (CDR), with its log time."""

    topic: str
    stamp_ns: int
    data: bytes


class Bag:
    """A bag that is open for reading.

    Attributes:
        path: what was opened.
        topics: its topics, by name.
        start_ns: log time of the first message.
        end_ns: log time of the last message.
    """

    def __init__(self, path: Path, reader: Reader) -> None:
        self.path = path
        self._reader = reader
        self._connections: list[Connection] = list(reader.connections)
        self.topics: dict[str, BagTopic] = {}
        for connection in self._connections:
            self.topics[connection.topic] = _topic(path, connection, self.topics.get(connection.topic))
        self.start_ns = reader.start_time
        self.end_ns = reader.end_time - 1

    def messages(
        self, topics: Sequence[str], start_ns: int | None = None, end_ns: int | None = None
    ) -> Iterator[BagMessage]:
        """The messages of ``topics`` from ``start_ns`` to ``end_ns`` (both included), in order of log time.

        Raises:
            UserError: the bag turns out to be damaged on the way.
        """
        connections = [connection for connection in self._connections if connection.topic in topics]
        if not connections:
            return
        stop = None if end_ns is None else end_ns + 1
        with _damage_as_user_error(self.path):
            for connection, stamp_ns, data in self._reader.messages(connections, start=start_ns, stop=stop):
                yield BagMessage(connection.topic, stamp_ns, bytes(data))


@contextmanager
def open_bag(path: Path) -> Iterator[Bag]:
    """Opens a rosbag2: its folder, or a bare ``.mcap`` or ``.db3`` file.

    Raises:
        UserError: nothing is there, it is no bag, it is cut off or damaged, or it holds no message.
    """
    if not path.exists():
        raise UserError(f"expected a rosbag2, but {path} does not exist.")
    if path.is_file() and path.suffix not in BAG_SUFFIXES:
        raise UserError(f"expected the folder of a rosbag2, or an .mcap or .db3 file, got {path}.")
    files = _storage_files(path)
    has_metadata = (path / "metadata.yaml").is_file()
    if not files and not has_metadata:  # with metadata they may be compressed files, of other suffixes
        raise UserError(f"expected a rosbag2, but {path} holds no .mcap and no .db3 file.")
    for file in files:
        _refuse_cut_file(file)
    if path.is_dir() and not has_metadata:
        raise UserError(
            f"{path} has no metadata.yaml, so its recording was not ended properly; "
            f"write it with `ros2 bag reindex {path}`, or give the file itself: {files[0]}."
        )
    with _damage_as_user_error(path):
        reader = Reader(path)
        reader.open()
    try:
        if reader.message_count == 0:
            raise UserError(f"{path} holds no message.")
        yield Bag(path, reader)
    finally:
        reader.close()


def _topic(path: Path, connection: Connection, known: BagTopic | None) -> BagTopic:
    """A topic from one connection and from what is known of it: a bag may hold several connections of one topic."""
    assert isinstance(connection.ext, ConnectionExtRosbag2)
    offered, count = tuple(connection.ext.offered_qos_profiles), connection.msgcount
    if known is not None:
        if known.type_name != connection.msgtype:
            raise UserError(
                f"{path} holds {connection.topic} both as {known.type_name} and as {connection.msgtype}; "
                "expected one type per topic."
            )
        offered, count = known.offered_qos + offered, known.message_count + count
    return BagTopic(connection.topic, connection.msgtype, offered, count)


def _storage_files(path: Path) -> list[Path]:
    return [path] if path.is_file() else sorted(file for file in path.iterdir() if file.suffix in BAG_SUFFIXES)


@contextmanager
def _damage_as_user_error(path: Path) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # over damaged bytes the library raises whatever its parsing trips over
        reason = " ".join(str(error).split()).rstrip(".") or type(error).__name__
        raise UserError(f"{path} cannot be read as a rosbag2: {reason}; record or convert it again.") from error


def _refuse_cut_file(file: Path) -> None:
    """Raises a UserError where the end of a storage file is missing, as an interrupted copy or recording leaves it."""
    size = file.stat().st_size
    with file.open("rb") as stream:
        head = stream.read(32)
        if file.suffix == ".db3":
            if not head.startswith(SQLITE_MAGIC):
                raise UserError(f"expected an SQLite database, but {file} ({size} bytes) is not one.")
            page_size, pages = int.from_bytes(head[16:18], "big"), int.from_bytes(head[28:32], "big")
            expected = (65536 if page_size == 1 else page_size) * pages
            if size < expected:
                raise UserError(
                    f"{file} is cut off: it has {size} of {expected} bytes; copy it again, or save what is left "
                    "with `sqlite3 CUT.db3 .recover | sqlite3 WHOLE.db3`."
                )
            return
        if not head.startswith(MCAP_MAGIC):
            raise UserError(f"expected an MCAP file, but {file} ({size} bytes) is not one.")
        stream.seek(-min(size, len(MCAP_MAGIC)), 2)
        if size >= 2 * len(MCAP_MAGIC) and stream.read() == MCAP_MAGIC:
            return
    seconds = _seconds_in_whole_chunks(file)
    raise UserError(
        f"{file} is cut off: it ends after {size} bytes, without MCAP's closing index; its first {seconds:.1f} s are "
        "whole and can be saved with `mcap recover CUT.mcap -o WHOLE.mcap`."
    )


def _seconds_in_whole_chunks(file: Path) -> float:
    """How much time the chunks of a cut MCAP file span that lie in it as a whole."""
    size = file.stat().st_size
    first, last = 0, 0
    with file.open("rb") as stream:
        stream.seek(len(MCAP_MAGIC))
        while len(head := stream.read(MCAP_RECORD_HEAD.size)) == MCAP_RECORD_HEAD.size:
            opcode, length = MCAP_RECORD_HEAD.unpack(head)
            end = stream.tell() + length
            if end > size:
                break
            if opcode == MCAP_CHUNK:
                start_ns, end_ns = MCAP_CHUNK_TIMES.unpack(stream.read(MCAP_CHUNK_TIMES.size))
                first, last = first or start_ns, max(last, end_ns)
            stream.seek(end)
    return (last - first) / NS_PER_S
