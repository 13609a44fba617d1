"""Which checkpoints a run keeps: the last one and the best one, each replaced as a whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback

from tinybev_training.train.recipe import Rhythm
from tinybev_training.train.recorder import Recorder

LAST_FILE, BEST_FILE = "last.safetensors", "best.safetensors"


class Keeper(Callback):
    """Writes ``last.safetensors`` every so many steps and at the end, ``best.safetensors`` when validation improves."""

    def __init__(self, folder: Path, rhythm: Rhythm, recorder: Recorder) -> None:
        """
        Args:
            folder: of the run.
            rhythm: how often.
            recorder: knows the validation's loss.
        """
        self._folder = folder
        self._rhythm = rhythm
        self._recorder = recorder
        self._best_loss = float("inf")
        self._saved_step = 0

    def state_dict(self) -> dict[str, Any]:
        """For the checkpoint."""
        return {"best_loss": self._best_loss}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """From the checkpoint."""
        self._best_loss = state_dict["best_loss"]

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """A run that goes on has this step's checkpoint."""
        self._saved_step = trainer.global_step

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        """After a step: saves if it is time; where validation comes next, that does it after the validation."""
        step = trainer.global_step
        if step == trainer.max_steps:
            trainer.should_stop = True  # Lightning then validates, whatever the step's number
        if self._saved_step != step and step % self._rhythm.checkpoint == 0 and not self.validates(trainer):
            self.save(trainer)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Saves the best, and the last if it is time."""
        if self._recorder.validation_loss < self._best_loss:
            self._best_loss = self._recorder.validation_loss
            trainer.save_checkpoint(self._folder / BEST_FILE, weights_only=False)
        if trainer.global_step % self._rhythm.checkpoint == 0 or trainer.should_stop:
            self.save(trainer)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Saves the end of the run."""
        if self._saved_step != trainer.global_step:
            self.save(trainer)

    def save(self, trainer: pl.Trainer) -> None:
        """Replaces the last checkpoint; every process must call it."""
        self._saved_step = trainer.global_step
        trainer.save_checkpoint(self._folder / LAST_FILE, weights_only=False)

    def validates(self, trainer: pl.Trainer) -> bool:
        """Whether validation follows the present step."""
        step = trainer.global_step
        return bool(trainer.enable_validation) and (step % self._rhythm.validate == 0 or step == trainer.max_steps)
