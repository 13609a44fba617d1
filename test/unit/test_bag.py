"""Opening and reading bags: whole ones give every message back, damaged ones one clear sentence."""

from __future__ import annotations

import random
import re
import sqlite3
from pathlib import Path

import pytest
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
from small_bag import START_NS, STRING, TYPESTORE, UNHEARD_OF, qos, string_cdr, write_bag

from tinybev.errors import UserError
from tinybev_ros.bag import BagMessage, open_bag
from tinybev_ros.read_ahead import ReadAhead

STORAGES = [StoragePlugin.MCAP, StoragePlugin.SQLITE3]
TOPICS = ("/a", "/b")


def big_messages() -> list[tuple[float, str, bytes]]:
    """Six megabytes on two topics in three seconds, so that the bag has several chunks."""
    noise = random.Random(7)
    return [(index * 0.1, TOPICS[index % 2], noise.randbytes(200_000)) for index in range(30)]


def expected(messages: list[tuple[float, str, bytes]]) -> list[BagMessage]:
    return [BagMessage(topic, START_NS + round(seconds * 1e9), data) for seconds, topic, data in messages]


@pytest.fixture(params=STORAGES, ids=["mcap", "sqlite3"])
def big_bag(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return write_bag(tmp_path / "big", big_messages(), storage=request.param)


def storage_file(bag: Path) -> Path:
    return next(file for file in bag.iterdir() if file.suffix in (".mcap", ".db3"))


def refusal(path: Path) -> str:
    """The sentence with which a bag is refused, on opening or at the latest on reading."""
    with pytest.raises(UserError) as caught, open_bag(path) as bag:
        list(bag.messages(TOPICS))
    sentence = str(caught.value)
    assert str(path) in sentence
    assert "\n" not in sentence
    return sentence


@pytest.mark.parametrize("bare", [False, True], ids=["folder", "file"])
def test_every_message_comes_back(big_bag: Path, bare: bool) -> None:
    messages = expected(big_messages())
    with open_bag(storage_file(big_bag) if bare else big_bag) as bag:
        assert list(bag.messages(TOPICS)) == messages
        assert list(bag.messages(["/b"])) == messages[1::2]
        assert list(bag.messages([])) == []
        window = list(bag.messages(TOPICS, messages[3].stamp_ns, messages[7].stamp_ns))
        assert window == messages[3:8]
        assert (bag.start_ns, bag.end_ns) == (messages[0].stamp_ns, messages[-1].stamp_ns)
        assert [(topic.type_name, topic.message_count) for topic in bag.topics.values()] == [(STRING, 15)] * 2


def test_reading_ahead_gives_the_same_messages(big_bag: Path) -> None:
    messages = expected(big_messages())
    with ReadAhead(big_bag, TOPICS, messages[2].stamp_ns, messages[-1].stamp_ns) as ahead:
        assert list(ahead) == messages[2:]


def test_reading_ahead_can_be_left_early_and_stays_bounded(tmp_path: Path) -> None:
    bag = write_bag(tmp_path / "many", [(index * 0.001, "/a", string_cdr(str(index))) for index in range(5000)])
    with ReadAhead(bag, ["/a"], START_NS, START_NS + 10**10) as ahead:
        assert next(iter(ahead)).data == string_cdr("0")
        assert ahead._chunks.maxsize * 64 < 5000  # so the thread is stopped in the middle of the bag
    assert not ahead._thread.is_alive()


def test_reading_ahead_raises_what_the_reading_raised(tmp_path: Path) -> None:
    with ReadAhead(tmp_path / "nothing", ["/a"], 0, 1) as ahead, pytest.raises(UserError, match="does not exist"):
        list(ahead)


@pytest.mark.parametrize("part", [0.02, 0.3, 0.5, 0.7, 0.999])
def test_a_bag_cut_in_the_middle(big_bag: Path, part: float) -> None:
    file = storage_file(big_bag)
    whole = file.read_bytes()
    file.write_bytes(whole[: round(part * len(whole))])
    for path in (big_bag, file):
        with pytest.raises(UserError, match="cut off") as caught, open_bag(path):
            pass
        assert str(file) in str(caught.value)
    if file.suffix == ".mcap":
        # A chunk holds six messages, 0.6 s; what lies before the cut as a whole can be saved, and no more is promised.
        promised = float(re.search(r"first ([\d.]+) s are whole", str(caught.value))[1])  # type: ignore[index]
        assert part * 3.0 - 1.2 < promised <= part * 3.0


def test_a_cut_bag_that_was_reported_whole_by_its_size_is_still_refused(tmp_path: Path) -> None:
    """Zeros where the second half of a database was, as a disk that filled up leaves it."""
    bag = write_bag(tmp_path / "bag", big_messages(), storage=StoragePlugin.SQLITE3)
    file = storage_file(bag)
    whole = file.read_bytes()
    half = len(whole) // 2
    file.write_bytes(whole[:half] + bytes(len(whole) - half))
    assert "cannot be read" in refusal(bag)


def test_random_damage_never_ends_in_a_traceback(big_bag: Path) -> None:
    file = storage_file(big_bag)
    whole = file.read_bytes()
    noise = random.Random(11)
    refused = 0
    for _ in range(60):
        damaged = bytearray(whole)
        where = noise.choice(
            [noise.randrange(len(whole)), noise.randrange(4096), len(whole) - noise.randrange(1, 2048)]
        )
        damaged[where : where + 8] = noise.randbytes(8)[: len(whole) - where]
        file.write_bytes(damaged)
        try:
            with open_bag(big_bag) as bag:
                for _ in bag.messages(TOPICS):
                    pass
        except UserError:
            refused += 1
    assert refused > 0


def test_a_compressed_bag(tmp_path: Path) -> None:
    writer = Writer(tmp_path / "bag", version=9, storage_plugin=StoragePlugin.MCAP)
    writer.set_compression(CompressionMode.FILE, CompressionFormat.ZSTD)
    with writer:
        writer.write(writer.add_connection("/a", STRING, typestore=TYPESTORE), START_NS, string_cdr("small"))
    assert [path.suffix for path in sorted((tmp_path / "bag").iterdir())] == [".zstd", ".yaml"]
    with open_bag(tmp_path / "bag") as bag:
        assert [message.data for message in bag.messages(["/a"])] == [string_cdr("small")]


def test_a_folder_without_metadata(big_bag: Path) -> None:
    (big_bag / "metadata.yaml").unlink()
    sentence = refusal(big_bag)
    assert "metadata.yaml" in sentence
    assert str(storage_file(big_bag)) in sentence
    with open_bag(storage_file(big_bag)) as bag:  # the way out that the sentence names
        assert len(list(bag.messages(TOPICS))) == 30


@pytest.mark.parametrize("text", ["", "{", "rosbag2_bagfile_information: 3", "- a\n- b", "\x00"])
def test_metadata_that_is_none(big_bag: Path, text: str) -> None:
    (big_bag / "metadata.yaml").write_text(text)
    assert "cannot be read" in refusal(big_bag)


def test_metadata_that_names_a_file_that_is_absent(big_bag: Path) -> None:
    file = storage_file(big_bag)
    file.rename(file.with_name(f"other{file.suffix}"))
    assert "missing" in refusal(big_bag)


def test_what_is_no_bag(tmp_path: Path) -> None:
    assert "does not exist" in refusal(tmp_path / "nothing")
    (tmp_path / "folder").mkdir()
    assert "holds no .mcap" in refusal(tmp_path / "folder")
    (tmp_path / "picture.png").write_bytes(b"PNG")
    assert "expected" in refusal(tmp_path / "picture.png")
    for name, kind in (("text.mcap", "MCAP"), ("text.db3", "SQLite")):
        (tmp_path / name).write_text("no bag at all, though it is named like one")
        assert kind in refusal(tmp_path / name)
    (tmp_path / "nothing.mcap").write_bytes(b"")
    assert "(0 bytes)" in refusal(tmp_path / "nothing.mcap")


def test_a_database_of_something_else(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "music.db3") as database:
        database.execute("CREATE TABLE songs (title TEXT)")
    assert "cannot be read" in refusal(tmp_path / "music.db3")


@pytest.mark.parametrize("storage", STORAGES, ids=["mcap", "sqlite3"])
def test_an_empty_bag(tmp_path: Path, storage: StoragePlugin) -> None:
    bag = write_bag(tmp_path / "empty", [], types={"/a": STRING}, storage=storage)
    assert "holds no message" in refusal(bag)


@pytest.mark.parametrize("storage", STORAGES, ids=["mcap", "sqlite3"])
def test_recorded_qos_of_a_topic(tmp_path: Path, storage: StoragePlugin) -> None:
    profiles = [qos(latched=True), qos(best_effort=True)]
    bag = write_bag(
        tmp_path / "bag",
        [(0, "/a", b"1")],
        storage=storage,
        types={"/b": UNHEARD_OF},
        profiles={"/a": profiles, "/b": []},
    )
    with open_bag(bag) as opened:
        assert opened.topics["/a"].offered_qos == tuple(profiles)
        assert opened.topics["/b"].offered_qos == ()
        assert opened.topics["/b"].type_name == UNHEARD_OF
