"""One bar for the whole run: it counts steps, from where the run goes on."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import TQDMProgressBar


class StepBar(TQDMProgressBar):
    """Lightning's bar; the batches of a run have no end of their own, so it is told how many there will be."""

    def __init__(self, batches: int) -> None:
        """``batches`` of the whole run."""
        super().__init__()
        self._batches = batches

    @property
    def total_train_batches(self) -> int:
        """Of the whole run."""
        return self._batches

    def on_train_start(self, trainer: pl.Trainer, *_: Any) -> None:
        """Lightning gives a run that goes on no start of an epoch, where it would tell the bar its length."""
        super().on_train_start(trainer)
        self.train_progress_bar.reset(self._batches)
        self.train_progress_bar.initial = self.train_progress_bar.n = trainer.fit_loop.epoch_loop.batch_idx + 1
        self.train_progress_bar.set_description("training")

    def on_train_epoch_start(self, trainer: pl.Trainer, *_: Any) -> None:
        """The run is one epoch to Lightning, which there is no point in naming."""
        super().on_train_epoch_start(trainer)
        self.train_progress_bar.set_description("training")

    def get_metrics(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> dict[str, Any]:
        """Beside the bar: the loss."""
        metrics = super().get_metrics(trainer, pl_module)
        metrics.pop("v_num", None)
        return metrics
