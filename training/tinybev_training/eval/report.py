"""An HTML page of a run: its tables, and the best and the worst samples of a task as pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

import numpy as np
from nuscenes.nuscenes import NuScenes
from tqdm import tqdm

from tinybev.draw.bev_view import draw_bev
from tinybev.draw.overlay import Overlay
from tinybev.draw.picture_files import write_png
from tinybev.draw.shapes import Shapes
from tinybev.draw.strokes import Image
from tinybev.errors import UserError
from tinybev.runtime.options import PipelineOptions
from tinybev_training.data.dataset import NuScenesDataset
from tinybev_training.data.panels import map_panel
from tinybev_training.data.sample import MapTargets, Sample
from tinybev_training.eval.evaluate import Predict, SampleScores, dense_tasks
from tinybev_training.eval.ground_truth import annotated, ground_truth
from tinybev_training.eval.predictions import Prediction
from tinybev_training.eval.results_file import Evaluation
from tinybev_training.eval.table import all_measures, find, published_table
from tinybev_training.eval.write_file import write_text

RANKED = {"motion.with_future.minADE": 1, "map.IoU": -1, "occupancy.IoU_far": -1, "planning.stp3.L2_3s": 1}
"""What ranks a task's samples; 1 where a smaller figure is better, -1 where a larger one is.

Detection and tracking have no official figure of a single sample."""
SHOWN = 3
"""Pictures at either end."""
SIDE = 500


@dataclass(frozen=True)
class Case:
    """A sample to show: its place in the dataset and its figure."""

    index: int
    value: float


def ranked_cases(scores: Sequence[SampleScores]) -> dict[str, tuple[Case, ...]]:
    """By figure of ``RANKED`` the samples from best to worst, those with something to measure."""
    tasks = [dense_tasks([score]) for score in scores]
    ranked = {}
    for metric, sign in RANKED.items():
        measures = [find(each, metric) for each in tasks]
        cases = [Case(index, measure.value) for index, measure in enumerate(measures) if measure.valid]
        ranked[metric] = tuple(sorted(cases, key=lambda case: sign * case.value))
    return ranked


def write_report(
    folder: Path,
    evaluation: Evaluation,
    scores: Sequence[SampleScores],
    nusc: NuScenes,
    dataset: NuScenesDataset,
    predict: Predict,
) -> None:
    """Writes ``index.html`` and its pictures.

    Raises:
        UserError: the folder cannot be written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"the folder {folder} cannot be made: {error.strerror}; name another with --report.") from error
    ends = {metric: _ends(cases) for metric, cases in ranked_cases(scores).items()}
    for index in tqdm(sorted({case.index for cases in ends.values() for case in cases}), "drawing", unit="sample"):
        sample = dataset[index]
        known = annotated(nusc, sample)
        write_png(folder / _picture(index), draw_case(sample, ground_truth(sample, known), predict(sample, known)))
    write_text(folder / "index.html", _page(evaluation, ends))


def draw_case(sample: Sample, truth: Prediction, prediction: Prediction) -> Image:
    """(2 * ``SIDE``, 2 * ``SIDE``, 3) BGR: the truth on the left, the prediction on the right."""
    return np.hstack([_column(truth, sample, "truth"), _column(prediction, sample, "prediction")])


def _column(prediction: Prediction, sample: Sample, title: str) -> Image:
    overlay = Overlay(
        detections=prediction.detections,
        trajectories=prediction.trajectories,
        occupancy=prediction.occupancy,
        plan=prediction.plan,
        truth=sample.agents.boxes,
        title=title,
    )
    masks, grid = np.zeros_like(sample.map.masks), sample.map.grid
    if prediction.map is not None:
        masks, grid = np.asarray(prediction.map.probability) >= PipelineOptions().map_threshold, prediction.map.grid
    panel = map_panel(MapTargets(masks, sample.map.valid, grid), SIDE)
    return np.vstack([draw_bev(overlay, Shapes.of_overlay(overlay), SIDE), panel])


def _ends(cases: Sequence[Case]) -> tuple[Case, ...]:
    """The first and the last ``SHOWN``, each case once."""
    return tuple(dict.fromkeys([*cases[:SHOWN], *cases[-SHOWN:]]))


def _picture(index: int) -> str:
    return f"sample-{index:05d}.png"


def _page(evaluation: Evaluation, ends: Mapping[str, Sequence[Case]]) -> str:
    source = escape(", ".join(f"{name} {value}" for name, value in evaluation.run.items()))
    sections = [
        "<!doctype html><meta charset='utf-8'><title>Evaluation</title>",
        "<style>body{font:15px sans-serif;margin:2em}figure{display:inline-block;margin:1em}img{width:30em}</style>",
        f"<h1>Evaluation</h1><p>{source}</p>",
        f"<pre>{escape(published_table(evaluation.tasks))}</pre>",
    ]
    for metric, cases in ends.items():
        sections.append(f"<h2>{escape(metric)}, from best to worst</h2>")
        if not cases:
            sections.append("<p>No sample has anything to measure.</p>")
        sections += [
            f"<figure><img src='{_picture(case.index)}' alt='truth left, prediction right'>"
            f"<figcaption>{case.value:.3f}; truth left, prediction right</figcaption></figure>"
            for case in cases
        ]
    sections.append(f"<h2>Every figure, with its count</h2><pre>{escape(all_measures(evaluation.tasks))}</pre>")
    return "\n".join(sections) + "\n"
