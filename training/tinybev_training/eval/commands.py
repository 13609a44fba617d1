"""``tinybev eval``: measure a bundle or saved predictions on a split, and set runs side by side."""

from __future__ import annotations

import argparse
import re
import tempfile
from pathlib import Path

from nuscenes.nuscenes import NuScenes

from tinybev.errors import UserError
from tinybev.model.summary import summarize
from tinybev.runtime.bundle import load_bundle
from tinybev.runtime.options import PipelineOptions
from tinybev_training.data.dataset import open_dataset
from tinybev_training.data.tables import open_tables
from tinybev_training.eval.compare import comparison
from tinybev_training.eval.detection import detection_measures
from tinybev_training.eval.evaluate import GRIDS, Predict, Tasks, Thresholds, by_scene, dense_tasks, score_dataset
from tinybev_training.eval.ground_truth import ground_truth
from tinybev_training.eval.measure import Measure
from tinybev_training.eval.predicting import PredictionRun, Speed, predict_split
from tinybev_training.eval.prediction_files import (
    DETECTIONS_FILE,
    TRACKS_FILE,
    load_predictions,
    save_sample,
)
from tinybev_training.eval.predictions import Prediction
from tinybev_training.eval.report import write_report
from tinybev_training.eval.results_file import Evaluation, read_evaluation, write_evaluation
from tinybev_training.eval.submission import (
    Box,
    check_tokens,
    detection_boxes,
    read_submission,
    tracking_boxes,
    write_submission,
)
from tinybev_training.eval.table import all_measures, published_table
from tinybev_training.eval.tables_of_split import sample_tokens
from tinybev_training.eval.tracking import tracking_measures

GROUND_TRUTH = "ground-truth"
SCORE_THRESHOLD = 0.05
"""Average precision wants doubtful boxes as well, unlike the robot."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the command's arguments."""
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--bundle", help="folder of a bundle, or untrained:VARIANT: run it and measure it")
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
    parser.add_argument("--processes", type=int, default=1, help="that run the bundle, scene by scene")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="of the network")
    parser.add_argument("--ego-status", action="store_true", help="tell the planner how fast the ego moves")
    parser.add_argument(
        "--score-threshold", type=float, default=SCORE_THRESHOLD, help="boxes below it are not submitted"
    )


def run(args: argparse.Namespace) -> int:
    """Evaluates or compares, prints the tables and writes the JSON file."""
    if args.compare:
        print(comparison([path.stem for path in args.compare], [read_evaluation(path) for path in args.compare]))
        return 0
    if args.dataroot is None or args.split is None:
        raise UserError("expected --dataroot and --split: the samples to measure on; name both.")
    if args.processes < 1 or not 0 <= args.score_threshold < 1:
        raise UserError("expected --processes of at least 1 and a --score-threshold from 0 to below 1.")
    nusc = open_tables(args.dataroot, args.version)
    source = Path(args.predictions) if args.predictions else None
    if source is not None and args.predictions != GROUND_TRUTH and source.is_file():
        evaluation = Evaluation(_description(args), _measure_file(nusc, args.split, source), {})
    else:
        evaluation = _measure_all(nusc, args)
    print(all_measures(evaluation.tasks), published_table(evaluation.tasks), sep="\n\n")
    if args.json is not None:
        write_evaluation(args.json, evaluation)
    return 0


def _description(args: argparse.Namespace) -> dict[str, str | int | float]:
    return {
        "source": args.bundle or args.predictions,
        "dataset": args.version,
        "split": args.split,
        "ego_status": int(args.ego_status),
        "score_threshold": args.score_threshold,
    }


def _measure_file(nusc: NuScenes, split: str, path: Path) -> Tasks:
    """Of an official result file: detection or tracking, whichever its boxes are of."""
    submission = read_submission(path)
    tracks = any("tracking_id" in box for boxes in submission.values() for box in boxes)
    if tracks:
        return {"tracking": tracking_measures(nusc, split, submission, path)}
    return {"detection": detection_measures(nusc, split, submission, path)}


def _measure_all(nusc: NuScenes, args: argparse.Namespace) -> Evaluation:
    """Of predictions of every task."""
    dataset = open_dataset(
        args.dataroot,
        args.version,
        args.split,
        grids=GRIDS,
        keep_imageless=True,
        with_lidar=False,
        progress=True,
    )
    predict, extra = _predictor(nusc, args)
    defaults = PipelineOptions()
    thresholds = Thresholds(defaults.score_threshold, defaults.map_threshold, defaults.occupancy_threshold)
    detections: dict[str, list[Box]] = {}
    tracks: dict[str, list[Box]] = {}

    def collect(prediction: Prediction) -> None:
        detections[prediction.token] = detection_boxes(prediction)
        tracks[prediction.token] = tracking_boxes(prediction)
        if args.save is not None and not args.bundle:
            save_sample(args.save, prediction)

    scores = score_dataset(nusc, dataset, predict, thresholds, collect)
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.save or Path(temporary)
        write_submission(folder / TRACKS_FILE, tracks)
        write_submission(folder / DETECTIONS_FILE, detections)
        boxes = {
            "detection": detection_measures(nusc, args.split, detections, folder / DETECTIONS_FILE),
            "tracking": tracking_measures(nusc, args.split, tracks, folder / TRACKS_FILE),
        }
    evaluation = Evaluation(_description(args), {**boxes, **dense_tasks(scores), **extra}, by_scene(scores))
    if args.report is not None:
        write_report(args.report, evaluation, scores, nusc, dataset, predict)
    return evaluation


def _predictor(nusc: NuScenes, args: argparse.Namespace) -> tuple[Predict, Tasks]:
    """What gives the prediction of a sample, and the figures that come of predicting."""
    if args.predictions == GROUND_TRUTH:
        return ground_truth, {}
    extra: Tasks = {}
    if args.predictions:
        predictions = load_predictions(Path(args.predictions), progress=True)
    else:
        args.save = args.save or Path("out/predictions") / re.sub(r"\W+", "-", f"{args.bundle} {args.split}").strip("-")
        options = PipelineOptions(
            device=args.device, score_threshold=args.score_threshold, use_ego_status=args.ego_status
        )
        prediction_run = PredictionRun(args.bundle, args.dataroot, args.version, args.split, options, args.save)
        predictions, speed = predict_split(prediction_run, args.processes)
        extra = {"speed": _speed_measures(args.bundle, speed)}
    check_tokens(predictions, sample_tokens(nusc, args.split), "a prediction")
    return lambda sample, known: predictions[sample.token], extra


def _speed_measures(bundle: str, speed: Speed | None) -> dict[str, Measure]:
    """Size and time of the network; the times' count is that of the frames."""
    summary = summarize(load_bundle(bundle).config)
    measures = {"parameters": Measure(summary.parameters, 1), "MACs": Measure(summary.macs, 1)}
    if speed is not None:
        print(f"{speed.frames} frames on {speed.device}, float32")
        measures["ms_per_frame"] = Measure(speed.total_ms, speed.frames)
        measures["network_ms"] = Measure(speed.network_ms, speed.frames)
    return measures
