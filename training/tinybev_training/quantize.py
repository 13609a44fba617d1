"""``tinybev quantize``: calibrates the int8 network of a bundle on frames of a dataset."""

from __future__ import annotations

import argparse
from pathlib import Path

from tqdm import tqdm

from tinybev.errors import UserError
from tinybev.model.student import StudentInputs
from tinybev.runtime.backends.openvino_int8 import quantize
from tinybev.runtime.bundle import load_bundle
from tinybev.runtime.preprocess import Preprocessor
from tinybev_training.data.dataset import NuScenesDataset, open_dataset


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
        default=[],
        metavar="PATTERN",
        help="layers that stay in floating point: regular expressions of OpenVINO's names",
    )


def run(args: argparse.Namespace) -> int:
    """Calibrates, and prints where the result is; the backend openvino-int8 finds it by the bundle's checksum."""
    if args.frames < 1:
        raise UserError(f"--frames: expected at least 1, got {args.frames}.")
    bundle = load_bundle(args.bundle)
    dataset = open_dataset(args.dataroot, args.version, args.split, with_lidar=False)
    preprocessor = Preprocessor(bundle.config, use_ego_status=False)
    folder = quantize(bundle, _frames(dataset, preprocessor, args.frames), args.keep)
    print(f"{folder}: {bundle.info.name} in int8, calibrated on {args.version} {args.split}")
    return 0


def _frames(dataset: NuScenesDataset, preprocessor: Preprocessor, count: int) -> list[StudentInputs]:
    """Prepared as the robot does it."""
    indices = sorted({number * len(dataset) // count for number in range(count)})
    with tqdm(indices, "reading frames", unit="frame") as bar:
        return [preprocessor.prepare(dataset.surroundings(index).frame).inputs for index in bar]
