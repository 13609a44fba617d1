"""An HTML page of a run: its tables, and the best and the worst samples of a task as pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from nuscenes.nuscenes import NuScenes
from tqdm import tqdm

from tinybev.draw.bev_view import draw_bev
from tinybev.draw.mosaic import draw_mosaic
from tinybev.draw.overlay import Overlay
from tinybev.draw.palette import TEXT
from tinybev.draw.picture_files import write_png
from tinybev.draw.shapes import Shapes
from tinybev.draw.strokes import Image, write
from tinybev.errors import UserError
from tinybev.runtime.options import PipelineOptions
from tinybev.types import Trajectories
from tinybev_training.data.dataset import NuScenesDataset
from tinybev_training.data.panels import map_panel
from tinybev_training.data.sample import MapTargets, Sample
from tinybev_training.eval.evaluate import Predict, SampleScores
from tinybev_training.eval.ground_truth import annotated, ground_truth
from tinybev_training.eval.predictions import Prediction, select
from tinybev_training.eval.ranking import Case, Ranking, ranked_cases
from tinybev_training.eval.results_file import Evaluation
from tinybev_training.eval.robustness import ROBUSTNESS, robustness_table
from tinybev_training.eval.table import all_measures, published_table
from tinybev_training.long_work.write_file import write_text

SHOWN = 3
"""Pictures at either end."""
SIDE = 640
TITLE_AT, TITLE_SIZE = (12.0, 24.0), 0.6
STYLE = """
body { font: 15px/1.5 sans-serif; margin: 2em auto; max-width: 75em; color: #222 }
table { border-collapse: collapse; margin: 1em 0 } td, th { padding: .2em .8em; border-bottom: 1px solid #ccc }
td:not(:first-child), th:not(:first-child) { text-align: right }
figure { display: inline-block; margin: 1em 1em 1em 0; vertical-align: top } img { width: 36em; max-width: 100% }
figcaption { color: #555 }
"""


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
    ends = {ranking: _ends(cases) for ranking, cases in ranked_cases(scores).items()}
    shown = sorted({case.index for found in ends.values() for case in (*found.best, *found.worst)})
    for index in tqdm(shown, "drawing", unit="sample"):
        sample = dataset[index]
        known = annotated(nusc, sample)
        write_png(folder / _picture(index), draw_case(sample, ground_truth(sample, known), predict(sample, known)))
    places = [f"{where.scene.name}, keyframe {where.number}" for where in dataset.keyframes]
    write_text(folder / "index.html", _page(evaluation, ends, places))


def draw_case(sample: Sample, truth: Prediction, prediction: Prediction) -> Image:
    """(H, 2 * ``SIDE``, 3) BGR: the prediction in the cameras where there are images; truth left, prediction right."""
    columns = np.hstack([draw_column(truth, sample, "truth"), draw_column(prediction, sample, "prediction")])
    if not sample.frame.images:
        return columns
    overlay = _overlay(prediction, sample, "prediction; the truth as thin outlines")
    return np.vstack([draw_mosaic(sample.frame, overlay, columns.shape[1]), columns])


def draw_column(prediction: Prediction, sample: Sample, title: str) -> Image:
    """(2 * ``SIDE``, ``SIDE``, 3): everything but the map seen from above, and the map."""
    overlay = _overlay(prediction, sample, title)
    masks, grid = np.zeros_like(sample.map.masks), sample.map.grid
    if prediction.map is not None:
        grid = prediction.map.grid
        masks = np.asarray(prediction.map.probability) >= PipelineOptions().map_threshold
    above = draw_bev(overlay, Shapes.of_overlay(overlay), SIDE)
    write(above, title, TITLE_AT, TEXT, TITLE_SIZE, halo=True)
    return np.vstack([above, map_panel(MapTargets(masks, sample.map.valid, grid), SIDE)])


def _overlay(prediction: Prediction, sample: Sample, title: str) -> Overlay:
    """What the robot would show: boxes below its threshold are left out."""
    shown = prediction.detections.scores >= PipelineOptions().score_threshold
    motion = prediction.trajectories
    return Overlay(
        detections=select(prediction.detections, shown),
        trajectories=None if motion is None else _select_trajectories(motion, shown),
        occupancy=prediction.occupancy,
        plan=prediction.plan,
        truth=sample.agents.boxes,
        title=title,
    )


def _select_trajectories(motion: Trajectories, rows: NDArray[np.bool_]) -> Trajectories:
    return Trajectories(
        motion.positions[rows],
        motion.sigmas[rows],
        motion.probabilities[rows],
        motion.track_ids[rows],
        motion.class_ids[rows],
        motion.time_step_s,
    )


@dataclass(frozen=True)
class _Ends:
    """The first and the last ``SHOWN`` cases, no case twice, and how many there are in all."""

    best: tuple[Case, ...]
    worst: tuple[Case, ...]
    count: int


def _ends(cases: Sequence[Case]) -> _Ends:
    return _Ends(tuple(cases[:SHOWN]), tuple(cases[max(SHOWN, len(cases) - SHOWN) :]), len(cases))


def _picture(index: int) -> str:
    return f"sample-{index:05d}.png"


def _page(evaluation: Evaluation, ends: Mapping[Ranking, _Ends], places: Sequence[str]) -> str:
    source = escape(", ".join(f"{name} {value}" for name, value in evaluation.run.items()))
    sections = [
        "<!doctype html><html lang='en'><meta charset='utf-8'><title>Evaluation</title>",
        f"<style>{STYLE}</style>",
        f"<h1>Evaluation</h1><p>{source}</p>",
        "<h2>Beside the paper</h2>",
        _html(published_table(evaluation)),
    ]
    if ROBUSTNESS in evaluation.tasks:
        sections += ["<h2>Robustness</h2>", _html(robustness_table(evaluation.tasks, evaluation.tasks[ROBUSTNESS]))]
    for ranking, found in ends.items():
        sections.append(f"<h2>{escape(ranking.title)}</h2><p>{escape(ranking.explanation)}</p>")
        if not found.count:
            sections.append("<p>No sample has anything to measure.</p>")
        for title, cases in (("Best", found.best), ("Worst", found.worst)):
            if cases:
                sections.append(f"<h3>{title} of {found.count} samples</h3>")
            sections += [
                f"<figure><a href='{_picture(case.index)}'><img src='{_picture(case.index)}' loading='lazy' "
                f"alt='truth left, prediction right'></a><figcaption>{case.value:.3f}{ranking.unit}: "
                f"{escape(places[case.index])}; truth left, prediction right</figcaption></figure>"
                for case in cases
            ]
    listed = {task: measures for task, measures in evaluation.tasks.items() if task != ROBUSTNESS}
    sections.append(f"<h2>Every figure, with its count</h2><pre>{escape(all_measures(listed))}</pre>")
    return "\n".join(sections) + "\n"


def _html(table: str) -> str:
    """A Markdown table and the sentences below it as HTML."""
    rows: list[str] = []
    notes: list[str] = []
    for line in table.splitlines():
        if not line.startswith("|"):
            notes.append(f"<p>{escape(line)}</p>" if line else "")
        elif not line.startswith("| ---"):
            tag = "td" if rows else "th"
            cells = (f"<{tag}>{escape(cell.strip())}</{tag}>" for cell in line.strip("|").split("|"))
            rows.append(f"<tr>{''.join(cells)}</tr>")
    return "\n".join(["<table>", *rows, "</table>", *notes])
