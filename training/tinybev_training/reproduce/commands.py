"""``tinybev reproduce``: the whole experiment, from the world to the tables; stopped or killed, it goes on."""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import replace
from pathlib import Path

import torch

from tinybev.errors import UserError
from tinybev.runtime.backends.torch_device import choose_device, computes_bfloat16
from tinybev_training.long_work.write_file import write_text
from tinybev_training.reproduce.experiment import ROWS, SHIPPED, Experiment
from tinybev_training.reproduce.job import check_made
from tinybev_training.reproduce.page import PLOT_FILE, section, update_page
from tinybev_training.reproduce.pictures import draw_frames
from tinybev_training.reproduce.plots import plot_scores
from tinybev_training.reproduce.runner import Runner
from tinybev_training.reproduce.scale import SCALES, Scale, find_scale
from tinybev_training.reproduce.ship import write_shipped
from tinybev_training.reproduce.summary import summarize

RESULTS_FILE = "results.md"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the command's arguments."""
    parser.add_argument("--scale", default="smoke", help=f"one of {', '.join(SCALES)}")
    parser.add_argument("--out", type=Path, help="folder of everything that is made; default: out/reproduce-SCALE")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="of training and measuring")
    parser.add_argument(
        "--jobs", type=int, default=1, help="trainings and measurements at the same time; they share the CPU's cores"
    )
    names = ", ".join(row.name for row in (*ROWS, SHIPPED))
    parser.add_argument(
        "--runs",
        nargs="+",
        metavar="RUN",
        help=f"only these, with what they need: {names}, as far as the scale has them, each with its seed, as "
        "s3-seed1; default: all",
    )
    parser.add_argument(
        "--page", type=Path, help="page whose part of this scale is replaced, as docs/results.md; default: none"
    )
    parser.add_argument("--tables-only", action="store_true", help="run nothing; make tables of what is finished")
    parser.add_argument(
        "--show", action="store_true", help="print the commands that are still to be run, and do nothing"
    )


def run(args: argparse.Namespace) -> int:
    """Runs what is not done yet and writes tables, curves and pictures; returns 0."""
    if args.jobs < 1:
        raise UserError(f"--jobs: expected at least 1, got {args.jobs}.")
    device = choose_device(args.device)
    scale = _fitting(find_scale(args.scale), device)
    processes = max(1, (os.cpu_count() or 1) // args.jobs)
    experiment = Experiment(scale, args.out or Path("out") / f"reproduce-{scale.name}", device.type, processes)
    check_made(experiment.folder, experiment.jobs)
    jobs = experiment.jobs_of(args.runs) if args.runs else experiment.jobs
    if args.show:
        print("\n".join(job.text for job in jobs if not job.makes.exists()))
        return 0
    if not args.tables_only:
        Runner(experiment.folder, device.type, args.jobs).run(jobs)
    _write(experiment, args.page)
    return 0


def _fitting(scale: Scale, device: torch.device) -> Scale:
    """The scale, in float32 where the device would only be slower in its precision; the table says which it was."""
    if scale.precision == "fp32" or computes_bfloat16(device):
        return scale
    print("reproduce: this machine has no bfloat16 instructions that PyTorch uses; training in fp32.", file=sys.stderr)
    return replace(scale, precision="fp32")


def _write(experiment: Experiment, page: Path | None) -> None:
    """Tables, curves and pictures, in the experiment's folder and, with their pictures beside it, in the page."""
    rows = summarize(experiment)
    if not rows:
        raise UserError(f"{experiment.folder}: expected at least one measured row, found none; run it first.")
    for text_file, images in _places(experiment, page):
        images.mkdir(parents=True, exist_ok=True)
        plot = [images / PLOT_FILE] if plot_scores(experiment, images / PLOT_FILE) else []
        pictures = [*plot, *draw_frames(experiment, images)]
        text = section(experiment, rows, [os.path.relpath(picture, text_file.parent) for picture in pictures])
        if text_file == page:
            update_page(page, experiment.scale.name, text)
        else:
            write_text(text_file, text)
            print(text)
        print(f"reproduce: wrote {text_file}")
    if (folder := write_shipped(experiment)) is not None:
        print(f"reproduce: wrote {folder}")


def _places(experiment: Experiment, page: Path | None) -> list[tuple[Path, Path]]:
    """The text files to write, each with the folder of its pictures."""
    places = [(experiment.folder / RESULTS_FILE, experiment.folder / "pictures")]
    if page is not None:
        places.append((page, page.parent / "images" / f"results_{experiment.scale.name}"))
    return places
