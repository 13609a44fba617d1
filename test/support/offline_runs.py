"""Runs of ``tinybev run`` with the smallest network, and what they leave."""

from __future__ import annotations

from pathlib import Path

from rclpy.serialization import deserialize_message
from rosbags.rosbag2 import Reader

from tinybev.cli import main
from tinybev_ros.offline import RESULTS
from tinybev_ros.outputs import OUTPUTS
from tinybev_ros.topics import NODE

NETWORK = ("--bundle", "untrained:nano", "--backend", "torch")


def run(bags: list[Path], out: Path, *options: str) -> int:
    return main(["run", *NETWORK, "--out", str(out), *options, "--bags", *map(str, bags)])


def run_scenes(dataroot: Path, out: Path, *options: str) -> int:
    return main(["run", *NETWORK, "--out", str(out), "--dataroot", str(dataroot), *options])


def contents(out: Path) -> dict[str, list[tuple[str, int, str]]]:
    """By bag: topic, log time and message, in words. Their bytes may differ: the middleware leaves what lies between
    the fields as it finds it."""
    types = {output.topic.replace("~", f"/{NODE}"): output.message_type for output in OUTPUTS}
    found = {}
    for folder in sorted(out.glob(f"*/{RESULTS}")):
        with Reader(folder) as reader:
            found[folder.parent.name] = [
                (each.topic, stamp_ns, str(deserialize_message(data, types[each.topic])))
                for each, stamp_ns, data in reader.messages()
            ]
    return found
