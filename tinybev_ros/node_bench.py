"""Where the time of a frame goes in the running node: its own statistics, of plays of a recording in real time."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import asdict

import torch

from tinybev.bench.network import precision_of
from tinybev.bench.playback import outside_share
from tinybev.bench.speed_row import SpeedRow
from tinybev_ros.node_bench_play import Play
from tinybev_ros.node_bench_turns import Measured, Plays, Settings, measure, settings_from, table
from tinybev_ros.statistics import Percentiles

DESCRIPTION = "stages of the running node (--bag, --plays, --bundle, --backends, --threads)"
WHAT = "node"
NETWORK, FRAME = "network", "frame"
PART_OF: Mapping[str, str] = {
    "early": "",
    "queue": "",
    "inputs": FRAME,
    "decode": FRAME,
    "preprocess": FRAME,
    NETWORK: FRAME,
    "splat": NETWORK,
    "postprocess": FRAME,
    "tracker": "postprocess",
    "publish": FRAME,
    "conversion": "publish",
    FRAME: "",
}
"""The stages as ``tinybev_ros.statistics`` names them, in the order of a frame, and what each is a part of."""


def run(args: argparse.Namespace) -> list[dict[str, object]]:
    """Measures, prints the table, and returns its rows."""
    settings = settings_from(args)
    measured = measure(settings)
    rows = node_rows(measured, settings)
    print(table(rows, measured.absent))
    return rows


def node_rows(measured: Measured, settings: Settings) -> list[dict[str, object]]:
    """A row for each backend and stage."""
    return [row for plays in measured.plays.values() for row in _rows_of(plays, settings)]


def speed_row(what: str, variant: str, plays: Plays, settings: Settings, times: Percentiles) -> dict[str, object]:
    """The keys that all benches have, and the share of other work."""
    backend = plays.all[0].report.backend
    row = SpeedRow(
        what=what,
        variant=variant,
        backend=backend,
        precision=precision_of(backend),
        threads=settings.threads or torch.get_num_threads(),
        p50_ms=round(times.p50, 3),
        p95_ms=round(times.p95, 3),
        ratio_to_torch_fp32=None,
        gflops=None,
        share_of_peak=None,
        peak_memory_mb=0.0,
        samples=len(plays.counted),
        disturbed=not plays.clean,
    )
    peak_mb, foreign = plays.peak_memory_mb, plays.foreign_share
    return asdict(row) | {
        "peak_memory_mb": None if peak_mb is None else round(peak_mb),
        "foreign_share": None if foreign is None else round(foreign, 4),
    }


def _rows_of(plays: Plays, settings: Settings) -> list[dict[str, object]]:
    times = {stage: _over_plays(plays, stage) for stage in PART_OF if all(stage in told(one) for one in plays.counted)}
    weights = plays.all[0].report.weights
    assert weights is not None
    rows = []
    for stage, stage_times in times.items():
        within = PART_OF[stage] or None
        rows.append(
            speed_row(WHAT, f"{weights.name} {stage}", plays, settings, stage_times)
            | {
                "stage": stage,
                "part_of": within,
                "share_of_frame": round(stage_times.p50 / times[FRAME].p50, 4) if within or stage == FRAME else None,
                "outside_network_share": (
                    round(outside_share(stage_times.p50, times[NETWORK].p50), 4) if stage == FRAME else None
                ),
            }
        )
    return rows


def told(one: Play) -> dict[str, Percentiles]:
    """All that the node told of its times in a play."""
    return one.report.stages | one.report.others


def _over_plays(plays: Plays, stage: str) -> Percentiles:
    """The medians, over the plays, of what the node told of a stage."""
    return Percentiles(
        p50=plays.median(lambda one: told(one)[stage].p50), p95=plays.median(lambda one: told(one)[stage].p95)
    )
