"""nuScenes' own evaluations: opened alike, and their figures with what they rest on."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from tinybev.errors import UserError
from tinybev_training.eval.measure import NOTHING, Measure

Evaluation = TypeVar("Evaluation")


@contextmanager
def opened(task: str, path: Path, evaluation: Callable[[str], Evaluation]) -> Iterator[Evaluation]:
    """What ``evaluation`` makes of a result file, given a folder for its output that is there until the end.

    Args:
        task: detection or tracking, for the sentence.
        path: the result file.
        evaluation: makes the devkit's evaluation, which reads the file.

    Raises:
        UserError: the devkit refuses the file.
    """
    with tempfile.TemporaryDirectory() as folder:
        try:
            made = evaluation(folder)
        except (AssertionError, KeyError, TypeError) as error:
            raise UserError(f"nuScenes' {task} evaluation refuses {path}: {error!r}; correct the file.") from error
        yield made


def official(value: float, count: int) -> Measure:
    """A figure of the devkit's, nothing to measure where it is not finite or ``count`` is 0."""
    return Measure(float(value), count) if count and math.isfinite(value) else NOTHING
