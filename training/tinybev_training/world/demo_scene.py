"""The demo's dataset: one scenario that is kept in this folder, rendered in nuScenes' format. No simulator needed.

``tinybev demo`` runs this module as a command where it is given no recording.
"""

from __future__ import annotations

import argparse
import os
import shutil
from collections.abc import Callable
from importlib import resources
from pathlib import Path

from tqdm import tqdm

from tinybev.errors import UserError
from tinybev_training.long_work.folder_lock import alone_in
from tinybev_training.long_work.lost_processes import explaining_lost_processes
from tinybev_training.long_work.write_file import refusing
from tinybev_training.world.dataset_writer import VAL, VERSION, assemble, drawing_code, finish_scene
from tinybev_training.world.keyframes import keyframe_stamps
from tinybev_training.world.recording import Recording
from tinybev_training.world.scenario import Scenario, load_scenario
from tinybev_training.world.scene_writer import write_scene
from tinybev_training.world.weather import Weather

LOCATION = "boston-seaport"
TILE_M = 600.0
RECORDING = Recording(height=360, width=640, camera_hz=8)
"""Small enough that two cores render it in about a minute, at a rate at which the node is worth watching."""
WEATHER = Weather(sun_azimuth=0.9, sun_elevation=0.72, clouds=0.22)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    parser.add_argument("--out", type=Path, required=True, help="folder of the dataset")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1, help="that render side by side")


def run(args: argparse.Namespace) -> int:
    """Renders the dataset with a progress bar, unless it is there; returns 0."""
    total = len(keyframe_stamps(demo_scenario()))
    with (
        alone_in(args.out),
        refusing(args.out),
        explaining_lost_processes("--processes"),
        tqdm(total=total, unit="sample", desc="rendering", disable=None) as bar,
    ):
        write_demo_dataset(args.out, processes=args.processes, progress=lambda done, _: bar.update(done - bar.n))
        bar.update(total - bar.n)
    return 0


def demo_scenario() -> Scenario:
    """The scenario that comes with the package."""
    with resources.as_file(resources.files("tinybev_training.world") / "demo.npz") as path:
        return load_scenario(path)


def write_demo_dataset(
    out: Path,
    *,
    recording: Recording = RECORDING,
    weather: Weather = WEATHER,
    processes: int | None = None,
    progress: Callable[[int, int], object] = lambda done, total: None,
) -> tuple[str, str]:
    """Renders the demo's scene into ``out``; one that is there already, whole and of this code, is left as it is.

    Args:
        out: folder of the dataset, of which an earlier one of the demo's is replaced.
        recording: rates and sizes.
        weather: of the scene.
        processes: that render side by side; one for every core where None.
        progress: called with the number of keyframes rendered and of all of them.

    Returns:
        The version folder's name and the scene's name.

    Raises:
        UserError: ``out`` holds something else.
    """
    scenario = demo_scenario()
    mark = out / ".world" / "demo.txt"
    wanted = f"{scenario.name} {recording} {weather} {drawing_code()}\n"
    if mark.is_file() and mark.read_text() == wanted and (out / VERSION / "scene.json").is_file():
        return VERSION, scenario.name
    if out.exists() and any(out.iterdir()):
        if not mark.is_file():
            raise UserError(
                f"expected an empty folder or an earlier dataset of the demo's, but {out} holds something else; remove "
                "it, or name another with --out."
            )
        for old in out.iterdir():
            if old.is_dir() and old != mark.parent:
                shutil.rmtree(old)
    mark.parent.mkdir(parents=True, exist_ok=True)
    mark.write_text("")  # whose folder this is, should it be stopped; what is wanted is written when all of it is there
    total = len(keyframe_stamps(scenario))
    done = iter(range(1, total + 1))
    origin = (TILE_M / 2, TILE_M / 2)
    rows = write_scene(
        out,
        scenario,
        weather,
        recording,
        LOCATION,
        origin,
        lambda: progress(next(done), total),
        processes or os.cpu_count() or 1,
    )
    finish_scene(out, scenario, rows)
    assemble(out, [(scenario.name, LOCATION, origin)], {VAL: [scenario.name]}, TILE_M)
    mark.write_text(wanted)
    return VERSION, scenario.name
