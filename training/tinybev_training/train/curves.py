"""Curves in a CSV file, one row a value, appended as training goes, so a run that is killed loses nothing; and the
same for TensorBoard.

A run that goes on at some step first removes what was written after that step, so no step is there twice.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import TensorBoardLogger
from pytorch_lightning.loggers.logger import Logger
from pytorch_lightning.utilities import rank_zero_only

from tinybev_training.long_work.write_file import refusing, write_text
from tinybev_training.train.place import is_first_process

HEADER = "step,curve,value"


class CurveFile(Logger):
    """A Lightning logger that appends to ``path``."""

    def __init__(self, path: Path, last_step: int = 0) -> None:
        """
        Args:
            path: of the CSV file.
            last_step: the step the run goes on from; later rows of an earlier run are removed.

        Raises:
            UserError: the file cannot be written.
        """
        super().__init__()
        self._path = path
        if is_first_process():
            write_text(path, "".join(f"{row}\n" for row in [HEADER, *rows_until(path, last_step)]))

    @property
    def name(self) -> str:
        """Of the logger."""
        return "curves"

    @property
    def version(self) -> str:
        """Of the logger; there is one."""
        return ""

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Appends the values of a step.

        Raises:
            UserError: the file cannot be written.
        """
        with refusing(self._path), self._path.open("a", encoding="utf-8") as file:
            file.writelines(f"{step},{curve},{value!r}\n" for curve, value in metrics.items() if curve != "epoch")

    @rank_zero_only
    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """Nothing: the recipe has a file of its own."""


class TensorBoardCurves(TensorBoardLogger):
    """Lightning's logger for TensorBoard; a disk that fails is one sentence.

    A thread of the writer's meets the failure, and it is raised at whatever is asked of the writer next.
    """

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Writes the values of a step.

        Raises:
            UserError: the file cannot be written.
        """
        with refusing(Path(self.log_dir)):
            for curve, value in metrics.items():  # Lightning's own would call the failure a value it cannot log
                self.experiment.add_scalar(curve, value, step)

    @rank_zero_only
    def save(self) -> None:
        """Brings to the disk what was written.

        Raises:
            UserError: the file cannot be written.
        """
        with refusing(Path(self.log_dir)):
            super().save()

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Closes the file.

        Raises:
            UserError: the file cannot be written.
        """
        with refusing(Path(self.log_dir)):
            super().finalize(status)


def rows_until(path: Path, last_step: int) -> list[str]:
    """The whole rows of a file of curves up to a step; none where there is no file."""
    if not path.is_file():
        return []
    # A row without its end was cut by a kill.
    rows = path.read_text(encoding="utf-8").split("\n")[1:-1]
    return [row for row in rows if row.count(",") == 2 and row.split(",")[0].isdigit() and _step(row) <= last_step]


def read_curves(path: Path) -> dict[str, dict[int, float]]:
    """Every curve by name: step -> value."""
    curves: dict[str, dict[int, float]] = {}
    for row in path.read_text(encoding="utf-8").splitlines()[1:]:
        step, curve, value = row.split(",")
        curves.setdefault(curve, {})[int(step)] = float(value)
    return curves


def _step(row: str) -> int:
    return int(row.split(",")[0])
