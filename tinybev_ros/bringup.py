"""The one list of processes and their parameters; the launch file and ``tinybev up`` both start it.

Pure data, without rclpy and without launch, so that either can read it.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import tinybev_ros
from tinybev.camera_names import camera_names
from tinybev.config import PARAMETERS, checked_value
from tinybev.errors import UserError
from tinybev_ros.parameter_file import parameters_for
from tinybev_ros.topics import ABOUT_NODES, FOXGLOVE_PORT, NODE, absolute_name

ParameterValue = bool | int | float | str | list[str]


@dataclass(frozen=True)
class Argument:
    """One argument of the launch file and of ``tinybev up``."""

    name: str
    default: str
    description: str
    choices: tuple[str, ...] = ()


TRUTH = ("true", "false")
ARGUMENTS: tuple[Argument, ...] = (
    Argument("name", NODE, "name of the node; its topics live under it"),
    Argument("namespace", "", "namespace of the node"),
    Argument("params_file", "", "YAML of the node's parameters; empty: the package's config/tinybev.yaml"),
    Argument("bundle", "", "weights and manifest, in place of the parameter file's; empty: the parameter file's"),
    Argument("bag", "", "rosbag2 to play; empty: live cameras"),
    Argument("loop", "false", "play the bag again and again", TRUTH),
    Argument("rate", "1.0", "speed of playback; 1: real time"),
    Argument(
        "foxglove",
        "sdk",
        "what serves ws://127.0.0.1 on foxglove_port; sdk: today's Foxglove; websocket: older viewers; bridge: the "
        "package foxglove_bridge; off: nothing",
        ("sdk", "websocket", "bridge", "off"),
    ),
    Argument("foxglove_port", str(FOXGLOVE_PORT), "port of the Foxglove server; one of its own for a second vehicle"),
    Argument("log_level", "info", "of every process", ("debug", "info", "warn", "error", "fatal")),
    Argument("use_sim_time", "auto", "take the time from /clock; auto: true where a bag is played", ("auto", *TRUTH)),
)


@dataclass(frozen=True)
class Process:
    """One process of the graph.

    Attributes:
        package: ROS 2 package of the executable.
        executable: as in ``ros2 run``.
        module: the Python module of an executable of ours, None for another package's.
        name: node name.
        namespace: node namespace.
        parameter_files: YAML files, read first.
        parameters: single parameters, read after the files.
        log_level: of its loggers.
        required: the graph ends when this process does.
    """

    package: str
    executable: str
    module: str | None
    name: str
    namespace: str = ""
    parameter_files: tuple[Path, ...] = ()
    parameters: Mapping[str, ParameterValue] = field(default_factory=dict)
    log_level: str = "info"
    required: bool = False


def processes(values: Mapping[str, str]) -> list[Process]:
    """The processes for the given argument values, node first.

    Args:
        values: text by argument name, as launch gives it; an argument that is absent has its default.

    Raises:
        UserError: an argument is unknown or has a value it does not take, a file it names does not exist, or the bag
            cannot be read.
    """
    chosen = _checked(values)
    sim_time = chosen["use_sim_time"] == "true" or (chosen["use_sim_time"] == "auto" and bool(chosen["bag"]))
    common: dict[str, ParameterValue] = {"use_sim_time": sim_time}
    log_level = chosen["log_level"]
    params_file = Path(chosen["params_file"]) if chosen["params_file"] else share("config/tinybev.yaml")
    full_name = "/".join(["", *filter(None, chosen["namespace"].split("/")), chosen["name"]])
    told = {spec.name: spec.default for spec in PARAMETERS.values()} | parameters_for(params_file, full_name)
    named = camera_names(str(checked_value("image_topic", told["image_topic"])))
    image_topics = [absolute_name(topic, full_name) for topic in named.values()]
    node = dict(common)
    if chosen["bundle"]:
        node["bundle"] = chosen["bundle"]
    if chosen["bag"]:
        node |= _playback_parameters(Path(chosen["bag"]), float(chosen["rate"]), image_topics, told)
    graph = [
        Process(
            package="tinybev_ros",
            executable="tinybev_node",
            module="tinybev_ros.node",
            name=chosen["name"],
            namespace=chosen["namespace"],
            parameter_files=(params_file,),
            parameters=node,
            log_level=log_level,
            required=True,
        )
    ]
    port: dict[str, ParameterValue] = {"port": int(chosen["foxglove_port"])}
    if chosen["foxglove"] == "bridge":
        server: dict[str, ParameterValue] = {"address": "127.0.0.1", "capabilities": ["connectionGraph"]}
        graph.append(
            Process("foxglove_bridge", "foxglove_bridge", None, "foxglove_bridge",
                    parameters=common | server | port, log_level=log_level)
        )  # fmt: skip
    elif chosen["foxglove"] != "off":
        graph.append(
            Process("tinybev_ros", "foxglove_bridge", "tinybev_ros.foxglove", "foxglove_bridge",
                    parameters=common | {"backend": chosen["foxglove"]} | port, log_level=log_level)
        )  # fmt: skip
    if chosen["bag"]:
        # The player makes the clock, so it alone does not follow it. It holds the first message until the node listens.
        playback: dict[str, ParameterValue] = {
            "bag": chosen["bag"],
            "rate": float(chosen["rate"]),
            "loop": chosen["loop"] == "true",
            "wait_for": image_topics,
            # A recording of everything holds what the node said then, on the topics where it speaks now.
            "exclude": [f"{full_name}/", *ABOUT_NODES],
        }
        graph.append(
            Process("tinybev_ros", "bag_player", "tinybev_ros.player", "bag_player",
                    parameters=playback, log_level=log_level)
        )  # fmt: skip
    return graph


def ros_arguments(process: Process) -> list[str]:
    """The ``--ros-args`` command line of a process, for whoever starts it without launch."""
    arguments = ["--ros-args", "-r", f"__node:={process.name}", "--log-level", process.log_level]
    if process.namespace:
        arguments += ["-r", f"__ns:=/{process.namespace.strip('/')}"]
    for path in process.parameter_files:
        arguments += ["--params-file", str(path)]
    for name, value in process.parameters.items():
        arguments += ["-p", f"{name}:={_yaml(value)}"]
    return arguments


def share(relative: str) -> Path:
    """A file of this package's share folder: that of the checkout in a development install, else the installed one."""
    checkout = Path(tinybev_ros.__file__).resolve().parents[1]
    if (checkout / "package.xml").is_file():
        return checkout / relative
    from ament_index_python.packages import get_package_share_directory

    return Path(get_package_share_directory("tinybev_ros")) / relative


def _checked(values: Mapping[str, str]) -> dict[str, str]:
    """Every argument with its value, checked."""
    known = {argument.name: argument for argument in ARGUMENTS}
    unknown = sorted(set(values) - set(known))
    if unknown:
        raise UserError(f"argument {unknown[0]!r} is unknown; the arguments are {', '.join(known)}.")
    chosen = {name: values.get(name, argument.default) for name, argument in known.items()}
    for name, argument in known.items():
        if argument.choices and chosen[name] not in argument.choices:
            raise UserError(f"{name}: expected one of {', '.join(argument.choices)}, got {chosen[name]!r}.")
    try:
        rate = float(chosen["rate"])
    except ValueError:
        rate = 0.0
    if not 0 < rate < float("inf"):
        raise UserError(f"rate: expected a number greater than 0, got {chosen['rate']!r}.")
    port = chosen["foxglove_port"]
    if not re.fullmatch(r"\d{1,5}", port, re.ASCII) or not 0 < int(port) < 2**16:
        raise UserError(f"foxglove_port: expected a number from 1 to 65535, got {port!r}.")
    for name in ("params_file", "bag"):
        if chosen[name] and not Path(chosen[name]).exists():
            raise UserError(f"{name}: expected an existing file, found nothing at {chosen[name]!r}; check the path.")
    for name, pattern in (("name", r"[A-Za-z_]\w*"), ("namespace", r"/?([A-Za-z_]\w*(/[A-Za-z_]\w*)*)?")):
        if not re.fullmatch(pattern, chosen[name], re.ASCII):
            raise UserError(f"{name}: expected letters, digits and underscores, got {chosen[name]!r}.")
    return chosen


def _playback_parameters(
    bag_path: Path, rate: float, image_topics: list[str], told: Mapping[str, object]
) -> dict[str, ParameterValue]:
    """What playing a bag changes in the node's parameters.

    Raises:
        UserError: the bag cannot be read, or is played too slowly.
    """
    try:  # only here: `ros2 launch` may run in a Python that lacks what a recording needs
        from rosbags.interfaces import QosReliability

        from tinybev_ros.bag import open_bag
    except ModuleNotFoundError as error:
        raise UserError(
            f"bag: a recording needs the Python module {error.name!r}, which {sys.executable} lacks; start with the "
            'Python of your virtual environment: python "$(command -v ros2)" launch ...'
        ) from error
    changed: dict[str, ParameterValue] = {}
    with open_bag(bag_path) as bag:
        profiles = [profile for name in image_topics if name in bag.topics for profile in bag.topics[name].offered_qos]
    # Where images are offered reliably, a busy machine need not lose any.
    if profiles and all(profile.reliability is not QosReliability.BEST_EFFORT for profile in profiles):
        changed["image_reliability"] = "reliable"
    # The synchronizer waits on the steady clock, and slow playback spreads a set over more of it.
    wait, longest = told["sync_max_wait"], PARAMETERS["sync_max_wait"].maximum
    if rate < 1 and isinstance(wait, int | float) and longest is not None:
        if wait / rate > longest:
            raise UserError(
                f"rate: expected {wait / longest:g} or more for a sync_max_wait of {wait:g} s, got {rate:g}."
            )
        changed["sync_max_wait"] = wait / rate
    return changed


def _yaml(value: ParameterValue) -> str:
    """A value as YAML on one line, quoted so that a text stays a text."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return "[" + ", ".join(_yaml(item) for item in value) + "]"
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    return repr(value)
