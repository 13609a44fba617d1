"""The same held-out frames as the teacher, the student alone and S3 see them, beside the truth."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tinybev.draw.palette import TEXT
from tinybev.draw.picture_files import write_png
from tinybev.draw.strokes import write
from tinybev_training.eval.evaluate import annotated
from tinybev_training.eval.ground_truth import ground_truth
from tinybev_training.eval.prediction_files import SavedPredictions
from tinybev_training.eval.report import draw_column
from tinybev_training.eval.split_evaluation import open_split
from tinybev_training.reproduce.experiment import PICTURED, Experiment, Run
from tinybev_training.reproduce.scale import HELD_OUT
from tinybev_training.world.dataset_writer import VERSION

FRAMES = 3
"""Evenly spread over the held-out samples: chosen before anything was predicted."""


def draw_frames(experiment: Experiment, folder: Path) -> list[Path]:
    """Writes ``FRAMES`` pictures, truth left and then a column for each row that is measured.

    Raises:
        UserError: the dataset or a prediction cannot be read, or a picture not be written.
    """
    runs = [Run(row, experiment.scale.seeds[0]) for row in PICTURED]
    runs = [run for run in runs if experiment.figures(run).is_file()]
    if not runs:
        return []
    split = open_split(experiment.dataroot, VERSION, HELD_OUT)
    saved = [SavedPredictions(experiment.predictions(run)) for run in runs]
    paths = []
    for number in range(FRAMES):
        sample = split.dataset[(2 * number + 1) * len(split.dataset) // (2 * FRAMES)]
        known = annotated(split.nusc, sample)
        columns = [draw_column(ground_truth(sample, known), sample, "truth")]
        for run, predictions in zip(runs, saved, strict=True):
            columns.append(draw_column(predictions.load(sample.token), sample, run.row.title))
        picture = np.hstack(columns)
        write(picture, f"{sample.scene}, {sample.token[:8]}", (12.0, picture.shape[0] - 12.0), TEXT, 0.5, halo=True)
        path = folder / f"held_out_{number + 1}.png"
        write_png(path, picture)
        paths.append(path)
    return paths
