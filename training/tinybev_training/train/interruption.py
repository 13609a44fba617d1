"""SIGINT and SIGTERM: the step is finished, a checkpoint written, and training ends in an orderly way."""

from __future__ import annotations

import signal
from types import FrameType
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback

from tinybev_training.train.keeper import Keeper

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interruption(Callback):
    """Listens while training runs; a second signal of the kind does what it does elsewhere."""

    def __init__(self, keeper: Keeper, parts: int) -> None:
        """
        Args:
            keeper: writes the checkpoint.
            parts: of a step; it stops between steps only.
        """
        self._keeper = keeper
        self._parts = parts
        self._earlier: dict[int, Any] = {}
        self._number: int | None = None
        self.stopped_by: signal.Signals | None = None

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Takes the signals over."""
        self._earlier = {number: signal.signal(number, self._note) for number in SIGNALS}

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Gives them back."""
        self._give_back()

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Gives them back."""
        self._give_back()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Between steps: stops if any process was told to."""
        if (batch_idx + 1) % self._parts:
            return
        told = self._number is not None
        if trainer.world_size > 1:
            told = trainer.strategy.reduce_boolean_decision(told, all=False)
        if not told:
            return
        self.stopped_by = signal.Signals(self._number or signal.SIGTERM)
        trainer.should_stop = True
        self._keeper.save(trainer)
        if not self._keeper.validates(trainer):
            trainer.limit_val_batches = 0  # Lightning would validate because training stops

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._number = number
        signal.signal(number, self._earlier[number])

    def _give_back(self) -> None:
        for number, handler in self._earlier.items():
            signal.signal(number, handler)
        self._earlier = {}
