"""Pictures of what the network sees while it is trained, and of where a teacher's word counts how much."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback

from tinybev.draw.mosaic import draw_mosaic
from tinybev.draw.overlay import Overlay
from tinybev.draw.picture_files import write_jpeg
from tinybev.draw.strokes import Image
from tinybev.runtime.backends.torch_device import to_device
from tinybev.runtime.options import PipelineOptions
from tinybev.runtime.output_decoder import DecodedOutputs, OutputDecoder
from tinybev_training.data.batch import Example, collate
from tinybev_training.data.panels import map_panel
from tinybev_training.data.sample import MapTargets, Sample
from tinybev_training.data.training_set import TrainingSet
from tinybev_training.distill.region_picture import region_picture
from tinybev_training.long_work.write_file import refusing
from tinybev_training.train.inputs import Told
from tinybev_training.train.keeper import Keeper
from tinybev_training.train.module import TrainingModule

PICTURES_FOLDER = "pictures"
WIDTH = 1280
REGIONS_HEIGHT = 240


class Pictures(Callback):
    """Draws at every validation the same few samples of it, and the regions of the step's training batch."""

    def __init__(self, run: Path, validation: TrainingSet | None, count: int, keeper: Keeper) -> None:
        """
        Args:
            run: the run's folder.
            validation: whose samples are drawn; None for none.
            count: of samples, evenly spread; 0 for no pictures at all.
            keeper: knows when validation follows.
        """
        self._folder, self._validation, self._keeper = run / PICTURES_FOLDER, validation, keeper
        self._count = count if validation is None else min(count, len(validation))
        self._examples: list[Example] = []

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """After a step that validation follows: where the teacher's word counted, of the first and the last sample."""
        assert isinstance(pl_module, TrainingModule)
        distiller, step = pl_module.distiller, trainer.global_step
        last_part = (batch_idx + 1) % trainer.accumulate_grad_batches == 0
        if not trainer.is_global_zero or not self._count or not last_part or not self._keeper.validates(trainer):
            return
        if distiller is None or distiller.regions is None or distiller.view is None:
            return
        importances, labelled = distiller.regions.values(), pl_module.labelled(batch_idx).tolist()
        titles = ["labelled" if there else "unlabelled" for there in labelled]
        rows = sorted({0, len(titles) - 1})
        drawn = [region_picture(distiller.view, importances, row, REGIONS_HEIGHT, titles[row]) for row in rows]
        self._write(f"step-{step:07d}-regions", np.vstack(drawn))

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """What the average sees of the samples."""
        assert isinstance(pl_module, TrainingModule)
        if not trainer.is_global_zero or not self._count or self._validation is None:
            return
        if not self._examples:
            size = len(self._validation)
            chosen = [(2 * number + 1) * size // (2 * self._count) for number in range(self._count)]
            self._examples = [self._validation[index] for index in chosen]
        for number, example in enumerate(self._examples, start=1):
            title = f"{example.sample.scene}, step {trainer.global_step}; the truth as thin outlines"
            picture = draw_sight(example.sample, _seen(pl_module, example), title)
            self._write(f"step-{trainer.global_step:07d}-{number}", picture)

    def _write(self, name: str, picture: Image) -> None:
        with refusing(self._folder):
            self._folder.mkdir(exist_ok=True)
        write_jpeg(self._folder / f"{name}.jpg", picture)


def draw_sight(sample: Sample, seen: DecodedOutputs, title: str) -> Image:
    """(H, ``WIDTH``, 3) BGR: what is seen, in the cameras and from above; below the true map and the seen one."""
    overlay = Overlay(
        detections=seen.detections,
        trajectories=seen.trajectories,
        occupancy=seen.occupancy,
        plan=seen.plan,
        truth=sample.agents.boxes,
        title=title,
    )
    masks = seen.map.masks >= PipelineOptions().map_threshold
    side = WIDTH // 2
    truth = map_panel(sample.map, side, "the true map")
    found = map_panel(MapTargets(masks, sample.map.valid, seen.map.grid), side, "the map that is seen")
    return np.vstack([draw_mosaic(sample.frame, overlay, WIDTH), np.hstack([truth, found])])


@torch.no_grad()
def _seen(module: TrainingModule, example: Example) -> DecodedOutputs:
    network = module.averaged()
    batch = collate([example]).to(module.device)
    outputs = network(batch, Told.everything(batch, module.recipe.telling.ego_status))
    decoder = OutputDecoder(network.config, PipelineOptions())
    return decoder.decode(to_device(outputs, torch.device("cpu")), example.sample.frame, map_segments=False)
