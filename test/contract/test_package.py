"""One version, one list of executables, one list of messages: what stands in two files agrees."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
from small_bag import qos, string_cdr, write_bag

import tinybev
from tinybev.cli import COMMANDS
from tinybev.errors import UserError
from tinybev_ros import demo, diagnostics
from tinybev_ros.bringup import ARGUMENTS, processes, ros_arguments, share
from tinybev_ros.player_settings import PlayerSettings
from tinybev_ros.topics import FOXGLOVE_PORT, camera_image_topic

ROOT = Path(__file__).resolve().parents[2]


def small_bag(path: Path, *, best_effort: bool = False) -> Path:
    """A bag of one message on the front camera's topic."""
    topic = camera_image_topic("CAM_FRONT")
    profiles = {topic: [qos(best_effort=best_effort)]}
    return write_bag(path, [(0.0, topic, string_cdr("x"))], profiles=profiles)


def test_package_xml_has_the_version_of_the_python_package() -> None:
    assert ElementTree.parse(ROOT / "package.xml").findtext("version") == tinybev.__version__


def test_every_executable_of_bringup_is_installed_by_cmake_with_the_same_module(tmp_path: Path) -> None:
    installed = dict(re.findall(r"(\w+):(\w+)", (ROOT / "CMakeLists.txt").read_text()))
    for process in processes({"bag": str(small_bag(tmp_path / "bag"))}):
        assert process.module is not None
        assert installed[process.executable] == process.module.rsplit(".", 1)[1]


def test_the_template_of_executables_may_be_executed() -> None:
    """CMake keeps its mode, and `colcon build --symlink-install` links to what CMake made."""
    assert os.access(ROOT / "cmake" / "executable.py.in", os.X_OK)


def test_every_message_is_generated_and_every_field_commented() -> None:
    import tinybev_ros.msg as generated

    for path in sorted((ROOT / "msg").glob("*.msg")):
        assert hasattr(generated, path.stem), f"{path.stem} is not built; run `make setup`"
        for line in path.read_text().splitlines():
            is_constant = re.match(r"\w+ [A-Z_]+=", line)
            assert not line or line.startswith("#") or is_constant or "# " in line or "Header" in line, line


def test_bag_playback_brings_simulated_time_to_everyone_but_the_player(tmp_path: Path) -> None:
    bag = small_bag(tmp_path / "bag")
    graph = {process.name: process for process in processes({"bag": str(bag), "foxglove": "websocket"})}
    assert graph["tinybev"].parameters["use_sim_time"] is True
    assert graph["foxglove_bridge"].parameters == {
        "use_sim_time": True,
        "backend": "websocket",
        "port": FOXGLOVE_PORT,
    }
    assert "use_sim_time" not in graph["bag_player"].parameters
    assert not any(process.parameters["use_sim_time"] for process in processes({}))


@pytest.mark.parametrize(("namespace", "name"), [("", "/tinybev"), ("front/car", "/front/car/tinybev")])
def test_playback_leaves_out_what_the_node_said_in_the_recording(tmp_path: Path, namespace: str, name: str) -> None:
    player = processes({"bag": str(small_bag(tmp_path / "bag")), "namespace": namespace})[-1]
    exclude = player.parameters["exclude"]
    assert isinstance(exclude, list)
    settings = PlayerSettings("bag", exclude=tuple(exclude))
    outputs = {topic.replace(f"/{demo.NODE}/", f"{name}/") for topic, _ in demo.RECORDED}
    assert diagnostics.TOPIC in outputs
    assert all(map(settings.leaves_out, outputs | {"/rosout", "/parameter_events"}))
    assert not any(map(settings.leaves_out, (camera_image_topic("CAM_FRONT"), "/tf", "/odom", "/goal_pose")))


def test_ros_arguments_keep_texts_texts(tmp_path: Path) -> None:
    bag = small_bag(tmp_path / "it's 1")
    player = processes({"bag": str(bag), "namespace": "car", "loop": "true"})[-1]
    arguments = ros_arguments(player)
    assert f"bag:='{str(bag).replace(chr(39), chr(39) * 2)}'" in arguments
    assert "loop:=true" in arguments
    node = processes({"namespace": "car"})[0]
    assert "__ns:=/car" in ros_arguments(node)
    assert str(share("config/tinybev.yaml")) in ros_arguments(node)


def test_playback_reads_topic_names_from_the_parameter_file_and_stretches_the_wait(tmp_path: Path) -> None:
    bag = write_bag(tmp_path / "bag", [(0.0, "/CAM_FRONT/raw", string_cdr("x"))])
    params = tmp_path / "mine.yaml"
    params.write_text("/**: {ros__parameters: {image_topic: '/{CAMERA}/raw', sync_max_wait: 0.2}}")
    node, _, player = processes({"bag": str(bag), "params_file": str(params), "rate": "0.25"})
    assert node.parameters["image_reliability"] == "reliable"
    assert node.parameters["sync_max_wait"] == 0.8
    topics = player.parameters["wait_for"]
    assert isinstance(topics, list)
    assert topics[0] == "/CAM_FRONT/raw"
    with pytest.raises(UserError, match=r"rate: expected 0\.1 or more for a sync_max_wait of 0\.2 s, got 0\.05"):
        processes({"bag": str(bag), "params_file": str(params), "rate": "0.05"})


def test_playback_reads_the_section_of_a_node_in_a_namespace(tmp_path: Path) -> None:
    params = tmp_path / "mine.yaml"
    params.write_text("/car1/tinybev: {ros__parameters: {image_topic: '/{CAMERA}/raw'}}")
    values = {"bag": str(small_bag(tmp_path / "bag")), "params_file": str(params)}
    for namespace, topic in (("car1", "/CAM_FRONT/raw"), ("/car1", "/CAM_FRONT/raw"), ("car2", "/cam_front/")):
        topics = processes({**values, "namespace": namespace})[-1].parameters["wait_for"]
        assert isinstance(topics, list)
        assert topics[0].startswith(topic)


def test_playback_waits_for_topics_in_the_namespace_of_the_node(tmp_path: Path) -> None:
    params = tmp_path / "mine.yaml"
    params.write_text("/**: {ros__parameters: {image_topic: 'a, b, /c, ~/d, e, f'}}")
    values = {"bag": str(small_bag(tmp_path / "bag")), "params_file": str(params), "namespace": "car1"}
    expected = ["/car1/a", "/car1/b", "/c", "/car1/tinybev/d", "/car1/e", "/car1/f"]
    assert processes(values)[-1].parameters["wait_for"] == expected
    params.write_text("/**: {ros__parameters: {image_topic: 'a, b'}}")
    with pytest.raises(UserError, match="parameter 'image_topic': expected "):
        processes(values)


@pytest.mark.parametrize("server", ["sdk", "websocket", "bridge"])
def test_a_second_vehicle_has_a_foxglove_server_of_its_own(server: str) -> None:
    assert processes({"foxglove": server})[-1].parameters["port"] == FOXGLOVE_PORT
    assert processes({"foxglove": server, "foxglove_port": "9000"})[-1].parameters["port"] == 9000


def test_the_list_of_processes_needs_no_recording_library_until_a_recording_is_played(tmp_path: Path) -> None:
    """`ros2 launch` may run in the system's Python, which has numpy and yaml and no more."""
    code = (
        "import sys; sys.modules.update(dict.fromkeys(['rosbags', 'torch', 'cv2', 'rclpy']))\n"
        "from tinybev_ros.bringup import processes\n"
        "print([process.name for process in processes({})])\n"
        f"processes({{'bag': {str(small_bag(tmp_path / 'bag'))!r}}})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "['tinybev', 'foxglove_bridge']", done.stderr
    last = done.stderr.splitlines()[-1]
    assert "UserError: bag: a recording needs the Python module 'rosbags" in last
    assert last.endswith('start with the Python of your virtual environment: python "$(command -v ros2)" launch ...')


@pytest.mark.parametrize("best_effort", [True, False])
def test_images_are_subscribed_to_as_the_bag_offers_them(tmp_path: Path, best_effort: bool) -> None:
    node = processes({"bag": str(small_bag(tmp_path / "bag", best_effort=best_effort))})[0]
    assert node.parameters.get("image_reliability") == (None if best_effort else "reliable")


def test_a_bag_that_is_cut_off_is_refused_before_anything_starts(tmp_path: Path) -> None:
    bag = small_bag(tmp_path / "bag")
    storage = next(bag.glob("*.mcap"))
    storage.write_bytes(storage.read_bytes()[:-20])
    with pytest.raises(UserError, match="is cut off"):
        processes({"bag": str(bag)})


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"bags": "x"}, "argument 'bags' is unknown"),
        ({"foxglove": "rviz"}, "foxglove: expected one of sdk, websocket, bridge, off, got 'rviz'"),
        ({"rate": "fast"}, "rate: expected a number greater than 0, got 'fast'"),
        ({"rate": "0"}, "rate: expected a number greater than 0, got '0'"),
        ({"params_file": __file__}, "params_file: expected YAML with ros__parameters"),
        ({"params_file": "/tmp"}, "params_file: expected YAML with ros__parameters"),
        ({"foxglove_port": "0"}, "foxglove_port: expected a number from 1 to 65535, got '0'"),
        ({"foxglove_port": "65536"}, "foxglove_port: expected a number from 1 to 65535, got '65536'"),
        ({"foxglove_port": "9e3"}, "foxglove_port: expected a number from 1 to 65535, got '9e3'"),
        ({"name": "my node"}, "name: expected letters, digits and underscores, got 'my node'"),
        ({"namespace": "a b"}, "namespace: expected letters, digits and underscores, got 'a b'"),
        ({"bag": "/nowhere/at/all"}, "bag: expected an existing file, found nothing at"),
    ],
)
def test_an_argument_that_is_not_understood_is_refused(values: dict[str, str], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        processes(values)


def test_every_argument_has_a_default_it_accepts() -> None:
    assert processes({argument.name: argument.default for argument in ARGUMENTS})


def test_every_command_names_a_module_of_this_project() -> None:
    for command in COMMANDS:
        path = ROOT.joinpath(*command.module.split("."))
        roots = (path, ROOT / "training" / Path(*command.module.split(".")))
        assert any(p.with_suffix(".py").exists() or (p / "__init__.py").exists() for p in roots), command
