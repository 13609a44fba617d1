"""``tinybev world``: writes a synthetic dataset in nuScenes' format."""

from __future__ import annotations

import argparse
import multiprocessing
import os
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path

from tqdm import tqdm

from tinybev.errors import UserError
from tinybev_training.long_work.folder_lock import alone_in
from tinybev_training.long_work.lost_processes import explaining_lost_processes
from tinybev_training.long_work.write_file import refusing
from tinybev_training.world.dataset_writer import (
    VERSION,
    Order,
    assemble,
    begin,
    default_splits,
    is_finished,
    keep_to_one_code,
    make_scene,
    named_splits,
    scene_name,
    tile_of,
)
from tinybev_training.world.picture_jobs import use_one_thread
from tinybev_training.world.recording import Recording


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of ``tinybev world``."""
    parser.add_argument("--scenes", type=int, default=10, help="how many scenes; more can be added later")
    parser.add_argument(
        "--seed", type=int, default=0, help="the same seed gives the same scenes; on one machine byte for byte"
    )
    parser.add_argument("--out", type=Path, default=Path("out/world"), help="folder of the dataset")
    parser.add_argument("--duration", type=float, default=20.0, help="seconds a scene")
    parser.add_argument(
        "--camera-hz", type=int, default=2, help="pictures a second and camera; above 2, sweeps are rendered too"
    )
    parser.add_argument(
        "--size", type=int, nargs=2, default=(800, 450), metavar=("WIDTH", "HEIGHT"), help="of the pictures, pixels"
    )
    parser.add_argument(
        "--weather",
        nargs="+",
        default=[],
        metavar="NAME=STRENGTH",
        help="e.g. night=1 fog=0.6 rain=0.5 blur=0.3 dead=CAM_BACK, for every scene; where left out, sun, clouds, "
        "night, fog and rain are drawn at random, and nothing is blurred or dead",
    )
    parser.add_argument(
        "--splits",
        nargs="+",
        default=[],
        metavar="NAME=FIRST-LAST",
        help="scenes by their numbers, as in few=0-23 rest=24-53; in place of world_train and world_val",
    )
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1, help="scenes rendered at the same time")


def run(args: argparse.Namespace) -> int:
    """Writes the dataset; finished scenes of an earlier run are kept. Returns 0."""
    if args.scenes < 1 or args.processes < 1 or args.seed < 0:
        raise UserError(
            f"expected at least one scene, one process and a seed from 0, got --scenes {args.scenes} "
            f"--processes {args.processes} --seed {args.seed}."
        )
    splits = named_splits(args.splits, args.scenes) if args.splits else default_splits(args.scenes)
    width, height = args.size
    order = Order(args.seed, args.duration, Recording(height, width, args.camera_hz), tuple(args.weather))
    with alone_in(args.out), refusing(args.out), explaining_lost_processes("--processes"):
        begin(args.out, order)
        missing = [index for index in range(args.scenes) if not is_finished(args.out, index)]
        kept = args.scenes - len(missing)
        if kept:
            print(f"world: {kept} of {args.scenes} scenes are there already")
        if missing:
            keep_to_one_code(args.out)
        render(args.out, order, missing, args.processes)
        scenes = [(scene_name(index), *tile_of(index, order.tile_m)) for index in range(args.scenes)]
        assemble(args.out, scenes, splits, order.tile_m)
    print(f"world: wrote {args.scenes} scenes, {args.scenes * order.keyframes} samples, to {args.out / VERSION}")
    return 0


def render(root: Path, order: Order, indices: list[int], processes: int) -> None:
    """Makes scenes, several at a time, with a bar over their samples."""
    if not indices:
        return
    with tqdm(total=len(indices) * order.keyframes, unit="sample", desc="rendering", disable=None) as bar:
        if len(indices) == 1 or processes == 1:
            for index in indices:
                make_scene(root, order, index, bar.update, processes)
            return
        context = multiprocessing.get_context("spawn")  # neither torch's nor OpenCV's threads survive a fork
        done: Synchronized[int] = context.Value("q", 0)
        with ProcessPoolExecutor(
            min(processes, len(indices)), mp_context=context, initializer=_start, initargs=(done,)
        ) as pool:
            running = {pool.submit(_make_scene, root, order, index) for index in indices}
            try:
                while running:
                    finished, running = wait(running, timeout=0.5, return_when=FIRST_COMPLETED)
                    bar.update(done.value - bar.n)
                    for future in finished:
                        future.result()
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise


_done: Synchronized[int] | None = None


def _start(done: Synchronized[int]) -> None:
    global _done
    _done = done
    use_one_thread()


def _make_scene(root: Path, order: Order, index: int) -> None:
    make_scene(root, order, index, _tick)


def _tick() -> None:
    assert _done is not None
    with _done.get_lock():
        _done.value += 1
