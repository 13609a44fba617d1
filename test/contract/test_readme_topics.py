"""The README's table of topics is what the node publishes."""

from __future__ import annotations

import re
from pathlib import Path

from tinybev_ros.outputs import OUTPUTS

README = Path(__file__).resolve().parents[2] / "README.md"


def topics_of_row(row: str) -> list[tuple[str, str]]:
    """Topics and types; one type may be said of all topics, and of one topic a second type as optional."""
    topics, types = row.split("|")[1:3]
    names = re.findall(r"`(~/[^`]*)`", topics)
    kinds = re.findall(r"`(\w+/\w+)`", types)
    if len(names) == 1:
        kinds = kinds[:1]
    if len(kinds) == 1:
        kinds *= len(names)
    return list(zip(names, kinds, strict=True))


def test_every_output_and_its_type_is_in_the_readme_and_no_other_is() -> None:
    table = README.read_text().split("## Topics out")[1].split("\n## ")[0]
    told = [pair for row in table.splitlines() if row.startswith("| `~/") for pair in topics_of_row(row)]
    assert sorted(told) == sorted((output.topic, output.type_name.replace("/msg/", "/")) for output in OUTPUTS)
