"""From the measured run to the bundle that is shipped, and to its row."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tinybev_training.eval.measure import NOTHING, Measure
from tinybev_training.eval.results_file import Evaluation, write_evaluation
from tinybev_training.reproduce.experiment import SHIPPED, SHIPPED_ROWS, TEACHER, Experiment, Run
from tinybev_training.reproduce.job import Record, write_record
from tinybev_training.reproduce.page import section
from tinybev_training.reproduce.scale import find_scale
from tinybev_training.reproduce.ship import write_shipped
from tinybev_training.reproduce.summary import summarize

from tinybev.model.config import find_variant
from tinybev.model.student import seeded_student
from tinybev.runtime.bundle import make_bundle, read_bundle, save_bundle

LAST = Run(SHIPPED, 0)
RUNS = tuple(Run(row, 0) for row in SHIPPED_ROWS)


@pytest.fixture
def experiment(tmp_path: Path) -> Experiment:
    """All runs trained, and the last one measured."""
    experiment = Experiment(find_scale("cpu"), tmp_path, "cpu", 1)
    config = find_variant("nano")
    for seed, run in enumerate(RUNS):
        weights = seeded_student(config, seed).state_dict()
        training = {"recipe": {"seed": seed, "telling": {"ego_status": True}}}
        save_bundle(make_bundle("tinybev-nano-s3", config, weights, "a world", training), experiment.bundle(run))
        record = Record(f"tinybev train {run.name}", 3600.0 * (seed + 1), "a CPU", 1)
        write_record(experiment.folder, f"train-{run.name}", record)
    tasks = {
        "detection": {"mAP": Measure(0.123456, 10), "NDS": NOTHING},
        "speed": {"parameters": Measure(4e6, 1), "total_ms": Measure(100.0, 10)},
    }
    write_evaluation(experiment.figures(LAST), Evaluation({"source": LAST.name}, tasks, {}))
    return experiment


def test_what_is_shipped_is_half_as_large_and_says_how_it_was_trained_and_scores(experiment: Experiment) -> None:
    folder = write_shipped(experiment)
    assert folder is not None
    shipped, trained = read_bundle(folder), read_bundle(experiment.bundle(LAST))
    name = "backbone.conv1.weight"
    assert torch.equal(shipped.weights[name], trained.weights[name].half().float())
    size = sum(path.stat().st_size for path in folder.iterdir())
    assert size < 0.6 * sum(path.stat().st_size for path in experiment.bundle(LAST).iterdir())
    assert shipped.manifest.metrics == {"detection.mAP": 0.1235}  # no speed, nothing that was not measured
    assert shipped.manifest.trained_on == (
        "synthetic data only: 54 scenes of tinybev world with seed 7, then 144 with seed 21; metrics of 50 held-out "
        "scenes with seed 7"
    )
    assert shipped.manifest.trained_with_ego_status
    last: Any = shipped.manifest.training
    told = []
    while last is not None:
        told.append(last["recipe"]["seed"])
        last = last.get("before")
    assert told == [3, 2, 1, 0]


def test_nothing_is_shipped_before_it_is_measured(experiment: Experiment) -> None:
    experiment.figures(LAST).unlink()
    assert write_shipped(experiment) is None


def test_its_row_has_the_hours_of_all_runs_and_no_share_of_a_teacher_with_fewer_annotations(
    experiment: Experiment,
) -> None:
    tasks = {"detection": {"mAP": Measure(0.5, 10)}, "speed": {"parameters": Measure(2e7, 1)}}
    write_evaluation(experiment.figures(Run(TEACHER, 0)), Evaluation({"source": "teacher"}, tasks, {}))
    rows = summarize(experiment)
    assert [(row.row, row.hours) for row in rows if row.row is SHIPPED] == [(SHIPPED, 10.0)]
    text = section(experiment, rows, [])
    assert "The shipped bundle is another experiment: `mini` in 4 runs" in text
    assert "- recipe `s3`, the annotations of all 54 training scenes and the teacher: `telling" in text
    assert "- recipe `alone`, the annotations of all 144 further scenes: `telling" in text
    assert "<summary>How the shipped bundle was made</summary>" in text
    assert "those of the shipped bundle are of all its runs together" in text
    assert "Shares of the teacher's figures" not in text
