"""The node's parameters in writing: the README's table and ``config/tinybev.yaml``, both made from ``NodeConfig``.

``python -m tinybev.config_docs`` prints the file, with ``--table`` the table.
"""

from __future__ import annotations

import json
import sys
import textwrap

from tinybev.config import PARAMETERS


def parameter_table() -> str:
    """The parameters as a Markdown table, for the README."""
    lines = ["| parameter | default | unit | allowed | meaning |", "| --- | --- | --- | --- | --- |"]
    for spec in PARAMETERS.values():
        default = str(spec.default).lower() if isinstance(spec.default, bool) else str(spec.default)
        meaning = spec.description if spec.read_only else f"{spec.description} (can be set while running)"
        cells = [f"`{spec.name}`", f"`{default}`" if default else "empty", spec.unit, spec.allowed, meaning]
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def parameter_file() -> str:
    """The text of ``config/tinybev.yaml``: every parameter with its description and default."""
    lines = [
        "# Parameters of the node `tinybev`: their defaults, to be copied and changed. A name that is not here, or a",
        "# value that is not allowed, is refused when the node configures. Made by `python -m tinybev.config_docs`.",
        "/**:",
        "  ros__parameters:",
    ]
    for spec in PARAMETERS.values():
        unit = f" [{spec.unit}]" if spec.unit else ""
        allowed = f" ({spec.allowed})" if spec.allowed else ""
        lines += [f"    # {line}" for line in textwrap.wrap(spec.description + unit + allowed, width=112)]
        lines.append(f"    {spec.name}: {json.dumps(spec.default)}")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(parameter_table() if "--table" in sys.argv[1:] else parameter_file(), end="")
