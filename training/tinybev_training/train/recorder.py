"""What is written to the curves: the terms of some steps, and the means of every validation."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from torch import Tensor

from tinybev_training.train.module import TrainingModule
from tinybev_training.train.recipe import Rhythm


class Recorder(Callback):
    """Hands values to the Trainer's loggers, averaged over processes and the parts of a step."""

    def __init__(self, rhythm: Rhythm, parts: int) -> None:
        """
        Args:
            rhythm: how often.
            parts: of a step.
        """
        self._rhythm = rhythm
        self._parts = parts
        self._training = _Mean()
        self._validation = _Mean()
        self.validation_loss = float("inf")

    def state_dict(self) -> dict[str, Any]:
        """For the checkpoint."""
        return {"validation_loss": self.validation_loss}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """From the checkpoint."""
        self.validation_loss = state_dict["validation_loss"]

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Logs every so many steps."""
        assert isinstance(pl_module, TrainingModule)
        last_part = (batch_idx + 1) % self._parts == 0
        step = trainer.global_step - last_part  # counted from 0, as the step that is under way
        if (step + 1) % self._rhythm.log and step + 1 != trainer.max_steps:
            return
        self._training.add(outputs["curves"])
        if last_part:
            more = {"gradient_norm": pl_module.gradient_norm, "learning_rate": pl_module.learning_rate}
            if pl_module.distiller is not None and pl_module.distiller.regions is not None:
                importances = pl_module.distiller.regions.values()._asdict()
                more |= {f"importance/{region}": value for region, value in importances.items()}
            self._log(
                trainer, {f"train/{name}": value for name, value in (self._training.take(trainer) | more).items()}
            )

    def on_validation_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, *_: Any
    ) -> None:
        """Gathers."""
        self._validation.add(outputs)

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Logs the means."""
        means = self._validation.take(trainer)
        self.validation_loss = means["loss"]
        self._log(trainer, {f"validation/{name}": value for name, value in means.items()})

    def _log(self, trainer: pl.Trainer, values: dict[str, float]) -> None:
        for logger in trainer.loggers:
            logger.log_metrics(values, step=trainer.global_step)


class _Mean:
    """The mean of some values by name."""

    def __init__(self) -> None:
        self._sum: dict[str, Tensor] = {}
        self._count = 0

    def add(self, values: dict[str, Tensor]) -> None:
        """Adds one of each."""
        self._sum = {name: value + self._sum[name] if self._count else value for name, value in values.items()}
        self._count += 1

    def take(self, trainer: pl.Trainer) -> dict[str, float]:
        """The means over everything added by every process; starts anew."""
        stacked = torch.stack(list(self._sum.values())) / self._count
        means = trainer.strategy.reduce(stacked, reduce_op="mean")
        names, self._sum, self._count = list(self._sum), {}, 0
        return dict(zip(names, means.tolist(), strict=True))
