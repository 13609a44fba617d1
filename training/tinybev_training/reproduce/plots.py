"""Curves of the experiment: the score of every row over training, which shows whether it has reached its plateau."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure as Canvas

from tinybev_training.eval.results_file import read_evaluation
from tinybev_training.eval.table import find
from tinybev_training.long_work.write_file import write_binary
from tinybev_training.reproduce.experiment import TEACHER, Experiment
from tinybev_training.reproduce.summary import FIGURES

SHOWN = ("detection.mAP", "rings.vehicle.AP_2m", "map.IoU", "planning.uniad.L2_3s")


def plot_scores(experiment: Experiment, path: Path) -> bool:
    """Draws the scores on the validation scenes over the steps, once some row has two; returns whether one has.

    Raises:
        UserError: the picture cannot be written.
    """
    canvas = Canvas(figsize=(4.5 * len(SHOWN), 6.5), layout="constrained")
    students, teacher = canvas.subplots(2, len(SHOWN), sharex=True, height_ratios=(2, 1))  # far apart on one axis
    headings = {figure.metric: figure for figure in FIGURES}
    drawn = False
    for colour, run in enumerate(experiment.curve_runs):
        there = [
            step for step in experiment.steps_on_the_way(run) if experiment.figures_on_the_way(run, step).is_file()
        ]
        found = {step: read_evaluation(experiment.figures_on_the_way(run, step)).tasks for step in there}
        drawn |= len(found) > 1
        for panel, metric in zip(teacher if run.row is TEACHER else students, SHOWN, strict=True):
            points = [(step, find(tasks, metric)) for step, tasks in found.items()]
            points = [(step, measure) for step, measure in points if measure.valid]
            if points:
                values = [measure.value * headings[metric].scale for _, measure in points]
                panel.plot([step for step, _ in points], values, marker="o", color=f"C{colour}", label=run.row.title)
    for above, below, metric in zip(students, teacher, SHOWN, strict=True):
        above.set(title=headings[metric].heading)
        below.set(xlabel="optimizer steps")
        for panel in (above, below):
            panel.grid(alpha=0.3)
    lines = [*teacher[0].get_lines(), *students[0].get_lines()]
    canvas.legend(handles=lines, loc="outside lower center", ncols=len(lines) or 1)
    if drawn:
        write_binary(path, lambda file: canvas.savefig(file, format="png", dpi=80))
    return drawn
