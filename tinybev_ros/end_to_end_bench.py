"""From the exposure of a camera to the arrival of the result at a subscriber, in plays of a recording in real time."""

from __future__ import annotations

import argparse

import numpy as np

from tinybev.bench.playback import Freshness, freshness
from tinybev.errors import UserError
from tinybev_ros.node_bench import speed_row
from tinybev_ros.node_bench_turns import Measured, Plays, Settings, measure, settings_from, table
from tinybev_ros.statistics import Percentiles

DESCRIPTION = "age of results at a subscriber, results per second (--bag, --plays, --bundle, --backends, --threads)"
WHAT = "end_to_end"


def run(args: argparse.Namespace) -> list[dict[str, object]]:
    """Measures, prints the table, and returns its rows."""
    settings = settings_from(args)
    measured = measure(settings)
    rows = end_to_end_rows(measured, settings)
    print(table(rows, measured.absent))
    return rows


def end_to_end_rows(measured: Measured, settings: Settings) -> list[dict[str, object]]:
    """A row for each backend; its percentiles are those of the age.

    Raises:
        UserError: the recording is no longer than the warm-up.
    """
    return [_row(measured, plays, settings) for plays in measured.plays.values()]


def _row(measured: Measured, plays: Plays, settings: Settings) -> dict[str, object]:
    fresh = [freshness(one.playback, settings.warm_up_s) for one in plays.counted]
    weights = plays.all[0].report.weights
    assert weights is not None
    starts_s = [one.start_to_result_s for one in plays.all]
    return speed_row(WHAT, f"{weights.name} {measured.recording.name}", plays, settings, _ages(fresh, settings)) | {
        "sets_per_s": round(_median([one.sets_per_s for one in fresh]), 2),
        "results_per_s": round(_median([one.results_per_s for one in fresh]), 2),
        "used_share": round(_median([one.used_share for one in fresh]), 4),
        "start_to_result_s": round(_median(starts_s[1:] or starts_s), 2),
        "results": sum(one.results for one in fresh),
        "sets": sum(one.sets for one in fresh),
    }


def _ages(fresh: list[Freshness], settings: Settings) -> Percentiles:
    p50_ms = [one.age_p50_ms for one in fresh if one.age_p50_ms is not None]
    p95_ms = [one.age_p95_ms for one in fresh if one.age_p95_ms is not None]
    if not p50_ms:
        raise UserError(
            f"no result came after the first {settings.warm_up_s:g} s of the recording, which do not count; "
            "expected a longer one, or a faster network."
        )
    return Percentiles(_median(p50_ms), _median(p95_ms))


def _median(values: list[float]) -> float:
    return float(np.median(values))
