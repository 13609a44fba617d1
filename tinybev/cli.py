"""The command ``tinybev``: one table of subcommands, each in the module of the room that does the work.

A module named here has ``add_arguments(parser)`` and ``run(args) -> int``. It is imported by name when its command is
chosen and not before, so ``tinybev`` itself needs neither ROS nor the training code.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from tinybev import __version__
from tinybev.errors import UserError
from tinybev.help_text import HelpWithDefaults
from tinybev.optional_modules import absence_as_user_error


@dataclass(frozen=True)
class Command:
    """One subcommand: its name, the module that does it, and what ``--help`` says of it."""

    name: str
    module: str
    summary: str


COMMANDS: tuple[Command, ...] = (
    Command("demo", "tinybev_ros.demo", "play a recording through the node; pictures, a recording and a summary"),
    Command("up", "tinybev_ros.up", "start the node and a Foxglove server (live cameras, or --bag)"),
    Command("bag", "tinybev_ros.nuscenes2bag", "nuScenes-format dataset -> rosbag2"),
    Command("play", "tinybev_ros.player", "play a rosbag2 into ROS 2, with /clock"),
    Command("world", "tinybev_training.world.commands", "write a synthetic dataset in nuScenes' format"),
    Command("data", "tinybev_training.data.commands", "look at a dataset's samples and targets, measure the loader"),
    Command(
        "train",
        "tinybev_training.train.commands",
        "train a student or a teacher after a recipe; goes on where it stopped",
    ),
    Command("teach", "tinybev_training.teacher.commands", "write down what a trained teacher says about every sample"),
    Command("eval", "tinybev_training.eval.commands", "measure a bundle or predictions; set runs side by side"),
    Command(
        "reproduce",
        "tinybev_training.reproduce.commands",
        "the experiment: teacher, student, stages; tables and curves; goes on where it stopped",
    ),
    Command("run", "tinybev_ros.offline", "a bundle over many bags or scenes; goes on where it stopped"),
    Command("model", "tinybev.model.summary", "parts of a variant: parameters, MACs, activation memory"),
    Command("export", "tinybev.runtime.export", "write a bundle: weights and manifest"),
    Command("quantize", "tinybev_training.quantize", "calibrate the int8 network of a bundle on a dataset's frames"),
    Command("bench", "tinybev.bench", "measure speed: network, node, synchronizer, training; see its --help"),
    Command("doctor", "tinybev_ros.doctor", "check the installation and say what to do"),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one subcommand; returns its exit status (2: a sentence for the user was printed, 130: interrupted)."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    parser = _parser()
    command = next((command for command in COMMANDS if arguments[:1] == [command.name]), None)
    if command is None:
        parser.parse_args(arguments)  # prints help, the version, or what is wrong
        parser.print_help()
        return 2
    return run_command(command.module, arguments[1:], f"tinybev {command.name}", command.summary)


def run_command(module_name: str, argv: Sequence[str], prog: str, summary: str = "") -> int:
    """Parses ``argv`` for the command module ``module_name`` and runs it; errors for the user become one line."""
    try:
        with absence_as_user_error():
            module = importlib.import_module(module_name)
    except UserError as error:
        print(f"{prog}: {error}", file=sys.stderr)
        return 2
    parser = argparse.ArgumentParser(prog=prog, description=summary or module.__doc__, formatter_class=HelpWithDefaults)
    module.add_arguments(parser)
    try:
        return int(module.run(parser.parse_args(argv)) or 0)
    except UserError as error:
        print(f"{prog}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"{prog}: interrupted", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    width = max(len(command.name) for command in COMMANDS)
    commands = "\n".join(f"  {command.name:<{width}}  {command.summary}" for command in COMMANDS)
    parser = argparse.ArgumentParser(
        prog="tinybev",
        description="Camera-only bird's-eye-view perception and planning.",
        epilog=f"commands:\n{commands}\n\n`tinybev COMMAND --help` tells more.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"tinybev {__version__}")
    parser.add_argument("command", nargs="?", choices=[command.name for command in COMMANDS], metavar="COMMAND")
    return parser


if __name__ == "__main__":
    sys.exit(main())
