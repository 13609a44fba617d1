"""``tinybev run``: a bundle over many bags or scenes; each becomes a bag of results and a summary.

Recording i belongs to process i modulo the number of processes, here (``--processes``) or on many machines
(``torchrun``, which sets RANK and WORLD_SIZE). Nothing is exchanged. A summary is written last, so a recording that has
one is done, and any number of processes may go on with the rest.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from rclpy.serialization import serialize_message
from tqdm import tqdm

import tinybev
import tinybev_ros
from tinybev.config import NodeConfig, pipeline_options
from tinybev.errors import UserError
from tinybev.runtime.backends.choice import computed_sha256
from tinybev.runtime.bundle import load_bundle
from tinybev.runtime.code_digest import files_digest, package_files
from tinybev.runtime.options import BACKENDS
from tinybev.runtime.pipeline import Pipeline
from tinybev.types import StageTimes
from tinybev_ros.bag_frames import BagFrames
from tinybev_ros.bag_writer import BagFormat, writing_bag
from tinybev_ros.complaints import Complaints
from tinybev_ros.conversions import header_to_msg
from tinybev_ros.offline_recordings import BagRecording, Recording, scenes_of
from tinybev_ros.outputs import OUTPUTS
from tinybev_ros.topics import NODE

RESULTS, SUMMARY, FAILURE = "results", "summary.json", "failure.txt"


@dataclass(frozen=True)
class Job:
    """One recording, the folder of its results, with what it is run, and the checksums of the weights and the code."""

    recording: Recording
    out: Path
    config: NodeConfig
    weights: str
    code: str


@dataclass(frozen=True)
class Outcome:
    """How many frames a job made, and the sentence of its failure, empty where it succeeded."""

    frames: int
    failure: str = ""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of ``tinybev run``."""
    parser.add_argument(
        "--bundle", required=True, help="weights and manifest: a folder, shipped:mini, or untrained:VARIANT[:SEED]"
    )
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--bags", nargs="+", type=Path, help="rosbag2 folders, or .mcap or .db3 files")
    source.add_argument("--dataroot", type=Path, help="folder of a nuScenes-format dataset, in place of bags")
    parser.add_argument("--version", default="v1.0-mini", help="of the dataset's tables")
    chosen = parser.add_mutually_exclusive_group()
    chosen.add_argument("--split", help="of the devkit or of splits.json; every scene where neither is given")
    chosen.add_argument("--scenes", nargs="+", default=[], metavar="NAME", help="scenes of the dataset")
    parser.add_argument("--out", required=True, type=Path, help="folder of the results; what is done there is kept")
    parser.add_argument("--processes", default=1, type=int, help="on this machine; with torchrun leave it at 1")
    parser.add_argument("--threads", default=1, type=int, help="of the network, in each process")
    parser.add_argument("--backend", default="auto", choices=BACKENDS, help="what runs the network")
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"), help="where the network runs")


def run(args: argparse.Namespace) -> int:
    """Runs what is not done; 1 where a recording failed (0 under torchrun, which would stop the others)."""
    rank, world = _place()
    if args.processes < 1 or (world > 1 and args.processes > 1):
        raise UserError(
            f"expected --processes of at least 1, and 1 under torchrun, got {args.processes} in a world of {world}; "
            "set --processes, or torchrun's --nproc-per-node."
        )
    config = NodeConfig.from_values(
        {"bundle": args.bundle, "threads": args.threads, "backend": args.backend, "device": args.device}
    )
    jobs = _jobs(_recordings(args), args.out, config)[rank::world]
    todo = [job for job in jobs if not _is_done(job)]
    outcomes: list[Outcome] = []
    started = time.monotonic()
    with tqdm(total=len(jobs), initial=len(jobs) - len(todo), desc="run", unit="recording", position=rank) as bar:
        for job, outcome in _run_all(todo, args.processes):
            if outcome.failure:
                bar.write(f"tinybev run: {job.recording}: {outcome.failure}", file=sys.stderr)
            outcomes.append(outcome)
            bar.update()
    who = f"process {rank} of {world}: " if world > 1 else ""
    print(f"{who}{_account(outcomes, time.monotonic() - started)}; {len(jobs) - len(todo)} recordings were done before")
    return 1 if world == 1 and any(outcome.failure for outcome in outcomes) else 0


def _account(outcomes: Sequence[Outcome], seconds: float) -> str:
    frames = sum(outcome.frames for outcome in outcomes)
    failed = sum(bool(outcome.failure) for outcome in outcomes)
    return (
        f"{len(outcomes)} recordings ({failed} failed), {frames} frames in {seconds:.1f} s, start of the network "
        f"included: {frames / max(seconds, 1e-9):.2f} frames per second"
    )


def _recordings(args: argparse.Namespace) -> list[Recording]:
    if args.dataroot is not None:
        return [*scenes_of(args.dataroot, args.version, args.split, args.scenes)]
    if args.split or args.scenes:
        raise UserError("expected --dataroot with --split or --scenes, got --bags; name the dataset, or bags alone.")
    return [BagRecording(bag) for bag in args.bags]


def _place() -> tuple[int, int]:
    """Which process this is, and of how many, as torchrun says; 0 of 1 without it."""
    rank, world = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    return rank, world


def _jobs(recordings: Sequence[Recording], out: Path, config: NodeConfig) -> list[Job]:
    names = [recording.name for recording in recordings]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UserError(
            f"expected bags of different names, got several called {', '.join(twice)}, whose results would share a "
            "folder; rename them, or run them with another --out."
        )
    weights = computed_sha256(load_bundle(config.bundle), config.backend)
    code = files_digest(package_files(tinybev, tinybev_ros))
    return [Job(recording, out / recording.name, config, weights, code) for recording in recordings]


def _identity(job: Job) -> dict[str, Any]:
    """What results depend on."""
    options = asdict(pipeline_options(job.config))
    return {**job.recording.identity, "weights": job.weights, "code": job.code, "options": options}


def _is_done(job: Job) -> bool:
    path = job.out / SUMMARY
    if not path.is_file():
        return False
    try:
        of = json.loads(path.read_text())["of"]
    except (OSError, ValueError, KeyError, TypeError):
        of = None
    if of != _identity(job):
        raise UserError(
            f"expected an empty folder or results of this very run in {job.out}, its {SUMMARY} names another "
            "recording, other weights, code or options; name another --out, or remove that folder."
        )
    return True


def _run_all(jobs: Sequence[Job], processes: int) -> Iterator[tuple[Job, Outcome]]:
    """Runs the jobs; yields each with its outcome."""
    if processes == 1 or len(jobs) < 2:
        for job in jobs:
            yield job, run_job(job)
        return
    # A fresh interpreter each: torch's threads do not survive a fork.
    with ProcessPoolExecutor(min(processes, len(jobs)), multiprocessing.get_context("spawn")) as pool:
        futures = {pool.submit(run_job, job): job for job in jobs}
        try:
            for future in as_completed(futures):
                yield futures[future], future.result()
        except BrokenProcessPool as error:
            raise UserError("a process was killed, perhaps for memory; start again with fewer --processes.") from error
        finally:
            for future in futures:
                future.cancel()


_PIPELINES: dict[NodeConfig, Pipeline] = {}


def run_job(job: Job) -> Outcome:
    """Runs one recording from its start."""
    try:
        pipeline = _PIPELINES.get(job.config)
        if pipeline is None:
            pipeline = _PIPELINES[job.config] = Pipeline(load_bundle(job.config.bundle), pipeline_options(job.config))
        summary = _run_recording(job, pipeline)
    except UserError as error:
        return _failed(job, str(error))
    except Exception as error:  # whatever it is, the other recordings can do without this one
        return _failed(job, f"{type(error).__name__}: {error}", traceback.format_exc())
    (job.out / FAILURE).unlink(missing_ok=True)
    unfinished = job.out / f".{SUMMARY}"
    unfinished.write_text(json.dumps(summary, indent=1) + "\n")
    unfinished.replace(job.out / SUMMARY)
    return Outcome(summary["frames"])


def _failed(job: Job, sentence: str, details: str = "") -> Outcome:
    job.out.mkdir(parents=True, exist_ok=True)
    (job.out / FAILURE).write_text(f"{sentence}\n{details}")
    return Outcome(0, sentence)


def _run_recording(job: Job, pipeline: Pipeline) -> dict[str, Any]:
    """Writes the bag of results; its summary."""
    said: dict[str, None] = {}  # what comes and goes is told every time, and kept once
    complaints = Complaints(said.setdefault)
    times: list[StageTimes] = []
    sets = 0
    pipeline.start_anew()
    with job.recording.open() as messages, writing_bag(job.out / RESULTS, BagFormat(), overwrite=True) as results_bag:
        frames = BagFrames(messages, job.config, complaints)
        for ready_ns, built in frames:
            sets += 1
            if built is None:
                continue
            if not built.continues:
                pipeline.reset()
            try:
                results = pipeline.run(built.frame, spread=False)
            except UserError as error:
                complaints.raise_about("inference", str(error))
                continue
            complaints.settle("inference")
            for camera, reason in pipeline.rejected.items():
                complaints.raise_about(f"{camera} picture", f"{reason}; the frame goes without it.")
            times.append(results.times)
            header = header_to_msg(results.stamp_ns, job.config.base_frame)
            for output in OUTPUTS:
                data = serialize_message(output.build(results, header))
                results_bag.write_serialized(output.topic.replace("~", f"/{NODE}"), output.type_name, ready_ns, data)
    if not times:
        raise UserError(f"no frame of {job.recording} could be used: {'; '.join(said) or 'no set of images in it'}")
    return {
        "of": _identity(job),
        "device": pipeline.device,
        "backend": pipeline.backend,
        "frames": len(times),
        "sets": sets,
        "used_share_of_images": round(frames.used / frames.images, 4),
        "median_ms": {
            stage.name: round(float(np.median([getattr(time, stage.name) for time in times])), 3)
            for stage in fields(StageTimes)
        },
        "complaints": list(said),
    }
