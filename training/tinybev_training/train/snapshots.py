"""Bundles of the average on the way, so that a score can be plotted over training."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback

SNAPSHOTS_FOLDER = "bundles"


def snapshot_folder(run: Path, step: int) -> Path:
    """Where the run in ``run`` exports its average after ``step``."""
    return run / SNAPSHOTS_FOLDER / f"step-{step:07d}"


class Snapshots(Callback):
    """Exports every so many steps, but not after the last one, whose bundle the run writes itself."""

    def __init__(self, run: Path, every: int, export: Callable[[Path], None]) -> None:
        """
        Args:
            run: the run's folder.
            every: steps; 0 for never.
            export: writes the average to a folder that does not exist.
        """
        self._run, self._every, self._export = run, every, export
        self._done = 0

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        """After a step: exports if it is time."""
        step = trainer.global_step
        if not self._every or not step or step % self._every or step >= trainer.max_steps or step == self._done:
            return
        self._done = step
        if trainer.is_global_zero:
            folder = snapshot_folder(self._run, step)
            shutil.rmtree(folder, ignore_errors=True)  # of a run that went on from before, perhaps cut by a kill
            self._export(folder)
