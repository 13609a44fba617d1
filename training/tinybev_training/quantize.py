"""``tinybev quantize``: calibrates the int8 network of a bundle on frames of a dataset."""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tqdm import tqdm

from tinybev.errors import UserError
from tinybev.model.student import StudentInputs
from tinybev.runtime.backends.export_cache import CACHE_VARIABLE
from tinybev.runtime.backends.openvino_int8 import INT8, KEPT, Calibration
from tinybev.runtime.bundle import load_bundle
from tinybev.runtime.options import PipelineOptions
from tinybev.runtime.preprocess import Preprocessor
from tinybev_training.data.dataset import NuScenesDataset, open_dataset
from tinybev_training.eval.commands import SCORE_THRESHOLD
from tinybev_training.eval.evaluate import Tasks
from tinybev_training.eval.predicting import PredictionRun, predict_split
from tinybev_training.eval.split_evaluation import Split, evaluate_split, open_split
from tinybev_training.quantize_search import Losses, relative_losses, search, table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the command's arguments."""
    parser.add_argument("--bundle", required=True, help="folder of a bundle, shipped:NAME or untrained:VARIANT")
    parser.add_argument("--dataroot", type=Path, required=True, help="folder of a nuScenes-format dataset")
    parser.add_argument("--version", default="v1.0-trainval", help="of its tables")
    parser.add_argument("--split", required=True, help="whose frames are looked at; not one that is measured on")
    parser.add_argument("--frames", type=int, default=200, help="at most so many, evenly spread over the split")
    parser.add_argument(
        "--keep",
        nargs="+",
        metavar="MODULE",
        help="modules of the student that stay in floating point, as backbone.conv1 or map_head (default: "
        f"{', '.join(KEPT)}, which do not suit eight bits)",
    )
    parser.add_argument(
        "--check",
        metavar="SPLIT",
        help="measure int8 against float32 on it, and keep more modules in floating point until --limit holds; where "
        "those of the default do not suffice, a run for each module",
    )
    parser.add_argument("--limit", type=float, default=0.01, help="of the relative loss of any metric, with --check")


def run(args: argparse.Namespace) -> int:
    """Calibrates, and prints where the result is; the backend openvino-int8 finds it by the bundle's checksum."""
    if args.frames < 1:
        raise UserError(f"--frames: expected at least 1, got {args.frames}.")
    bundle = load_bundle(args.bundle)
    dataset = open_dataset(args.dataroot, args.version, args.split, with_lidar=False)
    preprocessor = Preprocessor(bundle.config, bundle.manifest.trained_with_ego_status is True)
    if args.check and args.keep:
        raise UserError("expected --check, which chooses the modules to keep, or --keep; leave one out.")
    calibration = Calibration(bundle, _frames(dataset, preprocessor, args.frames))
    folder = _checked(calibration, args) if args.check else calibration.quantize(args.keep or KEPT)
    print(f"{folder}: {bundle.info.name} in int8, calibrated on {args.version} {args.split}")
    return 0


def _frames(dataset: NuScenesDataset, preprocessor: Preprocessor, count: int) -> list[StudentInputs]:
    """Prepared as the robot does it."""
    indices = sorted({number * len(dataset) // count for number in range(count)})
    with tqdm(indices, "reading frames", unit="frame") as bar:
        return [preprocessor.prepare(dataset.surroundings(index).frame).inputs for index in bar]


def _checked(calibration: Calibration, args: argparse.Namespace) -> Path:
    """Quantizes with as few modules in floating point as the limit allows; nothing changes before that is known.

    Raises:
        UserError: the limit does not hold whatever is kept.
    """
    split = open_split(args.dataroot, args.version, args.check)
    reference = _tasks(split, args, "openvino")

    def losses(kept: Sequence[str]) -> Losses:
        calibration.quantize(kept)
        found = relative_losses(reference, _tasks(split, args, INT8))
        worst = max(found, key=lambda metric: found[metric])
        tqdm.write(f"{', '.join(kept) or 'nothing'} in floating point: at worst {found[worst]:+.2%} ({worst})")
        return found

    with _other_cache():  # what is only tried is never what the vehicle finds
        tried = search(calibration.groups, args.limit, losses, KEPT)
    print(table(tried))
    if tried[-1].worst > args.limit:
        raise UserError(
            f"expected a loss of at most {args.limit:.1%}, got {tried[-1].worst:.1%} with every module in floating "
            "point: what is not int8 computes in bfloat16; choose openvino."
        )
    return calibration.quantize(tried[-1].kept)


@contextmanager
def _other_cache() -> Iterator[None]:
    """Exports go to a folder that is gone afterwards."""
    before = os.environ.get(CACHE_VARIABLE)
    with tempfile.TemporaryDirectory() as folder:
        os.environ[CACHE_VARIABLE] = folder
        try:
            yield
        finally:
            del os.environ[CACHE_VARIABLE]
            if before is not None:
                os.environ[CACHE_VARIABLE] = before


def _tasks(split: Split, args: argparse.Namespace, backend: str) -> Tasks:
    """The bundle measured as ``tinybev eval`` does it, its predictions in a folder that goes again."""
    options = PipelineOptions(backend=backend, device="cpu", score_threshold=SCORE_THRESHOLD)
    with tempfile.TemporaryDirectory() as folder:
        run = PredictionRun(args.bundle, args.dataroot, args.version, args.check, options, Path(folder))
        predictions, _ = predict_split(run, processes=1)
        return evaluate_split(split, lambda sample, known: predictions.load(sample.token), None).tasks
