"""The jobs of the experiment: complete commands, in an order that can be run."""

from __future__ import annotations

import argparse
import itertools
from dataclasses import replace
from pathlib import Path

import pytest
from tinybev_training.eval import commands as eval_commands
from tinybev_training.reproduce import commands
from tinybev_training.reproduce.experiment import (
    ALONE,
    MORE_WORLD_JOB,
    ORACLE,
    SHIPPED_ROWS,
    TEACH_JOB,
    TEACH_MORE_JOB,
    TEACHER,
    WORLD_JOB,
    Experiment,
    Run,
)
from tinybev_training.reproduce.job import Job
from tinybev_training.reproduce.scale import ALL, HALVES, HELD_OUT, LABELLED, SCALES, UNLABELLED, VALIDATION, find_scale
from tinybev_training.teacher import commands as teach_commands
from tinybev_training.train import commands as train_commands
from tinybev_training.train.commands import _recipe_and_folder
from tinybev_training.world import commands as world_commands

from tinybev.cli import main
from tinybev.errors import UserError


@pytest.fixture(params=list(SCALES))
def experiment(request: pytest.FixtureRequest, tmp_path: Path) -> Experiment:
    return Experiment(find_scale(request.param), tmp_path, "cpu", 1)


def parsed(job: Job) -> argparse.Namespace:
    """The arguments as the command itself understands them."""
    modules = {"world": world_commands, "teach": teach_commands, "train": train_commands, "eval": eval_commands}
    parser = argparse.ArgumentParser(exit_on_error=False)
    modules[job.command[0]].add_arguments(parser)
    return parser.parse_args(job.command[1:])


def test_every_job_is_a_command_that_can_be_run_once_those_before_it_are_done(experiment: Experiment) -> None:
    done: set[str] = set()
    for job in experiment.jobs:
        assert job.name not in done
        assert done.issuperset(job.after), job.name
        done.add(job.name)
        parsed(job)
    assert {f"train-{run.name}" for run in experiment.runs} <= done
    measured = {run for run in experiment.runs if run.row not in SHIPPED_ROWS[:-1]}
    assert {f"eval-{run.name}" for run in measured} <= done


def test_some_runs_alone_are_their_jobs_and_what_those_need(tmp_path: Path) -> None:
    experiment = Experiment(find_scale("smoke"), tmp_path, "cpu", 1)
    names = [job.name for job in experiment.jobs_of(["s2-seed0"])]
    assert names == [
        *("world", "train-teacher-seed0", "teach", "train-s2-seed0", "eval-s2-seed0"),
        *("eval-s2-seed0-step-4", "eval-s2-seed0-step-8"),
    ]
    alone = {job.name for job in experiment.jobs_of(["alone-seed0"])}
    both = {job.name for job in experiment.jobs_of(["alone-seed0", "s2-seed0"])}
    assert both == alone | set(names)
    assert "train-teacher-seed0" not in alone
    assert experiment.jobs_of([run.name for run in experiment.runs]) == experiment.jobs
    with pytest.raises(UserError, match=r"--runs: expected some of alone-seed0, .*got 's9-seed0'"):
        experiment.jobs_of(["s9-seed0"])


@pytest.mark.parametrize(("bfloat16", "precision"), [(True, "bf16"), (False, "fp32")])
def test_training_computes_in_what_the_machine_is_made_for(
    bfloat16: bool,
    precision: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(commands, "computes_bfloat16", lambda device: bfloat16)
    assert main(["reproduce", "--scale", "cpu", "--device", "cpu", "--out", str(tmp_path), "--show"]) == 0
    out, err = capsys.readouterr()
    lines = out.splitlines()
    trainings = [line for line in lines if line.startswith("tinybev train ")]
    assert trainings
    assert all(f" --precision {precision} " in line for line in trainings)
    teachings = [line for line in lines if line.startswith("tinybev teach ")]
    assert [" --bf16 " in line for line in teachings] == [bfloat16, bfloat16]
    assert ("training in fp32" in err) != bfloat16


def test_rows_differ_in_what_is_learnt_from_and_in_nothing_else(experiment: Experiment) -> None:
    recipes = {}
    for run in experiment.runs:
        job = next(job for job in experiment.jobs if job.name == f"train-{run.name}")
        recipe, folder = _recipe_and_folder(parsed(job))
        recipe.check()
        assert folder == experiment.run_folder(run)
        recipes[run.row.name, run.seed] = recipe
    seed = experiment.scale.seeds[0]
    alone = recipes[ALONE.name, seed]
    rows = [run.row for run in experiment.curve_runs]
    assert {row.name for row in rows} == {TEACHER.name, *experiment.scale.students}
    for row in rows:
        recipe = recipes[row.name, seed]
        steps = experiment.scale.teacher_steps if row is TEACHER else experiment.scale.steps
        steps = steps // 2 if row.name in HALVES else steps
        split = ALL if row is ORACLE else LABELLED
        assert (recipe.split, recipe.validation_split, recipe.steps) == (split, VALIDATION, steps)
        assert (recipe.samples.labelled, recipe.optimization, recipe.seed, recipe.start) == (
            alone.samples.labelled,
            alone.optimization,
            seed,
            "",
        )
        depth = 1.0 if row.recipe in ("teacher", "alone") else 2.0  # as much of the loss as without what is distilled
        assert recipe.supervised == replace(alone.supervised, depth=depth)
        assert recipe.network == (experiment.scale.teacher if row is TEACHER else experiment.scale.student)
        assert bool(recipe.unlabelled_split) == row.unlabelled
    taught = {recipes[row.name, seed].teacher for row in rows if row.taught}
    teacher = experiment.run_folder(Run(TEACHER, seed))
    assert taught == {str(experiment.taught_by)}
    if experiment.scale.written_teacher:
        said = parsed(next(job for job in experiment.jobs if job.name == TEACH_JOB))
        assert (said.teacher, said.out, said.split) == (teacher, experiment.taught_by, [LABELLED, UNLABELLED])
    else:
        assert experiment.taught_by == teacher


def test_no_scene_is_in_two_splits_that_must_not_meet(experiment: Experiment) -> None:
    splits = {name: set(range(first, last + 1)) for name, (first, last) in experiment.scale.world.splits.items()}
    apart = [splits[name] for name in (LABELLED, UNLABELLED, VALIDATION, HELD_OUT)]
    assert all(not one & other for one, other in itertools.combinations(apart, 2))
    assert set().union(*apart) == set(range(experiment.scale.world.scenes))
    assert splits[ALL] == splits[LABELLED] | splits[UNLABELLED]
    if experiment.scale.name != "smoke":
        assert len(splits[HELD_OUT]) >= 50


def test_halves_are_whole_schedules_of_half_the_steps() -> None:
    experiment = Experiment(find_scale("cpu-few"), Path("out"), "cpu", 1)
    runs = {run.name: run for run in experiment.runs}
    assert list(experiment.steps_on_the_way(runs["alone-half-seed0"])) == [500, 1000]
    assert list(experiment.steps_on_the_way(runs["s3-half-seed1"])) == [500, 1000]
    assert list(experiment.steps_on_the_way(runs["alone-seed0"])) == [500, 1000, 1500, 2000]
    # 6 scenes of 12 s at 2 Hz, with both ends: each sample is seen as often as scale.py says.
    world, scale = experiment.scale.world, experiment.scale
    assert round(scale.steps * scale.labelled / (world.labelled * (world.seconds * 2 + 1))) == 53


def test_an_unknown_scale_is_refused() -> None:
    with pytest.raises(
        UserError, match=r"--scale: expected one of smoke, cpu, cpu-plateau, cpu-cameras, cpu-few, gpu, got 'huge'"
    ):
        find_scale("huge")


def test_the_shipped_student_learns_in_runs_on_all_annotations_and_is_measured_as_it_drives(tmp_path: Path) -> None:
    experiment = Experiment(find_scale("cpu"), tmp_path, "cpu", 1)
    jobs = {job.name: job for job in experiment.jobs}
    start = ""
    for row in SHIPPED_ROWS:
        run = Run(row, 0)
        job = jobs[f"train-{run.name}"]
        arguments, (recipe, _) = parsed(job), _recipe_and_folder(parsed(job))
        recipe.check()
        assert (recipe.network, recipe.split, recipe.start) == ("mini", ALL, start)
        assert recipe.telling.ego_status
        assert arguments.dataroot == parsed(jobs[MORE_WORLD_JOB if row.more else WORLD_JOB]).out
        assert recipe.name == ("s3_joint" if row.taught else "alone")
        if row.taught:
            said = jobs[TEACH_MORE_JOB if row.more else TEACH_JOB]
            assert recipe.teacher == str(parsed(said).out)
            assert parsed(said).dataroot == arguments.dataroot
            assert said.name in job.after
            assert recipe.distill.weights.feature > 0
            assert recipe.distill.weights.plan == recipe.distill.weights.box == 0
        assert not start or job.after[-1] == f"train-{experiment.runs_before(run)[-1].name}"
        start = str(experiment.bundle(run))
    measured = [parsed(job) for job in jobs.values() if job.name.startswith("eval-shipped")]
    assert [(each.dataroot, each.split, each.ego_status) for each in measured] == [
        (experiment.dataroot, HELD_OUT, "auto")
    ]


def test_the_further_scenes_are_none_of_the_others() -> None:
    scale = find_scale("cpu")
    assert scale.shipped is not None
    assert scale.shipped.more_world.seed != scale.world.seed
    assert scale.shipped.more_world.splits == {"labelled": (0, 143), VALIDATION: (144, 149), ALL: (0, 143)}
