"""``tinybev run`` over the scenes of a dataset with 1, 2, ... processes up to the cores: how near to linear it is."""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from tqdm import tqdm

from tinybev.bench.network import DEFAULT_BUNDLE
from tinybev.errors import UserError

DESCRIPTION = "`tinybev run` on 1 to all cores (--dataroot, --scenes, --bundle, --backends with one name); needs ROS"
_ACCOUNT = re.compile(r"(\d+) recordings \((\d+) failed\), (\d+) frames in ([\d.]+) s")
BAR_WIDTH = 40


def run(args: argparse.Namespace) -> list[dict[str, object]]:
    """Measures, prints table and plot, and returns the rows.

    Raises:
        UserError: a run failed.
    """
    cores = len(os.sched_getaffinity(0))
    backend = args.backends[0] if args.backends else "auto"
    _frames_per_second(args, backend, 1, (args.scenes or [])[:1])  # exports the network, and warms the disk's cache
    rows: list[dict[str, object]] = []
    first = 0.0
    for processes in tqdm(range(1, cores + 1), "offline", unit="run"):
        rate = _frames_per_second(args, backend, processes, args.scenes or [])
        first = first or rate
        rows.append(
            {
                "what": "offline",
                "backend": backend,
                "processes": processes,
                "frames_per_second": round(rate, 3),
                "speed_up": round(rate / first, 3),
                "share_of_linear": round(rate / first / processes, 3),
            }
        )
    print("| processes | frames per second | speed-up | share of linear | |\n| ---: | ---: | ---: | ---: | --- |")
    for row, processes in zip(rows, range(1, cores + 1), strict=True):
        share = float(str(row["speed_up"])) / cores
        bar = "#" * round(BAR_WIDTH * share)
        figures = f"{row['frames_per_second']} | {row['speed_up']} | {row['share_of_linear']}"
        print(f"| {processes} | {figures} | `{bar:<{BAR_WIDTH}}` |")
    return rows


def _frames_per_second(args: argparse.Namespace, backend: str, processes: int, scenes: list[str]) -> float:
    """Of one whole run, the start of its processes included."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "tinybev.cli", "run", "--bundle", args.bundle or DEFAULT_BUNDLE]
        command += ["--backend", backend, "--dataroot", str(args.dataroot), "--version", args.version]
        command += ["--out", str(Path(folder) / "results"), "--processes", str(processes)]
        command += ["--scenes", *scenes] if scenes else []
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    account = _ACCOUNT.search(done.stdout)
    if done.returncode or account is None:
        said = (done.stderr.strip().splitlines() or ["nothing"])[-1]
        raise UserError(f"bench offline: expected `tinybev run` to succeed, it said: {said}")
    return int(account[3]) / float(account[4])
