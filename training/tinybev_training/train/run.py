"""A training run from recipe to bundle: what is opened, in which order, and what is left in its folder."""

from __future__ import annotations

import logging
import signal
import time
import warnings
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.strategies import DDPStrategy
from torch.utils.data import DataLoader

from tinybev.errors import UserError
from tinybev.runtime.backends.torch_device import check_bfloat16, choose_device
from tinybev_training.data.batch import Batch
from tinybev_training.long_work.folder_lock import alone_in
from tinybev_training.long_work.lost_processes import explaining_lost_processes
from tinybev_training.long_work.write_file import write_text
from tinybev_training.teacher.network import check_lidar
from tinybev_training.train.checkpoint_file import read_checkpoint
from tinybev_training.train.checkpoint_io import SafetensorsIO
from tinybev_training.train.curves import CurveFile, TensorBoardCurves
from tinybev_training.train.export import export
from tinybev_training.train.first_weights import BatchNetwork, first_network
from tinybev_training.train.image_weights import image_weights_digest
from tinybev_training.train.interruption import Interruption
from tinybev_training.train.keeper import LAST_FILE, Keeper
from tinybev_training.train.module import TrainingModule
from tinybev_training.train.pictures import Pictures
from tinybev_training.train.place import Place, is_first_process, processes
from tinybev_training.train.progress_bar import StepBar
from tinybev_training.train.recipe import Recipe
from tinybev_training.train.recorder import Recorder
from tinybev_training.train.resume import KEY as IDENTITY_KEY
from tinybev_training.train.resume import Identity, check_identity
from tinybev_training.train.snapshots import Snapshots
from tinybev_training.train.splits import Needs, Splits, open_splits
from tinybev_training.train.step_sampler import Share, step_loader
from tinybev_training.train.teachers import Classroom, TeacherSource, find_teacher_source
from tinybev_training.train.validation import validation_batches, validation_loader

RECIPE_FILE, CURVES_FILE, TENSORBOARD_FOLDER, BUNDLE_FOLDER = "recipe.json", "metrics.csv", "tensorboard", "bundle"


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Attributes:
        step: after which.
        stopped_by: the signal, if it was stopped before its end.
        samples_per_s: that were trained on this time, by all processes together, validation and checkpoints included.
    """

    step: int
    stopped_by: signal.Signals | None
    samples_per_s: float = field(default=0.0, compare=False)


def train(recipe: Recipe, place: Place, resume: bool) -> Outcome:
    """Trains until the recipe's last step, or until a signal stops it.

    Args:
        recipe: what is trained.
        place: on what and where.
        resume: whether to go on from the last checkpoint, where there is one.

    Raises:
        UserError: the recipe, the data or the folder cannot be used, the checkpoint is another run's, or a loss is not
            finite.
    """
    recipe.check()
    _check_precision(recipe, place)
    _quiet()
    network = first_network(recipe)
    source = find_teacher_source(recipe) if recipe.teacher else None
    needs = Needs(
        lidar=network.needs_lidar or recipe.supervised.depth > 0 or (source is not None and source.needs_lidar),
        past_frames=max(network.config.memory_frames, 0 if source is None else source.past_frames),
    )
    splits = open_splits(recipe, place, network.config, needs, progress=is_first_process())
    if network.needs_lidar or (source is not None and source.needs_lidar):
        check_lidar(splits.source, recipe.network if network.needs_lidar else f"the teacher {recipe.teacher}")
    teacher = None if source is None else source.digest
    identity = Identity(recipe, splits.digest, teacher, image_weights_digest(recipe))
    with alone_in(place.out) if is_first_process() else nullcontext():
        return _train(identity, place, resume, network, source, splits)


def _train(
    identity: Identity,
    place: Place,
    resume: bool,
    network: BatchNetwork,
    source: TeacherSource | None,
    splits: Splits,
) -> Outcome:
    """Trains in a folder in which nobody else does."""
    recipe = identity.recipe
    last = place.out / LAST_FILE
    step = _step_to_go_on_from(last, identity, resume)
    if (place.out / BUNDLE_FOLDER).exists():
        if step >= recipe.steps:
            return Outcome(step, None)
        raise UserError(f"{place.out / BUNDLE_FOLDER}: expected no bundle yet; remove it, or name another folder.")
    recorder = Recorder(recipe.rhythm, recipe.samples.accumulate)
    keeper = Keeper(place.out, recipe.rhythm, recorder)
    interruption = Interruption(keeper, recipe.samples.accumulate)

    def export_to(folder: Path) -> None:
        export(module.averaged(), identity, place.version, recorder.validation_loss, folder)

    snapshots = Snapshots(place.out, recipe.rhythm.bundle, export_to)
    pictures = Pictures(place.out, splits.validation, place.pictures, keeper)
    trainer = _trainer(recipe, place, step, [recorder, keeper, interruption, snapshots, pictures])
    share = Share(
        recipe.samples.labelled,
        recipe.samples.unlabelled,
        recipe.samples.accumulate,
        trainer.world_size,
        trainer.global_rank,
    )
    module = TrainingModule(recipe, network, share, identity)
    if source is not None:
        room = Classroom(module.averaged, splits.tokens, trainer.strategy.root_device, trainer.world_size)
        module.learn_from(source.open(room))
    if trainer.is_global_zero:
        write_text(place.out / RECIPE_FILE, recipe.to_json())
    started = time.perf_counter()
    pin = trainer.strategy.root_device.type == "cuda"
    with explaining_lost_processes("--workers"):
        trainer.fit(
            module,
            step_loader(splits.training, splits.labelled, share, step, place.workers, pin),
            _validation_loader(recipe, splits, share, place.workers),
            ckpt_path=str(last) if step else None,
        )
    speed = (trainer.global_step - step) * share.batch_size / (time.perf_counter() - started)
    if interruption.stopped_by is None and trainer.is_global_zero:
        export_to(place.out / BUNDLE_FOLDER)
    return Outcome(trainer.global_step, interruption.stopped_by, speed)


def _step_to_go_on_from(last: Path, identity: Identity, resume: bool) -> int:
    """The step of the last checkpoint, 0 where there is none.

    Raises:
        UserError: there is one and it is not to be gone on from, or it is another run's.
    """
    if not last.is_file():
        return 0
    if not resume:
        raise UserError(f"{last}: there is a checkpoint already; go on with --resume, or name another folder.")
    state = read_checkpoint(last)
    check_identity(state.get(IDENTITY_KEY, {}), identity, str(last))
    return int(state["global_step"])


def _check_precision(recipe: Recipe, place: Place) -> None:
    device = choose_device(place.device)
    if recipe.precision == "16-mixed" and device.type == "cpu":
        raise UserError("precision: float16 needs a GPU; choose bf16 or fp32.")
    if recipe.precision == "bf16-mixed":
        check_bfloat16(device, "precision", "fp32")


def _trainer(recipe: Recipe, place: Place, step: int, callbacks: list[Callback]) -> pl.Trainer:
    on_gpu = choose_device(place.device).type == "cuda"
    count = processes(place)
    parts = recipe.samples.accumulate
    several = count.devices * count.machines > 1
    return pl.Trainer(
        accelerator="cuda" if on_gpu else "cpu",
        devices=count.devices,
        num_nodes=count.machines,
        # A head whose terms are switched off, or find nothing in a batch, has no gradient.
        strategy=DDPStrategy(find_unused_parameters=True) if several else "auto",
        sync_batchnorm=several and on_gpu,
        precision=recipe.precision,
        max_epochs=-1,
        max_steps=recipe.steps,
        accumulate_grad_batches=parts,
        val_check_interval=recipe.rhythm.validate * parts,
        check_val_every_n_epoch=None,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        plugins=[SafetensorsIO()],
        callbacks=[*callbacks, StepBar(recipe.steps * parts)],
        logger=[
            CurveFile(place.out / CURVES_FILE, step),
            TensorBoardCurves(place.out, name="", version=TENSORBOARD_FOLDER, purge_step=step + 1 if step else None),
        ],
        enable_checkpointing=False,
        enable_model_summary=False,
        default_root_dir=place.out,
    )


def _validation_loader(recipe: Recipe, splits: Splits, share: Share, workers: int) -> DataLoader[Batch] | None:
    if splits.validation is None:
        return None
    size = max(1, len(share.labelled_rows(0)))
    batches = validation_batches(
        len(splits.validation), recipe.rhythm.validation_samples, size, share.world_size, share.rank
    )
    return validation_loader(splits.validation, batches, workers)


def _quiet() -> None:
    """What Lightning says about things that are meant to be as they are."""
    for name in ("pytorch_lightning.utilities.rank_zero", "pytorch_lightning.accelerators.cuda"):
        logging.getLogger(name).setLevel(logging.WARNING)
    for message in (
        ".*does not have many workers.*",
        ".*module\\(s\\) in eval mode.*",
        ".*have no `val_dataloader`.*",
        ".*isinstance\\(treespec, LeafSpec\\).*",
        ".*find_unused_parameters=True was specified.*",
    ):
        warnings.filterwarnings("ignore", message)
