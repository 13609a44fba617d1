"""Rewrites the table of speed in a page from what ``tinybev bench --json FILE`` wrote, one or several files.

    python benchmarks/speed_table.py README.md out/bench/*.json

Rows of ``network`` and of ``end_to_end`` are taken; all files have to come from one machine.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tinybev_training.reproduce.page import update_page

from tinybev.bench import MACHINE
from tinybev.errors import UserError

SECTION, MAKER = "speed", "benchmarks/speed_table.py"
NETWORK_COLUMNS = {
    "network": "variant",
    "backend": "backend",
    "precision": "precision",
    "p50, ms": "p50_ms",
    "p95, ms": "p95_ms",
    "times PyTorch float32": "ratio_to_torch_fp32",
    "share of the measured peak": "share_of_peak",
}
NODE_COLUMNS = {
    "network and recording": "variant",
    "backend": "backend",
    "results a second": "results_per_s",
    "of sets a second": "sets_per_s",
    "age p50, ms": "p50_ms",
    "age p95, ms": "p95_ms",
    "memory of the node, MB": "peak_memory_mb",
    "start to first result, s": "start_to_result_s",
}
Row = dict[str, Any]


def main(arguments: Sequence[str]) -> int:
    """Rewrites the page; 0."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("page", type=Path, help="with the marks of the section in it")
    parser.add_argument("results", type=Path, nargs="+", help="JSON files of tinybev bench")
    args = parser.parse_args(arguments)
    try:
        update_page(args.page, SECTION, section([read_results(path) for path in args.results]), MAKER)
    except UserError as error:
        print(f"speed_table: {error}", file=sys.stderr)
        return 2
    return 0


def read_results(path: Path) -> dict[str, Any]:
    """What a bench wrote.

    Raises:
        UserError: the file is absent, or no JSON object.
    """
    try:
        results = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise UserError(f"expected a file of `tinybev bench --json` in {path}: {error}; run it again.") from error
    if not isinstance(results, dict):
        raise UserError(f"expected a file of `tinybev bench --json` in {path}, got something else; name another.")
    return results


def section(results: Sequence[dict[str, Any]]) -> str:
    """The machine and the two tables, as Markdown.

    Raises:
        UserError: the files come from several machines, or have none of the rows.
    """
    machines = sorted({str(one.get(MACHINE)) for one in results})
    network = [row for one in results for row in one.get("network", [])]
    node = [row for one in results for row in one.get("end_to_end", [])]
    if len(machines) != 1:
        raise UserError(f"expected results of one machine, got those of {'; '.join(machines)}; measure on one.")
    if not network and not node:
        raise UserError("expected rows of `network` or `end_to_end`, got none; name other files.")
    parts = [
        f"Measured on {machines[0]}.",
        *(_table(*one) for one in ((NETWORK_COLUMNS, network), (NODE_COLUMNS, node))),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _table(columns: dict[str, str], rows: Sequence[Row]) -> str:
    if not rows:
        return ""
    lines = [f"| {' | '.join(columns)} | |", f"| --- | --- |{' ---: |' * (len(columns) - 2)} --- |"]
    for row in rows:
        cells = [_cell(row.get(key)) for key in columns.values()]
        lines.append(f"| {' | '.join(cells)} | {'disturbed' if row['disturbed'] else ''} |")
    return "\n".join(lines)


def _cell(value: object) -> str:
    """Three digits of a number, all of one that is 100 or more."""
    if isinstance(value, float):
        return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return "" if value is None else str(value)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
