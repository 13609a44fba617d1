"""The shipped bundle: the run's weights in float16, and in the manifest how they score on the held-out scenes."""

from __future__ import annotations

import shutil
from pathlib import Path

from tinybev.runtime.bundle import halved, make_bundle, read_bundle, save_bundle
from tinybev_training.eval.results_file import read_evaluation
from tinybev_training.reproduce.experiment import SHIPPED, Experiment, Run
from tinybev_training.reproduce.scale import Shipped, World

LEFT_OUT = ("speed",)
"""Of the tasks: they depend on the machine."""


def write_shipped(experiment: Experiment) -> Path | None:
    """Writes the bundle anew and returns its folder; None where the scale ships none, or it is not measured yet.

    Raises:
        UserError: the run's bundle or its figures are damaged, or the folder cannot be written.
    """
    run = Run(SHIPPED, experiment.scale.seeds[0])
    if experiment.scale.shipped is None or not experiment.figures(run).is_file():
        return None
    bundle, evaluation = read_bundle(experiment.bundle(run)), read_evaluation(experiment.figures(run))
    training = dict(bundle.manifest.training)
    told = training
    for earlier in reversed(experiment.runs_before(run)):
        before = dict(read_bundle(experiment.bundle(earlier)).manifest.training)
        told["before"], told = before, before
    metrics = {
        f"{task}.{name}": round(measure.value, 4)
        for task, measures in evaluation.tasks.items()
        if task not in LEFT_OUT
        for name, measure in measures.items()
        if measure.valid
    }
    shipped = make_bundle(
        bundle.config.name,
        bundle.config,
        halved(bundle.weights),
        _trained_on(experiment.scale.world, experiment.scale.shipped),
        training,
        metrics,
    )
    folder = experiment.folder / "shipped" / bundle.config.name
    shutil.rmtree(folder, ignore_errors=True)
    save_bundle(shipped, folder)
    return folder


def _trained_on(world: World, shipped: Shipped) -> str:
    """The data in words: whose annotations, and on what the metrics were measured."""
    more = shipped.more_world
    return (
        f"synthetic data only: {world.labelled + world.unlabelled} scenes of tinybev world with seed {world.seed}, "
        f"then {more.labelled} with seed {more.seed}; metrics of {world.held_out} held-out scenes with seed "
        f"{world.seed}"
    )
