"""The bridge as a process: how it starts, what it refuses to start with, and how it ends."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import rclpy
from foxglove_client import PROTOCOLS, FoxgloveClient
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile
from rclpy.serialization import serialize_message
from std_msgs.msg import String

from tinybev.errors import UserError
from tinybev_ros.foxglove import websocket_server
from tinybev_ros.foxglove.server import Endpoint, start_server
from tinybev_ros.foxglove.settings import Settings, declare_settings

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # foxglove-websocket's, of its own imports

BACKENDS = sorted(PROTOCOLS)
MODULES = {"sdk": "foxglove", "websocket": "foxglove_websocket"}
PACKAGES = {"sdk": "foxglove-sdk", "websocket": "foxglove-websocket"}


class Nobody:
    """A listener that is not interested."""

    def on_subscribe(self, channel_id: int) -> None: ...

    def on_unsubscribe(self, channel_id: int) -> None: ...


def start_bridge(**parameters: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tinybev_ros.foxglove", "--ros-args"]
    for name, value in parameters.items():
        command += ["-p", f"{name}:={value}"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


@pytest.fixture
def node(ros_domain: int) -> Iterator[Node]:
    context = rclpy.Context()
    rclpy.init(context=context, domain_id=ros_domain)
    node = Node("talker", context=context)
    yield node
    node.destroy_node()
    context.try_shutdown()


@contextmanager
def configured(domain: int, **parameters: object) -> Iterator[Node]:
    """A node that was started with parameters."""
    context = rclpy.Context()
    rclpy.init(context=context, domain_id=domain)
    overrides = [Parameter(name, value=value) for name, value in parameters.items()]
    node = Node("bridge", context=context, parameter_overrides=overrides)
    try:
        yield node
    finally:
        node.destroy_node()
        context.try_shutdown()


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM], ids=["sigint", "sigterm"])
def test_it_serves_another_process_and_ends_cleanly_on_a_signal(
    node: Node, backend: str, ending: signal.Signals
) -> None:
    """A client is connected and subscribed when the signal comes."""
    latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    sent = serialize_message(String(data="to another process."))
    assert len(sent) % 4 == 0  # DDS pads other lengths on the way between processes
    node.create_publisher(String, "/words", latched).publish(sent)
    bridge = start_bridge(port=0, backend=backend)
    try:
        assert bridge.stdout is not None
        started = next(line for line in bridge.stdout if "Foxglove can connect" in line)
        found = re.search(r"ws://127\.0\.0\.1:(\d+)", started)
        assert found is not None
        with FoxgloveClient(int(found[1]), PROTOCOLS[backend]) as client:
            client.subscribe("/words", 1)
            assert client.data(1).payload == sent
            bridge.send_signal(ending)
            output, _ = bridge.communicate(timeout=30)
    finally:
        bridge.kill()
        bridge.wait()
    assert bridge.returncode == 0
    assert "terminate called" not in output
    assert "Traceback" not in output


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_port_that_is_taken_is_one_sentence_and_a_status(ros_domain: int, backend: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        bridge = start_bridge(port=port, backend=backend)
        output, _ = bridge.communicate(timeout=30)
    assert bridge.returncode == 2
    assert len(output.splitlines()) == 1
    assert output.startswith(f"foxglove_bridge: The Foxglove server cannot listen on 127.0.0.1 port {port} (")
    assert "Address already in use" in output


def test_an_address_others_can_reach_is_warned_about(ros_domain: int) -> None:
    with socket.create_server(("0.0.0.0", 0)) as taken:
        bridge = start_bridge(host="0.0.0.0", port=taken.getsockname()[1])
        output, _ = bridge.communicate(timeout=30)
    assert bridge.returncode == 2
    assert "there is no authentication" in output


def test_by_default_only_this_machine_can_connect_and_everything_is_offered(ros_domain: int) -> None:
    with configured(ros_domain) as node:
        settings = declare_settings(node)
        descriptors = node.describe_parameters(["host", "port", "backend", "topics"])
    assert settings == Settings("127.0.0.1", 8765, "sdk", (re.compile(".*"),))
    assert all(descriptor.read_only and descriptor.description for descriptor in descriptors)


@pytest.mark.parametrize(
    ("host", "local"),
    [("127.0.0.1", True), ("localhost", True), ("::1", True), ("0.0.0.0", False), ("10.0.0.2", False), ("car", False)],
)
def test_it_knows_which_addresses_others_can_reach(host: str, local: bool) -> None:
    assert Settings(host, 0, "sdk", ()).local is local


@pytest.mark.parametrize(
    ("parameters", "sentence"),
    [
        ({"port": "a"}, r"The parameter port \(TCP port .* is not valid: .*STRING"),
        ({"port": 65536}, r"The parameter port .* is not valid: .*65536"),
        ({"port": -1}, r"The parameter port .* is not valid: .*-1"),
        ({"host": 3}, r"The parameter host .* is not valid: .*INTEGER"),
        ({"topics": ["/ok", "(/cam"]}, r"The parameter topics holds '\(/cam', which is not a regular expression"),
    ],
)
def test_parameters_that_make_no_sense_are_refused(
    ros_domain: int, parameters: dict[str, object], sentence: str
) -> None:
    with configured(ros_domain, **parameters) as node, pytest.raises(UserError, match=sentence):
        declare_settings(node)


def test_an_empty_list_of_topics_is_refused(ros_domain: int) -> None:
    """As a process, because it is the command line that turns the empty list into no value."""
    bridge = start_bridge(port=0, topics="[]")
    output, _ = bridge.communicate(timeout=30)
    assert bridge.returncode == 2
    assert output.startswith("foxglove_bridge: The parameter topics (")
    assert len(output.splitlines()) == 1


def test_an_unknown_backend_is_refused() -> None:
    with pytest.raises(UserError, match="The parameter backend must be one of sdk, websocket, not 'rosbridge'"):
        start_server("rosbridge", Endpoint("127.0.0.1", 0, "test", sends_time=False), Nobody())


def test_a_websocket_server_that_cannot_begin_says_so_and_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    async def fails(self: object) -> None:
        raise OSError("no more sockets")

    monkeypatch.setattr(websocket_server.FoxgloveServer, "__aenter__", fails)
    with pytest.raises(OSError, match="no more sockets"):
        websocket_server.start(Endpoint("127.0.0.1", 0, "test", sends_time=False), Nobody())


@pytest.mark.parametrize(("missing", "other"), [("sdk", "websocket"), ("websocket", "sdk")])
def test_one_library_is_enough(missing: str, other: str) -> None:
    """In an interpreter in which the other cannot be imported."""
    program = f"""
import sys
sys.modules[{MODULES[missing]!r}] = None
from tinybev.errors import UserError
from tinybev_ros.foxglove.server import Endpoint, start_server
endpoint = Endpoint("127.0.0.1", 0, "test", sends_time=False)
try:
    start_server({missing!r}, endpoint, None)
except UserError as error:
    print(error)
server = start_server({other!r}, endpoint, None)
print(server.port > 0)
server.stop()
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    sentence, started = ended.stdout.splitlines()
    assert sentence.startswith(f"The Foxglove backend {missing!r} needs the Python package {PACKAGES[missing]} ")
    assert started == "True"
