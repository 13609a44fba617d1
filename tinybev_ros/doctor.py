"""``tinybev doctor``: checks the installation, one line a check, and says what to do where one fails."""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import os
import shutil
import socket
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import tinybev_ros
from tinybev_ros.topics import FOXGLOVE_PORT


@dataclass(frozen=True)
class Check:
    """One thing to check: ``run`` returns a finding or raises with what is wrong; ``advice`` says what to do then."""

    name: str
    run: Callable[[], str]
    advice: str
    required: bool = True


class CheckFailedError(Exception):
    """A check found something wrong; the message says what."""


SETUP_ADVICE = "run `make setup` (without a ROS 2 installation), or see the README on how to install on a ROS 2 machine"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """No arguments."""


def run(_args: argparse.Namespace) -> int:
    """Runs every check; returns 0 when all required ones hold, else 1."""
    failed = False
    for check in CHECKS:
        try:
            finding, mark, advice = check.run(), "ok", ""
        except Exception as error:  # whatever is broken here is a finding, the next check still runs
            finding, mark = (
                f"{type(error).__name__}: {error}" if not isinstance(error, CheckFailedError) else str(error),
                "--",
            )
            advice = f"; {check.advice}"
            if check.required:
                failed, mark = True, "NO"
        print(f"{mark:>2}  {check.name}: {finding}{advice}")
    print("doctor: something is missing, see the lines marked NO." if failed else "doctor: all is well.")
    return 1 if failed else 0


def python_version() -> str:
    """Python 3.10 or later."""
    if sys.version_info < (3, 10):  # noqa: UP036  (colcon installs without checking it)
        raise CheckFailedError(f"expected 3.10 or later, found {sys.version.split()[0]}")
    return f"{sys.version.split()[0]} at {sys.prefix}"


def ros_runtime() -> str:
    """rclpy and the interface packages import."""
    for name in ("rclpy", "std_msgs", "geometry_msgs", "sensor_msgs", "nav_msgs", "visualization_msgs", "tf2_msgs"):
        importlib.import_module(name)
    from rclpy.utilities import get_rmw_implementation_identifier

    return f"rclpy with {get_rmw_implementation_identifier()}"


def our_messages() -> str:
    """Our messages are generated."""
    module = importlib.import_module("tinybev_ros.msg")
    return f"{len([name for name in vars(module) if name[0].isupper()])} types"


def setup_state() -> str:
    """The development install matches the checkout."""
    script = Path(tinybev_ros.__file__).resolve().parents[1] / "scripts" / "setup_environment.py"
    if not script.exists():
        return "not a development install"
    spec = importlib.util.spec_from_file_location("setup_environment", script)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up by name
    spec.loader.exec_module(module)
    if outdated := module.outdated():
        raise CheckFailedError(f"out of date: {', '.join(outdated)}")
    return "up to date"


def network_runtime() -> str:
    """torch and torchvision import and agree."""
    import torch

    from tinybev.model.torchvision_import import torchvision

    device = torch.cuda.get_device_name() if torch.cuda.is_available() else f"CPU, {torch.get_num_threads()} threads"
    return f"torch {torch.__version__}, torchvision {torchvision.__version__}, {device}"


def middleware() -> str:
    """A message really goes from a publisher to a subscriber."""
    import rclpy
    from rclpy.executors import SingleThreadedExecutor
    from std_msgs.msg import String

    context = rclpy.Context()
    rclpy.init(context=context)
    try:
        node = rclpy.create_node("tinybev_doctor", context=context)
        received = threading.Event()
        topic = f"tinybev_doctor_{os.getpid()}"
        node.create_subscription(String, topic, lambda _message: received.set(), 1)
        publisher = node.create_publisher(String, topic, 1)
        executor = SingleThreadedExecutor(context=context)
        executor.add_node(node)
        for _ in range(50):
            publisher.publish(String(data="ping"))
            executor.spin_once(timeout_sec=0.1)
            if received.is_set():
                return f"a message went round in domain {os.environ.get('ROS_DOMAIN_ID', '0')}"
        raise CheckFailedError("a message published here did not arrive here within 5 s")
    finally:
        rclpy.shutdown(context=context)


def bag_tools() -> str:
    """Bags can be written and read."""
    return f"rosbags {metadata.version('rosbags')}"


def devkit() -> str:
    """nuScenes-format datasets can be read."""
    importlib.import_module("nuscenes")
    return f"nuscenes-devkit {metadata.version('nuscenes-devkit')}"


def foxglove() -> str:
    """The Foxglove library imports and its port is free."""
    importlib.import_module("foxglove")
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", FOXGLOVE_PORT)) == 0:
            raise CheckFailedError(
                f"port {FOXGLOVE_PORT} is in use: another bridge is running, or another program has it"
            )
    return f"foxglove-sdk, port {FOXGLOVE_PORT} is free"


def shared_memory() -> str:
    """Room for the middleware's shared memory."""
    free = shutil.disk_usage("/dev/shm").free / 2**20
    if free < 64:
        raise CheckFailedError(f"/dev/shm has {free:.0f} MB free, the middleware wants 64 MB or more for images")
    return f"/dev/shm has {free:.0f} MB free"


CHECKS: tuple[Check, ...] = (
    Check("Python", python_version, "install a newer Python and run `make setup PYTHON=python3.x`"),
    Check("ROS 2", ros_runtime, SETUP_ADVICE),
    Check("messages of tinybev_ros", our_messages, SETUP_ADVICE),
    Check("development install", setup_state, "run `make setup`"),
    Check("network", network_runtime, SETUP_ADVICE),
    Check("bags", bag_tools, SETUP_ADVICE),
    Check("nuScenes", devkit, "`pip install nuscenes-devkit`; only nuscenes2bag and training need it", required=False),
    Check("Foxglove", foxglove, "stop that program, or start with foxglove_port:=ANOTHER", required=False),
    Check("shared memory", shared_memory, "give the container more, e.g. `docker run --shm-size=512m`", required=False),
    Check("middleware", middleware, "check ROS_DOMAIN_ID, RMW_IMPLEMENTATION and the firewall of the loopback device"),
)
