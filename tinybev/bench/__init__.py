"""Benches by name: what ``tinybev bench`` measures.

A module named here has ``DESCRIPTION``, and ``run(args)``, which measures, prints a table, and returns its rows.
"""

from __future__ import annotations

import argparse
import importlib
import json
from pathlib import Path

from tinybev.errors import UserError

BENCHES: dict[str, str] = {
    "sync": "tinybev.bench.sync",
    "network": "tinybev.bench.network",
    "splat": "tinybev.bench.splat",
    "decode": "tinybev.bench.decode",
}
NEEDS_DATASET = ("sync",)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of ``tinybev bench``."""
    descriptions = [f"{name}: {importlib.import_module(module).DESCRIPTION}" for name, module in BENCHES.items()]
    parser.epilog = "\n".join(descriptions)
    parser.add_argument("--only", choices=sorted(BENCHES), help="the one bench to run; all where it is not given")
    parser.add_argument(
        "--dataroot",
        type=Path,
        help=f"folder of a nuScenes-format dataset; without it {', '.join(NEEDS_DATASET)} is left out",
    )
    parser.add_argument("--version", default="v1.0-mini", help="folder of its tables")
    parser.add_argument("--scenes", nargs="+", metavar="NAME", help="the scenes; all where it is not given")
    parser.add_argument("--bundle", help="the network to measure (default: untrained:base)")
    parser.add_argument(
        "--backends", nargs="+", metavar="NAME", help="the backends; all but the slow compiler's if not given"
    )
    parser.add_argument("--threads", type=int, default=0, help="of the network (default: PyTorch's choice)")
    parser.add_argument("--rounds", type=int, default=20, help="turns of every variant (default: %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write {bench: [row, ...]} to FILE")


def run(args: argparse.Namespace) -> int:
    """Runs the benches that ``args.only`` asks for; returns 0.

    Raises:
        UserError: a number is out of its range, or the bench that was asked for lacks its dataset.
    """
    if args.rounds < 1 or args.threads < 0:
        raise UserError(f"--rounds and --threads: expected at least 1 and 0, got {args.rounds} and {args.threads}.")
    if args.only in NEEDS_DATASET and args.dataroot is None:
        raise UserError(f"bench {args.only}: expected --dataroot with the folder of a dataset; add it.")
    names = [args.only] if args.only else [name for name in BENCHES if args.dataroot or name not in NEEDS_DATASET]
    rows = {name: importlib.import_module(BENCHES[name]).run(args) for name in names}
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps(rows, indent=2) + "\n")
    return 0
