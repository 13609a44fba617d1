"""Benches by name: what ``tinybev bench`` measures.

A module named here has ``DESCRIPTION``, and ``run(args)``, which measures, prints a table, and returns its rows.
"""

from __future__ import annotations

import argparse
import importlib
import json
from pathlib import Path

BENCHES: dict[str, str] = {"sync": "tinybev.bench.sync"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of ``tinybev bench``."""
    descriptions = [f"{name}: {importlib.import_module(module).DESCRIPTION}" for name, module in BENCHES.items()]
    parser.epilog = "\n".join(descriptions)
    parser.add_argument("--only", choices=sorted(BENCHES), help="the one bench to run; all where it is not given")
    parser.add_argument("--dataroot", type=Path, required=True, help="folder of a nuScenes-format dataset")
    parser.add_argument("--version", default="v1.0-mini", help="folder of its tables")
    parser.add_argument("--scenes", nargs="+", metavar="NAME", help="the scenes; all where it is not given")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write {bench: [row, ...]} to FILE")


def run(args: argparse.Namespace) -> int:
    """Runs the benches that ``args.only`` asks for; returns 0."""
    rows = {name: importlib.import_module(BENCHES[name]).run(args) for name in [args.only] * bool(args.only) or BENCHES}
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps(rows, indent=2) + "\n")
    return 0
