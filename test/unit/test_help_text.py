"""``--help`` tells a default once, and none where there is none."""

from __future__ import annotations

import argparse

import pytest

from tinybev.help_text import HelpWithDefaults


@pytest.mark.parametrize(
    ("options", "shown"),
    [
        ({"default": 2}, "how many (default: 2)"),
        ({"default": 0}, "how many (default: 0)"),
        ({"action": "store_true"}, "how many (default: False)"),
        ({}, "how many"),
        ({"default": ""}, "how many"),
        ({"default": [], "nargs": "+"}, "how many"),
        ({"default": 2, "required": True}, "how many"),
        ({"default": 2, "help": "how many; default: all"}, "how many; default: all"),
        ({"default": 2, "help": "how many (default: %(default)s)"}, "how many (default: 2)"),
    ],
)
def test_a_default_is_told_once_and_only_where_there_is_one(options: dict[str, object], shown: str) -> None:
    parser = argparse.ArgumentParser(prog="p", formatter_class=HelpWithDefaults)
    parser.add_argument("--number", **{"help": "how many", **options})  # type: ignore[arg-type]
    words = " ".join(parser.format_help().split())
    assert words.endswith(f" {shown}")
    assert words.count("how many") == 1


def test_an_option_without_help_stays_without() -> None:
    parser = argparse.ArgumentParser(prog="p", formatter_class=HelpWithDefaults)
    parser.add_argument("--number")
    assert "default" not in parser.format_help()
