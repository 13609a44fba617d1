"""An evaluation as JSON: one object per task with the metrics' usual names, and beside each figure its count.

``{"detection": {"mAP": 0.7, …}, …, "planning": {"uniad": {"L2_3s": 1.0, …}, …}, "counts": {"detection": {…}, …},
"scenes": {"scene-0103": {"counts": …, "planning": …, …}, …}, "run": {…}}``. What could not be measured is null.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tinybev.errors import UserError
from tinybev_training.eval.evaluate import Tasks
from tinybev_training.eval.measure import Measure
from tinybev_training.long_work.write_file import write_text

COUNTS, SCENES, RUN = "counts", "scenes", "run"

Run = Mapping[str, str | int | float]
"""What was evaluated on what, and on which device, in words."""


@dataclass(frozen=True)
class Evaluation:
    """A run's figures.

    Attributes:
        run: where the figures come from.
        tasks: over the whole split.
        scenes: the tasks of each scene alone, those that are not the devkit's.
    """

    run: Run
    tasks: Tasks
    scenes: Mapping[str, Tasks]


def write_evaluation(path: Path, evaluation: Evaluation) -> None:
    """Writes the JSON, at once or not at all."""
    scenes = {name: _encode(tasks) for name, tasks in evaluation.scenes.items()}
    data = {**_encode(evaluation.tasks), SCENES: scenes, RUN: dict(evaluation.run)}
    write_text(path, json.dumps(data, indent=1, allow_nan=False) + "\n")


def read_evaluation(path: Path) -> Evaluation:
    """Reads what :func:`write_evaluation` wrote.

    Raises:
        UserError: the file cannot be read or is not one.
    """
    try:
        data = json.loads(path.read_text())
        scenes = {name: _decode(tasks) for name, tasks in data.pop(SCENES).items()}
        return Evaluation(data.pop(RUN), _decode(data), scenes)
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise UserError(
            f"expected a file that `tinybev eval --json` wrote, {path} is none ({type(error).__name__}: {error})."
        ) from error


def _encode(tasks: Tasks) -> dict[str, Any]:
    values: dict[str, Any] = {}
    counts: dict[str, Any] = {}
    for task, measures in tasks.items():
        for name, measure in measures.items():
            _put(values, f"{task}.{name}", measure.value if measure.valid else None)
            _put(counts, f"{task}.{name}", measure.count)
    return {**values, COUNTS: counts}


def _decode(data: dict[str, Any]) -> Tasks:
    counts = data.pop(COUNTS)
    return {
        task: {name: Measure(math.nan if value is None else value, count) for name, value, count in found}
        for task, found in ((task, list(_walk(values, counts[task]))) for task, values in data.items())
    }


def _put(tree: dict[str, Any], path: str, value: float | None) -> None:
    *groups, name = path.split(".")
    for group in groups:
        tree = tree.setdefault(group, {})
    tree[name] = value


def _walk(values: dict[str, Any], counts: dict[str, Any], prefix: str = "") -> list[tuple[str, float | None, int]]:
    found: list[tuple[str, float | None, int]] = []
    for name, value in values.items():
        if isinstance(value, dict):
            found += _walk(value, counts[name], f"{prefix}{name}.")
        else:
            found.append((prefix + name, value, counts[name]))
    return found
