"""``tinybev eval``: measure a bundle or saved predictions on a split, and set runs side by side."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from tinybev.errors import UserError
from tinybev.runtime.options import ALWAYS, AUTO, BACKENDS, EGO_STATUS, NEVER, PipelineOptions
from tinybev_training.eval.compare import comparison, read_run
from tinybev_training.eval.detection import detection_measures
from tinybev_training.eval.evaluate import Predict, SampleScores, Tasks, by_scene
from tinybev_training.eval.ground_truth import ground_truth
from tinybev_training.eval.predicting import PredictionRun, made_by, predict_split
from tinybev_training.eval.prediction_files import SavedPredictions, save_sample
from tinybev_training.eval.report import write_report
from tinybev_training.eval.results_file import Evaluation, Run, write_evaluation
from tinybev_training.eval.robustness import (
    ROBUSTNESS,
    Condition,
    check_same_scenes,
    conditions,
    robustness_measures,
    robustness_table,
)
from tinybev_training.eval.scene_statistics import SceneStatistics, statistics_file, write_statistics
from tinybev_training.eval.speed import speed_measures
from tinybev_training.eval.split_evaluation import SceneCollector, Split, evaluate_split, open_split
from tinybev_training.eval.submission import check_tokens, read_submission
from tinybev_training.eval.table import all_measures, published_table
from tinybev_training.eval.tables_of_split import sample_tokens
from tinybev_training.eval.tracking import tracking_measures

GROUND_TRUTH = "ground-truth"
SCORE_THRESHOLD = 0.05
"""Average precision wants doubtful boxes as well, unlike the robot."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the command's arguments."""
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument(
        "--bundle",
        help="folder of a bundle or of a trained teacher, shipped:mini or untrained:VARIANT: run it and measure it",
    )
    source.add_argument(
        "--predictions",
        metavar="PATH",
        help=f"folder that --save wrote, a nuScenes result file (detection or tracking), or {GROUND_TRUTH}",
    )
    source.add_argument("--compare", nargs="+", type=Path, metavar="JSON", help="set files of --json side by side")
    parser.add_argument("--dataroot", type=Path, help="folder of a nuScenes-format dataset")
    parser.add_argument("--version", default="v1.0-mini", help="of its tables")
    parser.add_argument("--split", help="of the devkit, or of splits.json in the version's folder")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    parser.add_argument(
        "--report", type=Path, metavar="DIR", help="write a page there, with pictures of the best and worst samples"
    )
    parser.add_argument(
        "--save", type=Path, metavar="DIR", help="where predictions go; default for a bundle: out/predictions/…"
    )
    parser.add_argument(
        "--robustness",
        action="store_true",
        help="measure a bundle again with 1 to 3 cameras missing, and in --conditions",
    )
    parser.add_argument(
        "--conditions",
        nargs="+",
        default=[],
        metavar="NAME=DATAROOT",
        help="with --robustness: the same scenes in other weather, as `tinybev world --weather` writes them",
    )
    parser.add_argument("--processes", type=int, default=1, help="that run the bundle, scene by scene")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="of the network")
    parser.add_argument("--backend", choices=BACKENDS, default=AUTO, help="what runs the network of a bundle")
    parser.add_argument(
        "--ego-status",
        choices=EGO_STATUS,
        default=AUTO,
        help="tell the planner of a bundle how fast the ego moves; auto: where it was trained with that",
    )
    parser.add_argument(
        "--goal",
        choices=(ALWAYS, NEVER),
        default=ALWAYS,
        help="tell the planner of a bundle a point on the human's way; UniAD, ST-P3 and VAD are told the command alone",
    )
    parser.add_argument(
        "--score-threshold", type=float, default=SCORE_THRESHOLD, help="boxes below it are not submitted"
    )


def run(args: argparse.Namespace) -> int:
    """Evaluates or compares, prints the tables and writes the JSON file."""
    if args.compare:
        print(comparison([read_run(path) for path in args.compare]))
        return 0
    if args.dataroot is None or args.split is None:
        raise UserError("expected --dataroot and --split: the samples to measure on; name both.")
    if args.processes < 1 or not 0 <= args.score_threshold < 1:
        raise UserError("expected --processes of at least 1 and a --score-threshold from 0 to below 1.")
    if args.conditions and not args.robustness:
        raise UserError("expected --robustness with --conditions; add it.")
    if args.robustness and not args.bundle:
        raise UserError("expected --bundle with --robustness: it runs the network again in every condition; name one.")
    worse = conditions(args.conditions) if args.robustness else ()
    split = open_split(args.dataroot, args.version, args.split)
    if args.bundle:
        measured = _measure_bundle(split, args, worse)
    elif args.predictions != GROUND_TRUTH and Path(args.predictions).is_file():
        measured = _measure_file(split, args)
    else:
        measured = _measure_predictions(split, args)
    evaluation = measured.evaluation
    listed = {task: measures for task, measures in evaluation.tasks.items() if task != ROBUSTNESS}
    print(all_measures(listed), published_table(evaluation), sep="\n\n")
    if worse:
        print("", robustness_table(evaluation.tasks, evaluation.tasks[ROBUSTNESS]), sep="\n")
    if args.json is not None:
        write_statistics(statistics_file(args.json), measured.statistics)
        write_evaluation(args.json, evaluation)
    if args.report is not None:
        write_report(args.report, evaluation, measured.samples, split.nusc, split.dataset, measured.predict)
    return 0


@dataclass(frozen=True)
class _Measured:
    """The figures, what each scene and each sample adds to them, and the predictions; of a result file no samples."""

    evaluation: Evaluation
    statistics: SceneStatistics
    samples: tuple[SampleScores, ...] = ()
    predict: Predict = ground_truth


def _description(args: argparse.Namespace) -> Run:
    return {
        "source": args.bundle or args.predictions,
        "dataset": args.version,
        "split": args.split,
        "ego_status": args.ego_status,
        "goal": args.goal,
        "score_threshold": args.score_threshold,
        "backend": args.backend,
        **({"conditions": " ".join(args.conditions)} if args.conditions else {}),
    }


def _measure_file(split: Split, args: argparse.Namespace) -> _Measured:
    """Of an official result file: detection or tracking, whichever its boxes are of."""
    path, scenes = Path(args.predictions), SceneCollector(split)
    submission = read_submission(path)
    if any("tracking_id" in box for boxes in submission.values() for box in boxes):
        tasks = {"tracking": tracking_measures(split.nusc, split.name, submission, path, scenes.keep_states)}
    else:
        tasks = {"detection": detection_measures(split.nusc, split.name, submission, path, scenes.keep_matches)}
    return _Measured(Evaluation(_description(args), tasks, {}), scenes.statistics([]))


def _measure_predictions(split: Split, args: argparse.Namespace) -> _Measured:
    """Of the truth or of a folder of predictions."""
    predict: Predict = ground_truth
    uses_lidar = False
    if args.predictions != GROUND_TRUTH:
        saved = SavedPredictions(Path(args.predictions))
        check_tokens(saved.tokens, sample_tokens(split.nusc, split.name), "a prediction")
        predict = lambda sample, known: saved.load(sample.token)  # noqa: E731
        uses_lidar = saved.uses_lidar
    keep = partial(save_sample, args.save) if args.save is not None else lambda prediction: None
    scores = evaluate_split(split, predict, args.save, keep, uses_lidar)
    evaluation = Evaluation(_description(args), scores.tasks, by_scene(scores.samples))
    return _Measured(evaluation, scores.statistics, scores.samples, predict)


def _measure_bundle(split: Split, args: argparse.Namespace, worse: Sequence[Condition]) -> _Measured:
    """Of a bundle, in good order and in every condition."""
    backend = "" if args.backend == AUTO else f" {args.backend}"
    name = re.sub(r"\W+", "-", f"{args.bundle} {args.split}{backend}").strip("-")
    folder = args.save or Path("out/predictions") / name
    options = PipelineOptions(
        backend=args.backend,
        device=args.device,
        score_threshold=args.score_threshold,
        ego_status=args.ego_status,
    )
    clean = PredictionRun(
        args.bundle,
        args.dataroot,
        args.version,
        args.split,
        options,
        folder,
        with_goals=args.goal == ALWAYS,
    )
    splits = {condition.name: _condition_split(split, condition, args.version) for condition in worse}
    predictions, speed = predict_split(clean, args.processes)
    predict: Predict = lambda sample, known: predictions.load(sample.token)  # noqa: E731
    scores = evaluate_split(split, predict, folder, uses_lidar=predictions.uses_lidar)
    tasks = {**scores.tasks, "speed": speed_measures(args.bundle, speed)}
    found = {
        condition.name: _measure_condition(splits[condition.name], condition, clean, args.processes)
        for condition in worse
    }
    if found:
        tasks[ROBUSTNESS] = robustness_measures(scores.tasks, found)
    where = {} if speed is None else {name: getattr(speed, name) for name in ("device", "precision", "processes")}
    evaluation = Evaluation({**_description(args), **made_by(clean), **where}, tasks, by_scene(scores.samples))
    return _Measured(evaluation, scores.statistics, scores.samples, predict)


def _condition_split(clean: Split, condition: Condition, version: str) -> Split:
    """The split in that condition; a missing camera changes nothing about the samples."""
    if condition.dataroot is None:
        return clean
    split = open_split(condition.dataroot, version, clean.name)
    check_same_scenes(clean.dataset, split.dataset, condition)
    return split


def _measure_condition(split: Split, condition: Condition, clean: PredictionRun, processes: int) -> Tasks:
    """Runs and measures in that condition; its predictions are kept beside the clean ones."""
    run = replace(
        clean,
        dataroot=condition.dataroot or clean.dataroot,
        folder=clean.folder / ROBUSTNESS / condition.name,
        missing=condition.missing,
    )
    predictions, _ = predict_split(run, processes)
    predict: Predict = lambda sample, known: predictions.load(sample.token)  # noqa: E731
    return evaluate_split(split, predict, run.folder, uses_lidar=predictions.uses_lidar).tasks
