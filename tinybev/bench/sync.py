"""How well six camera streams are put together to sets, on the real stamps of a nuScenes-format dataset.

Each scene is fed three times: as it is, with each message held up by 0 to 30 ms, and with 2 % of them lost. What comes
out is held against the revolutions of ``camera_stamps``. Where ``message_filters`` is installed, its
ApproximateTimeSynchronizer is measured beside ours; it is imported by name, as a yardstick, and needed by nothing.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import random
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import numpy as np
from tqdm import tqdm

from tinybev.bench.camera_stamps import CameraStamp, read_camera_stamps
from tinybev.frames import FrameAssembler, SyncOptions
from tinybev.types import CAMERAS

SLOP_S = 0.045
"""The slop at which ApproximateTimeSynchronizer does best on nuScenes: just above the span of a revolution."""

QUEUE = 10


@dataclass(frozen=True)
class Transport:
    """What happens to messages on their way: each is held up by up to ``jitter_s``, a share of ``lost`` never comes."""

    name: str
    jitter_s: float = 0.0
    lost: float = 0.0


TRANSPORTS = (Transport("in order"), Transport("0-30 ms jitter", jitter_s=0.03), Transport("2 % lost", lost=0.02))


@dataclass(frozen=True)
class Emitted:
    """A set that left at ``at_ns``; ``joined`` where it says itself that it is of two revolutions."""

    images: tuple[CameraStamp, ...]
    at_ns: int
    joined: bool = False


Received = tuple[int, CameraStamp]
Synchronizer = Callable[[Sequence[Received]], Iterable[Emitted]]


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        method: the synchronizer.
        run: the transport.
        complete: revolutions of which all six images were received.
        exact: those that came out as one set, once and unmixed.
        keyframes: keyframe samples of which all six images were received.
        keyframes_exact: those that came out as one set, once and unmixed.
        sets: all that came out.
        mixed: sets of several revolutions that do not say so.
        joined: sets of several revolutions that say so.
        partial: sets with fewer than six images.
        reused: images that came out more than once.
        in_order: whether the stamps of the sets only grow.
        wait_ms_p95: from the arrival of a set's last image to its leaving, 95th percentile.
        cpu_ms_per_set: processor time.
    """

    method: str
    run: str
    complete: int
    exact: int
    keyframes: int
    keyframes_exact: int
    sets: int
    mixed: int
    joined: int
    partial: int
    reused: int
    in_order: bool
    wait_ms_p95: float
    cpu_ms_per_set: float


DESCRIPTION = "synchronizer against true revolutions; keys of a row: " + ", ".join(Row.__annotations__)


def run(args: argparse.Namespace) -> list[dict[str, Any]]:
    """Measures every synchronizer under every transport, prints the table, and returns its rows."""
    scenes = read_camera_stamps(args.dataroot, args.version, args.scenes)
    pairs = [(name, transport) for name in synchronizers() for transport in TRANSPORTS]
    rows = [
        measure(name, synchronizers()[name], transport, scenes)
        for name, transport in tqdm(pairs, unit="run", leave=False, disable=None)
    ]
    images = sum(len(stamps) for stamps in scenes.values())
    print(f"{images} images of {', '.join(scenes)}\n\n{table(rows)}")
    return [asdict(row) for row in rows]


def synchronizers() -> dict[str, Synchronizer]:
    """What is compared, by name."""
    found: dict[str, Synchronizer] = {
        "tinybev": lambda received: assemble(received, SyncOptions()),
        "tinybev, no rig known": lambda received: assemble(received, SyncOptions(known_rigs=())),
    }
    if importlib.util.find_spec("message_filters") is not None:
        found[f"message_filters, slop {SLOP_S} s"] = approximate_time
    return found


def measure(
    method: str, synchronizer: Synchronizer, transport: Transport, scenes: Mapping[str, Sequence[CameraStamp]]
) -> Row:
    """Feeds every scene, each to a fresh synchronizer, and judges what comes out."""
    counts: Counter[str] = Counter()
    waits_ms: list[float] = []
    in_order, cpu_s = True, 0.0
    for scene, stamps in scenes.items():
        received = sent_over(transport, stamps, seed=scene)
        started_s = time.process_time()
        emitted = list(synchronizer(received))
        cpu_s += time.process_time() - started_s
        arrival_ns = {image: arrival for arrival, image in received}
        waits_ms += [(each.at_ns - max(arrival_ns[image] for image in each.images)) / 1e6 for each in emitted]
        newest_ns = [max(image.stamp_ns for image in each.images) for each in emitted]
        in_order &= all(before < after for before, after in pairwise(newest_ns))
        counts.update(judged(received, emitted))
    return Row(
        method=method,
        run=transport.name,
        **{key: counts[key] for key in ("complete", "exact", "keyframes", "keyframes_exact")},
        **{key: counts[key] for key in ("sets", "mixed", "joined", "partial", "reused")},
        in_order=in_order,
        wait_ms_p95=round(float(np.percentile(waits_ms, 95)), 1) if waits_ms else 0.0,
        cpu_ms_per_set=round(1e3 * cpu_s / max(1, counts["sets"]), 3),
    )


def sent_over(transport: Transport, stamps: Sequence[CameraStamp], seed: str) -> list[Received]:
    """Arrival time and image, in order of arrival; the same for the same seed."""
    chance = random.Random(f"{transport.name} {seed}")
    kept = [image for image in stamps if chance.random() >= transport.lost]
    received = [(image.stamp_ns + round(chance.uniform(0, transport.jitter_s) * 1e9), image) for image in kept]
    return sorted(received, key=lambda item: item[0])


def judged(received: Sequence[Received], emitted: Sequence[Emitted]) -> Counter[str]:
    """The counts of a ``Row`` for one scene."""
    revolutions: dict[int, set[CameraStamp]] = defaultdict(set)
    for _, image in received:
        revolutions[image.revolution].add(image)
    complete = {frozenset(images) for images in revolutions.values() if len(images) == len(CAMERAS)}
    keyframes = {images for images in complete if all(image.is_keyframe for image in images)}
    times_out = Counter(frozenset(each.images) for each in emitted)
    uses = Counter(image for each in emitted for image in each.images)
    several = [each for each in emitted if len({image.revolution for image in each.images}) > 1]
    return Counter(
        complete=len(complete),
        exact=sum(times_out[images] == 1 for images in complete),
        keyframes=len(keyframes),
        keyframes_exact=sum(times_out[images] == 1 for images in keyframes),
        sets=len(emitted),
        mixed=sum(not each.joined for each in several),
        joined=sum(each.joined for each in several),
        partial=sum(len(each.images) < len(CAMERAS) for each in emitted),
        reused=sum(count > 1 for count in uses.values()),
    )


def assemble(received: Sequence[Received], options: SyncOptions) -> Iterator[Emitted]:
    """Ours, polled at its deadlines and flushed at the end."""
    assembler: FrameAssembler[CameraStamp] = FrameAssembler(options)
    now_ns = 0
    for arrival_ns, image in received:
        while (deadline_ns := assembler.next_deadline_ns()) is not None and deadline_ns <= arrival_ns:
            yield from _emitted(assembler.poll(deadline_ns), deadline_ns)
        now_ns = arrival_ns
        yield from _emitted(assembler.push(image.camera, image.stamp_ns, image, now_ns), now_ns)
    yield from _emitted(assembler.flush(), now_ns)


def _emitted(sets: Iterable[Any], at_ns: int) -> Iterator[Emitted]:
    for ready in sets:
        yield Emitted(tuple(item.payload for item in ready.items.values()), at_ns, ready.joined)


def approximate_time(received: Sequence[Received]) -> list[Emitted]:
    """ROS 2's ApproximateTimeSynchronizer, fed without middleware."""
    filters = importlib.import_module("message_filters")
    stamp_type = importlib.import_module("builtin_interfaces.msg").Time
    inputs = {camera: filters.SimpleFilter() for camera in CAMERAS}
    emitted: list[Emitted] = []
    now_ns = 0

    def take(*messages: Any) -> None:
        emitted.append(Emitted(tuple(message.image for message in messages), now_ns))

    filters.ApproximateTimeSynchronizer(list(inputs.values()), QUEUE, SLOP_S).registerCallback(take)
    for arrival_ns, image in received:
        now_ns = arrival_ns
        seconds, nanoseconds = divmod(image.stamp_ns, 1_000_000_000)
        header = SimpleNamespace(stamp=stamp_type(sec=seconds, nanosec=nanoseconds))
        inputs[image.camera].signalMessage(SimpleNamespace(header=header, image=image))
    return emitted


def table(rows: Sequence[Row]) -> str:
    """The rows as a Markdown table."""
    head = (
        "method",
        "run",
        "complete exactly once",
        "keyframes exactly once",
        "mixed",
        "joined",
        "partial",
        "in order",
    )
    lines = [f"| {' | '.join(head)} | wait p95, ms | CPU a set, ms |", "|" + " --- |" * (len(head) + 2)]
    for row in rows:
        cells = (
            row.method,
            row.run,
            f"{row.exact} of {row.complete} ({_percent(row.exact, row.complete)})",
            f"{row.keyframes_exact} of {row.keyframes} ({_percent(row.keyframes_exact, row.keyframes)})",
            f"{row.mixed} of {row.sets} ({_percent(row.mixed, row.sets)})",
            row.joined,
            row.partial,
            "yes" if row.in_order else "no",
            row.wait_ms_p95,
            row.cpu_ms_per_set,
        )
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.0f} %" if whole else "none"
