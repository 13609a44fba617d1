"""The rows of the speed benches: one shape for all of them, as JSON and as a table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass

from tinybev.bench.interleaved import Timing


@dataclass(frozen=True)
class SpeedRow:
    """One variant.

    Attributes:
        what: network, path, splat, decode, scale, train, node or end_to_end.
        variant: of the student, or of the work.
        backend: what ran it.
        precision: float32, bfloat16, int8 or uint8.
        threads: it was allowed.
        p50_ms, p95_ms: wall time.
        ratio_to_torch_fp32: how many times faster than the yardstick of the same run: for the network torch eager in
            float32, for the splat Lift-Splat-Shoot's cumsum in torch and float32, for decoding at full size.
        gflops: billions of floating-point operations a second, two for a multiply-accumulate; None: not counted.
        share_of_peak: of the highest rate that a convolution reached in the same run and precision.
        peak_memory_mb: resident memory of the process at its highest, all libraries included, MiB.
        samples: turns that count; ``disturbed`` where too few were clean and all were taken.
        p99_ms: wall time, of as many samples as there are; None where it is not told.
    """

    what: str
    variant: str
    backend: str
    precision: str
    threads: int
    p50_ms: float
    p95_ms: float
    ratio_to_torch_fp32: float | None
    gflops: float | None
    share_of_peak: float | None
    peak_memory_mb: float
    samples: int
    disturbed: bool
    p99_ms: float | None = None


def speed_row(
    what: str,
    variant: str,
    backend: str,
    precision: str,
    threads: int,
    timing: Timing,
    yardstick: Timing | None,
    operations: float | None = None,
    peak_gflops: float | None = None,
) -> SpeedRow:
    """The row of one timing.

    Args:
        what, variant, backend, precision, threads: see ``SpeedRow``.
        timing: of the variant.
        yardstick: of what it is compared with; None where that did not run.
        operations: floating-point operations of one run.
        peak_gflops: the highest rate of the precision.
    """
    p50_ms = timing.percentile_ms(50)
    gflops = None if operations is None else operations / p50_ms / 1e6
    return SpeedRow(
        what=what,
        variant=variant,
        backend=backend,
        precision=precision,
        threads=threads,
        p50_ms=round(p50_ms, 3),
        p95_ms=round(timing.percentile_ms(95), 3),
        ratio_to_torch_fp32=None if yardstick is None else round(yardstick.percentile_ms(50) / p50_ms, 3),
        gflops=None if gflops is None else round(gflops, 2),
        share_of_peak=None if gflops is None or not peak_gflops else round(gflops / peak_gflops, 3),
        peak_memory_mb=round(timing.peak_memory_mb),
        samples=sum(not (timing.clean and one.disturbed) for one in timing.samples),
        disturbed=not timing.clean,
        p99_ms=round(timing.percentile_ms(99), 3),
    )


def table(rows: Iterable[SpeedRow], absent: Mapping[str, str]) -> str:
    """The rows as a Markdown table, and a line for each variant that could not run."""
    head: Sequence[str] = tuple(SpeedRow.__annotations__)
    lines = [f"| {' | '.join(head)} |", "|" + " --- |" * len(head)]
    lines += [f"| {' | '.join('' if cell is None else str(cell) for cell in asdict(row).values())} |" for row in rows]
    lines += [f"not run: {name}: {reason}" for name, reason in absent.items()]
    return "\n".join(lines)
