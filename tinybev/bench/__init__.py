"""Benches by name: what ``tinybev bench`` measures.

Those that need ROS are in its room and are imported by name, so that the others run without it.

A module named here has ``DESCRIPTION``, and ``run(args)``, which measures, prints a table, and returns its rows.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import textwrap
from pathlib import Path
from typing import Any

from tinybev.bench.machine import machine_name
from tinybev.errors import UserError
from tinybev.help_text import HelpWithDefaults

BENCHES: dict[str, str] = {
    "sync": "tinybev.bench.sync",
    "network": "tinybev.bench.network",
    "splat": "tinybev.bench.splat",
    "decode": "tinybev.bench.decode",
    "path": "tinybev.bench.path",
    "scale": "tinybev.bench.scale",
    "train": "tinybev.bench.train",
    "offline": "tinybev.bench.offline",
}
MACHINE = "machine"
"""Beside the benches in what ``--json`` writes: on what they were measured."""
NEEDS_DATASET = ("sync", "offline", "train")
NEEDS_ROS: dict[str, str] = {
    "node": "tinybev_ros.node_bench",
    "end_to_end": "tinybev_ros.end_to_end_bench",
}


class _Help(HelpWithDefaults):
    """Keeps the lines of the epilog apart, one for each bench."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return "\n".join(textwrap.fill(line, width, subsequent_indent="    ") for line in text.splitlines())


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of ``tinybev bench``."""
    descriptions = [f"{name}: {_module(name).DESCRIPTION}" for name in _names() if name not in NEEDS_ROS or _has_ros()]
    parser.epilog = "\n".join(["benches:", *(f"  {description}" for description in descriptions)])
    parser.description = "Measures speed; what each bench measures is listed at the end."
    parser.formatter_class = _Help
    parser.add_argument("--only", choices=sorted(_names()), help="the one bench to run; all where it is not given")
    parser.add_argument(
        "--dataroot",
        type=Path,
        help=f"folder of a nuScenes-format dataset; without it {', '.join(NEEDS_DATASET)} is left out",
    )
    parser.add_argument("--version", default="v1.0-mini", help="folder of its tables")
    parser.add_argument("--scenes", nargs="+", metavar="NAME", help="the scenes; all where it is not given")
    parser.add_argument("--bundle", help="the network to measure (default: untrained:base)")
    parser.add_argument(
        "--backends",
        nargs="+",
        metavar="NAME",
        help="the backends; if not given, network: all but the slow compiler's; node and end_to_end: auto",
    )
    parser.add_argument("--threads", type=int, default=0, help="of the network (default: PyTorch's choice)")
    parser.add_argument(
        "--device", default="auto", help="of PyTorch's backends: cpu, cuda, or auto (default: %(default)s)"
    )
    parser.add_argument(
        "--image-sizes", nargs="+", metavar="HxW", help="network, scale: of the images; random weights then"
    )
    parser.add_argument(
        "--grid-cells", nargs="+", type=int, metavar="N", help="network, scale: N x N cells; random weights then"
    )
    parser.add_argument("--plot", type=Path, metavar="FOLDER", help="scale: draw FOLDER/scale.png")
    parser.add_argument("--split", default="train", help="train: of the dataset (default: %(default)s)")
    parser.add_argument("--workers", type=int, default=2, help="train: processes that load (default: %(default)s)")
    parser.add_argument("--batch", type=int, default=4, help="train: samples of a step (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=20, help="turns of every variant (default: %(default)s)")
    parser.add_argument("--bag", type=Path, help="rosbag2 that is played through the node (default: a made one)")
    parser.add_argument(
        "--plays", type=int, default=3, help="of the recording, each through a new node (default: %(default)s)"
    )
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="also write the machine and {bench: [row, ...]} to FILE"
    )


def run(args: argparse.Namespace) -> int:
    """Runs the benches that ``args.only`` asks for; returns 0.

    Raises:
        UserError: a number is out of its range, the bench that was asked for lacks its dataset or ROS, or the file of
            ``--json`` cannot be written to. What was measured before is in that file.
    """
    if args.rounds < 1 or args.threads < 0:
        raise UserError(f"--rounds and --threads: expected at least 1 and 0, got {args.rounds} and {args.threads}.")
    if args.only in NEEDS_DATASET and args.dataroot is None:
        raise UserError(f"bench {args.only}: expected --dataroot with the folder of a dataset; add it.")
    if args.only in NEEDS_ROS and not _has_ros():
        raise UserError(f"bench {args.only}: expected ROS 2 (rclpy), it is not installed; run `make setup`.")
    lacking = (() if args.dataroot else NEEDS_DATASET) + (() if _has_ros() else tuple(NEEDS_ROS))
    names = [args.only] if args.only else [name for name in _names() if name not in lacking]
    if args.json:
        _check_writable(args.json)
    rows: dict[str, Any] = {}
    for name in names:
        rows[name] = _module(name).run(args)
        if args.json:
            _write(args.json, json.dumps({MACHINE: machine_name(), **rows}, indent=2) + "\n")
    return 0


def _check_writable(path: Path) -> None:
    """Before minutes of measuring: opens the file as it will be written, and leaves it as it was."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        is_new = not path.exists()
        path.open("a").close()
        if is_new:
            path.unlink()
    except OSError as error:
        raise _unwritable(path, error) from error


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text)
    except OSError as error:
        raise _unwritable(path, error) from error


def _unwritable(path: Path, error: OSError) -> UserError:
    return UserError(f"--json {path}: expected a file that can be written to, got {error}; name another one.")


def _names() -> list[str]:
    return [*BENCHES, *NEEDS_ROS]


def _module(name: str) -> Any:
    return importlib.import_module((BENCHES | NEEDS_ROS)[name])


def _has_ros() -> bool:
    return importlib.util.find_spec("rclpy") is not None
