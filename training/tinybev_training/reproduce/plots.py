"""Curves of the experiment: the score of every row over training, which shows whether it has reached its plateau."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure as Canvas

from tinybev_training.eval.results_file import read_evaluation
from tinybev_training.eval.table import find
from tinybev_training.eval.write_file import write_binary
from tinybev_training.reproduce.experiment import Experiment
from tinybev_training.reproduce.summary import FIGURES

SHOWN = ("detection.mAP", "rings.vehicle.AP_2m", "map.IoU", "planning.uniad.L2_3s")


def plot_scores(experiment: Experiment, path: Path) -> bool:
    """Draws the scores on the validation scenes over the steps, once some row has two; returns whether one has.

    Raises:
        UserError: the picture cannot be written.
    """
    steps = [*experiment.steps_on_the_way(), experiment.scale.steps]
    canvas = Canvas(figsize=(4.5 * len(SHOWN), 4), layout="constrained")
    panels = canvas.subplots(1, len(SHOWN))
    headings = {figure.metric: figure for figure in FIGURES}
    drawn = False
    for run in experiment.curve_runs:
        there = [step for step in steps if experiment.figures_on_the_way(run, step).is_file()]
        found = {step: read_evaluation(experiment.figures_on_the_way(run, step)).tasks for step in there}
        drawn |= len(found) > 1
        for panel, metric in zip(panels, SHOWN, strict=True):
            figure = headings[metric]
            points = [(step, find(tasks, metric)) for step, tasks in found.items()]
            points = [(step, measure) for step, measure in points if measure.valid]
            if points:
                values = [measure.value * figure.scale for _, measure in points]
                panel.plot([step for step, _ in points], values, marker="o", label=run.row.title)
    for panel, metric in zip(panels, SHOWN, strict=True):
        panel.set(title=headings[metric].heading, xlabel="optimizer steps")
        panel.grid(alpha=0.3)
    handles, labels = panels[0].get_legend_handles_labels()
    canvas.legend(handles, labels, loc="outside lower center", ncols=len(labels) or 1)
    if drawn:
        write_binary(path, lambda file: canvas.savefig(file, format="png", dpi=80))
    return drawn
