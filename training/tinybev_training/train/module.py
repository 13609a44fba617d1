"""One training step as Lightning's Trainer asks for it: targets, teacher, network, losses, and the average of it all.

A step draws nothing from a random state that an earlier step has left: it seeds its own, so a run that goes on draws
what it would have drawn.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn

from tinybev.errors import UserError
from tinybev_training.data.batch import Batch
from tinybev_training.distill.distiller import Distiller
from tinybev_training.distill.terms import DistillTerms
from tinybev_training.losses.supervised import supervised_terms
from tinybev_training.losses.targets import student_targets
from tinybev_training.losses.terms import SupervisedTerms, weighted_sum
from tinybev_training.teacher.outputs import Teacher
from tinybev_training.train.average import make_average
from tinybev_training.train.first_weights import BatchNetwork
from tinybev_training.train.inputs import Told
from tinybev_training.train.learning_rate import make_optimizer, make_schedule
from tinybev_training.train.recipe import Recipe
from tinybev_training.train.resume import KEY, Identity
from tinybev_training.train.step_sampler import Share

SMALLEST_SCALE = 1.0
"""Of float16's loss: below it, gradients are not too large for float16 but not numbers at all."""


class StepTerms(NamedTuple):
    """What a step's loss is made of; None for what is not learnt from."""

    loss: Tensor
    supervised: SupervisedTerms
    distilled: DistillTerms | None

    def curves(self) -> dict[str, Tensor]:
        """Every value by the name of its curve."""
        curves = {"loss": self.loss}
        curves |= {f"supervised/{name}": term for name, term in self.supervised._asdict().items()}
        if self.distilled is not None:
            curves |= {f"distilled/{name}": term for name, term in self.distilled._asdict().items()}
        return {name: value.detach().float() for name, value in curves.items()}


class TrainingModule(pl.LightningModule):
    """The network in training, its average, and what compares it with the teacher."""

    def __init__(self, recipe: Recipe, network: BatchNetwork, share: Share, identity: Identity) -> None:
        """
        Args:
            recipe: of the run.
            network: with its first weights.
            share: of this process.
            identity: of the run, for its checkpoints.
        """
        super().__init__()
        self.recipe = recipe
        self.network = network
        self.average = make_average(network, recipe.averaging.decay)
        self.distiller: Distiller | None = None
        self._share = share
        self._identity = identity
        self._teacher: tuple[Teacher, ...] = ()  # in a tuple: its weights are neither trained nor checkpointed
        self._seen = ""
        self.gradient_norm = self.learning_rate = 0.0
        self.train()

    def averaged(self) -> BatchNetwork:
        """The network with averaged weights, in evaluation mode."""
        network: BatchNetwork = self.average.module  # type: ignore[assignment]
        return network

    def learn_from(self, teacher: Teacher) -> None:
        """Sets the teacher; before training starts."""
        self._teacher = (teacher,)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.recipe.seed)
            self.distiller = Distiller(self.network.config, self.recipe.distill, teacher.bev_channels)

    def train(self, mode: bool = True) -> TrainingModule:
        """Sets the mode; the average is always in evaluation mode, and frozen normalisations are."""
        super().train(mode)
        self.average.eval()
        if self.recipe.freeze_normalisation:
            for part in self.network.modules():
                if isinstance(part, nn.modules.batchnorm._BatchNorm):
                    part.eval()
        return self

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """AdamW, its learning rate changed after every step."""
        optimizer = make_optimizer(self, self.recipe.optimization)
        schedule = make_schedule(optimizer, self.recipe.optimization, self.recipe.steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        """Lightning would copy it field by field and leave it where it does not know the fields."""
        return batch.to(device)

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Seeds what the step draws."""
        part = batch_idx % self._share.parts
        sequence = np.random.SeedSequence([self.recipe.seed, self.global_step, part, self._share.rank])
        torch.manual_seed(int(sequence.generate_state(1, np.uint32)[0]))

    def training_step(self, batch: Batch, batch_idx: int) -> dict[str, Any]:
        """The loss of one part of a step.

        Raises:
            UserError: it is not finite.
        """
        self._seen = f"step {self.global_step}, samples {', '.join(_names(batch))}"
        rows = self._share.rows(batch_idx % self._share.parts)
        told = Told.draw(self.recipe.telling, self.recipe.seed, self.global_step, self._share.batch_size, rows)
        terms = self.terms(batch, told, self.labelled(batch_idx))
        if not bool(torch.isfinite(terms.loss)):
            bad = [name for name, value in terms.curves().items() if not bool(torch.isfinite(value))]
            raise UserError(self._broken(f"the loss is not finite ({', '.join(bad)})"))
        return {"loss": terms.loss, "curves": terms.curves()}

    def terms(self, batch: Batch, told: Told, labelled_B: Tensor) -> StepTerms:
        """The losses of a batch, of whose samples only the labelled ones' annotations are looked at."""
        recipe, config = self.recipe, self.network.config
        targets = student_targets(batch, config, recipe.agent_filter, labelled_B.to(batch.command_B.device))
        if self.distiller is None:
            outputs = self.network(batch, told, targets.agents)
            supervised = supervised_terms(outputs, targets, batch, config, recipe.supervised)
            return StepTerms(weighted_sum(supervised, recipe.supervised), supervised, None)
        (teacher,) = self._teacher
        taught = teacher(batch)
        outputs = self.network(batch, told, self.distiller.agents(targets, taught))
        supervised = supervised_terms(outputs, targets, batch, config, recipe.supervised)
        distilled = self.distiller(outputs, taught, targets)
        share = recipe.distill.share(self.global_step)
        loss = weighted_sum(supervised, recipe.supervised) + share * weighted_sum(distilled, recipe.distill.weights)
        return StepTerms(loss, supervised, distilled)

    def labelled(self, batch_idx: int) -> Tensor:
        """(B,) which samples of a batch of training are annotated."""
        rows = self._share.rows(batch_idx % self._share.parts)
        return torch.tensor([row < self._share.labelled for row in rows])

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Adds whose checkpoint it is."""
        checkpoint[KEY] = self._identity.to_dict()

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Scales the gradient down to the recipe's norm.

        Raises:
            UserError: it is not finite; in float16 a few such gradients are skipped, as the scale of the loss is found.
        """
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        norm = nn.utils.clip_grad_norm_(parameters, self.recipe.optimization.clip_norm)
        self.gradient_norm = float(norm)
        if bool(torch.isfinite(norm)):
            return
        scaler = getattr(self.trainer.precision_plugin, "scaler", None)
        if scaler is None or scaler.get_scale() < SMALLEST_SCALE:
            raise UserError(self._broken("the gradient is not finite"))

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """Steps, and lets the average follow."""
        self.learning_rate = float(self.trainer.optimizers[0].param_groups[0]["lr"])
        super().optimizer_step(*args, **kwargs)
        self.average.update_parameters(self.network)

    @torch.no_grad()
    def validation_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        """What the average loses on annotated samples."""
        config = self.network.config
        targets = student_targets(batch, config, self.recipe.agent_filter)
        told = Told.everything(batch, self.recipe.telling.ego_status)
        outputs = self.averaged()(batch, told, targets.agents)
        supervised = supervised_terms(outputs, targets, batch, config, self.recipe.supervised)
        return StepTerms(weighted_sum(supervised, self.recipe.supervised), supervised, None).curves()

    def _broken(self, what: str) -> str:
        return (
            f"{what} in {self._seen}; the last checkpoint is from before: look at these samples, or train into another "
            "folder with a lower learning rate."
        )


def _names(batch: Batch) -> list[str]:
    return [f"{scene}/{token}" for scene, token in zip(batch.scenes, batch.tokens, strict=True)]
