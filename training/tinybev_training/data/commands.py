"""``tinybev data``: look at a dataset's targets, measure how fast they load."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
from tqdm import tqdm

from tinybev.draw.picture_files import write_png
from tinybev.errors import UserError
from tinybev.help_text import HelpWithDefaults
from tinybev_training.data.bench import LoaderSpeed, measure
from tinybev_training.data.bev_augmentation import augment_bev
from tinybev_training.data.cache import ImageCache
from tinybev_training.data.camera_inputs import camera_inputs
from tinybev_training.data.dataset import NuScenesDataset, open_dataset
from tinybev_training.data.images import Size
from tinybev_training.data.show import draw_sample
from tinybev_training.data.targets import draw_targets
from tinybev_training.data.training_set import Augmentation
from tinybev_training.long_work.write_file import write_text

DEFAULT_IMAGE_SIZE: Size = (256, 704)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The subcommands and their arguments."""
    commands = parser.add_subparsers(dest="action", required=True)
    show = commands.add_parser("show", help="draw every target of keyframes", formatter_class=HelpWithDefaults)
    _dataset_arguments(show)
    show.add_argument("--sample", help="token of a sample; default: the first of each scene")
    show.add_argument("--every", type=int, metavar="N", help="every N-th keyframe of each scene in place of the first")
    show.add_argument(
        "--augment", type=int, metavar="SEED", help="draw what the network sees in training, of this seed"
    )
    show.add_argument("--image-size", type=_size, default=DEFAULT_IMAGE_SIZE, metavar="HxW", help="for --augment")
    show.add_argument("--out", type=Path, default=Path("out/data-show"), metavar="DIR", help="where the PNGs go")
    bench = commands.add_parser("bench", help="samples per second and core", formatter_class=HelpWithDefaults)
    _dataset_arguments(bench)
    bench.add_argument("--samples", type=int, default=40, help="how many to load")
    bench.add_argument("--image-size", type=_size, default=DEFAULT_IMAGE_SIZE, metavar="HxW", help="network's input")
    bench.add_argument("--workers", type=int, default=0, help="measure the loader with that many processes too")
    bench.add_argument("--cache", type=Path, metavar="DIR", help="keep decoded images there")
    bench.add_argument("--cache-size", type=_size, default=(450, 800), metavar="HxW", help="size they are kept at")
    bench.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")


def run(args: argparse.Namespace) -> int:
    """Runs the chosen subcommand."""
    return _show(args) if args.action == "show" else _bench(args)


def _dataset_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--dataroot", type=Path, required=True, help="folder of a nuScenes-format dataset")
    parser.add_argument("--version", default="v1.0-mini", help="of its tables")
    chosen = parser.add_mutually_exclusive_group()
    chosen.add_argument("--split", help="of the devkit or of splits.json; default: every scene")
    chosen.add_argument("--scene", action="append", help="name of a scene, may be repeated")


def _size(text: str) -> Size:
    """HxW as (height, width)."""
    try:
        height, width = (int(side) for side in text.split("x"))
    except ValueError:
        height, width = 0, 0
    if min(height, width) < 1:
        raise argparse.ArgumentTypeError(f"expected HEIGHTxWIDTH in pixels, as in 256x704, got {text!r}")
    return height, width


def _show(args: argparse.Namespace) -> int:
    dataset = open_dataset(args.dataroot, args.version, args.split, args.scene, keep_imageless=True, progress=True)
    chosen = _chosen(dataset, args.sample, args.every)
    try:
        args.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"the folder {args.out} cannot be made: {error.strerror}; name another with --out.") from error
    for index in tqdm(chosen, "drawing", unit="keyframe"):
        surroundings, cameras = dataset.surroundings(index), None
        if args.augment is not None:
            rng = np.random.default_rng([args.augment, index])
            surroundings = augment_bev(surroundings, Augmentation().bev.draw(rng))
            cameras = camera_inputs(surroundings.frame, args.image_size, Augmentation().image, rng)
        sample = draw_targets(surroundings, dataset.grids)
        number = dataset.keyframes[index].number
        write_png(args.out / f"{sample.scene}-{number:03d}.png", draw_sample(surroundings, sample, cameras))
    print(f"{len(chosen)} pictures in {args.out}. {str(dataset.absences).capitalize()}")
    return 0


def _chosen(dataset: NuScenesDataset, token: str | None, every: int | None) -> list[int]:
    """Indices of the keyframes to draw."""
    if token is not None:
        found = [index for index, where in enumerate(dataset.keyframes) if where.keyframe.token == token]
        if not found:
            raise UserError(f"expected the token of a sample of the chosen scenes, got {token!r}; choose another.")
        return found
    if every is not None and every < 1:
        raise UserError(f"--every: expected at least 1, got {every}.")
    return [i for i, where in enumerate(dataset.keyframes) if (where.number % every if every else where.number) == 0]


def _bench(args: argparse.Namespace) -> int:
    if args.samples < 1:
        raise UserError(f"--samples: expected at least 1, got {args.samples}.")
    cache = ImageCache(args.cache, args.cache_size) if args.cache is not None else None
    dataset = open_dataset(args.dataroot, args.version, args.split, args.scene, cache=cache, progress=True)
    speed = measure(dataset, args.image_size, args.samples, args.workers)
    print(_table(speed))
    if dataset.absences != type(dataset.absences)():
        print(str(dataset.absences).capitalize())
    if args.json is not None:
        write_text(args.json, json.dumps(asdict(speed), indent=1) + "\n")
    return 0


def _table(speed: LoaderSpeed) -> str:
    height, width = speed.image_size
    lines = [
        f"{speed.samples_per_s:.1f} samples/s on one core ({speed.images_per_sample:g} images a sample at "
        f"{width}x{height}, {'from the cache' if speed.cached else 'decoded'}), {speed.decode_share:.0%} decoding",
        *(f"  {name:<8} {milliseconds:7.2f} ms a sample" for name, milliseconds in speed.stage_ms.items()),
    ]
    if speed.workers:
        lines.append(f"{speed.loader_samples_per_s:.1f} samples/s through a loader with {speed.workers} processes")
    return "\n".join(lines)
