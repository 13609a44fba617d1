"""Training steps; measured by the training package, which is imported by name where it is installed."""

from __future__ import annotations

import argparse
import importlib
import importlib.util
from typing import Any

from tinybev.errors import UserError

DESCRIPTION = "training steps in samples per second, and what they wait for (--bundle, --split, --batch, --workers)"


def run(args: argparse.Namespace) -> list[dict[str, object]]:
    """Measures, prints the table, and returns its rows.

    Raises:
        UserError: it was asked for by name and the training package is not installed; or as that package says.
    """
    if importlib.util.find_spec("tinybev_training") is None:
        sentence = "bench train: expected the training package, it is not installed; `pip install -e training`."
        if args.only == "train":
            raise UserError(sentence)
        print(f"not run: {sentence}")
        return []
    module: Any = importlib.import_module("tinybev_training.train.bench")
    rows: list[dict[str, object]] = module.run(args)
    return rows
