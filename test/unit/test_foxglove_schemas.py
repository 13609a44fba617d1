"""The text of message definitions that Foxglove clients get."""

from __future__ import annotations

from pathlib import Path

import pytest
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from tinybev.errors import UserError
from tinybev_ros.foxglove.schemas import install_prefixes, schema_text

RULE = "=" * 80


@pytest.fixture
def write(tmp_path: Path) -> tuple[Path, ...]:
    """Two prefixes, the first of which holds one message of package ``a``, the second all of ``a`` and ``b``."""
    definitions = {
        "one/a/First": "int32 only_here\n",
        "two/a/First": "int32 hidden\n",
        "two/a/Outer": (
            "# Outer holds b/Comment, not a/Comment\n"
            "uint8 LIMIT=3\n"
            'string TEXT="b/Constant x"\n'
            "Inner[LIMIT] fixed # Comment[] c\n"
            "b/Other[<=4] bounded\n"
            "b/msg/Long[] unbounded\n"
            "\n"
            "string<=10 name\n"
            "string<=10[<=2] names\n"
            'string greeting "b/Default d"\n'
            "float32[36] covariance\n"
        ),
        "two/a/Inner": "b/Other other\nbool last",
        "two/b/Other": "Deep deep\n",
        "two/b/Deep": "wstring text\n",
        "two/b/Long": "byte[] data\nchar letter\n",
        "two/b/Loose": "Missing gone\n",
    }
    for place, text in definitions.items():
        prefix, package, name = place.split("/")
        path = tmp_path / prefix / "share" / package / "msg" / f"{name}.msg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return tmp_path / "one", tmp_path / "two"


def sections(text: str) -> dict[str, str]:
    """The definitions after the first, by the name in their ``MSG:`` line."""
    return dict(part.removeprefix("MSG: ").split("\n", 1) for part in text.split(f"\n{RULE}\n")[1:])


def test_a_message_of_primitives_is_its_own_definition(write: tuple[Path, ...]) -> None:
    assert schema_text("b/msg/Deep", write) == "wstring text\n"


def test_every_contained_type_follows_once_nested_ones_included(write: tuple[Path, ...]) -> None:
    text = schema_text("a/msg/Outer", write)
    assert text.startswith("# Outer holds")
    assert sections(text) == {
        "a/Inner": "b/Other other\nbool last",
        "b/Other": "Deep deep\n",
        "b/Long": "byte[] data\nchar letter\n",
        "b/Deep": "wstring text\n",
    }


def test_the_first_prefix_wins(write: tuple[Path, ...]) -> None:
    assert schema_text("a/msg/First", write) == "int32 only_here\n"


@pytest.mark.parametrize(
    ("type_name", "sentence"),
    [
        ("b/msg/Nothing", "No definition of b/msg/Nothing is installed"),
        ("b/msg/Loose", "No definition of b/msg/Missing is installed"),
        ("b/action/Go_Feedback", "b/action/Go_Feedback is not a message type"),
        ("String", "Expected a type name like std_msgs/msg/String, got 'String'"),
        ("../etc/msg/../passwd", "Expected a type name like std_msgs/msg/String"),
        ("../msg/passwd", "Expected a type name like std_msgs/msg/String"),
    ],
)
def test_what_has_no_definition_is_refused(write: tuple[Path, ...], type_name: str, sentence: str) -> None:
    with pytest.raises(UserError, match="^" + sentence.replace(".", r"\.")):
        schema_text(type_name, write)


def test_prefixes_are_those_of_the_sourced_workspaces_then_the_environments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.prefix", "/env")
    monkeypatch.setenv("AMENT_PREFIX_PATH", "/overlay:/opt/ros/some")
    assert install_prefixes() == [Path("/overlay"), Path("/opt/ros/some"), Path("/env")]
    monkeypatch.delenv("AMENT_PREFIX_PATH")
    assert install_prefixes() == [Path("/env")]


@pytest.mark.parametrize(
    "type_name",
    [
        "visualization_msgs/msg/MarkerArray",
        "sensor_msgs/msg/CameraInfo",
        "nav_msgs/msg/OccupancyGrid",
        "diagnostic_msgs/msg/DiagnosticArray",
    ],
)
def test_a_standard_type_reads_back_as_another_library_knows_it(type_name: str) -> None:
    """rosbags parses the text and finds the same fields, in it and in all it contains, as in its own ROS 2 types."""
    read = {}
    text = schema_text(type_name, install_prefixes())
    package, _, name = type_name.split("/")
    for section, definition in {f"{package}/{name}": text.split(f"\n{RULE}\n")[0], **sections(text)}.items():
        read.update(get_types_from_msg(definition, section.replace("/", "/msg/")))
    known = get_typestore(Stores.ROS2_KILTED).fielddefs
    assert type_name in read
    for contained, (_, fields) in read.items():
        assert fields == known[contained][1], contained
