"""Size and speed of the network that was measured, and on which device, in which precision."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from tinybev.bench.machine import CPU_INFO, cpu_name
from tinybev.errors import UserError
from tinybev_training.eval.measure import Measure, Measures
from tinybev_training.eval.measured_network import load_measured_network
from tinybev_training.long_work.write_file import write_text


@dataclass(frozen=True)
class SceneTimes:
    """How long the frames of one scene took.

    Attributes:
        device, precision: of the network.
        processes: that ran side by side, each slowing the others down.
        total_ms: of the whole pipeline, frame by frame.
        network_ms: of the network alone.
    """

    device: str
    precision: str
    processes: int
    total_ms: Sequence[float]
    network_ms: Sequence[float]


@dataclass(frozen=True)
class Speed:
    """Median milliseconds of ``frames`` frames, and in words where and how they were run."""

    frames: int
    total_ms: float
    network_ms: float
    device: str
    precision: str
    processes: str


def device_name(device: str, threads: int | None = None) -> str:
    """The hardware's own name, for ``device`` "cpu" or "cuda", with the threads of a process; None: of this one."""
    if device == "cuda":
        return f"cuda, {torch.cuda.get_device_name()}"
    threads = threads or torch.get_num_threads()
    return f"cpu, {cpu_name(CPU_INFO)}, {threads} thread{'s' if threads > 1 else ''}"


def write_times(path: Path, times: SceneTimes) -> None:
    """Writes the times of a scene, at once or not at all."""
    write_text(path, json.dumps(asdict(times)))


def read_speed(paths: Sequence[Path]) -> Speed | None:
    """Over the frames of several scenes; None where there is no frame.

    Raises:
        UserError: a file cannot be read.
    """
    scenes = [times for times in (_read_times(path) for path in paths) if times.total_ms]
    if not scenes:
        return None
    total = [ms for times in scenes for ms in times.total_ms]
    network = [ms for times in scenes for ms in times.network_ms]
    return Speed(
        frames=len(total),
        total_ms=statistics.median(total),
        network_ms=statistics.median(network),
        device="; ".join(sorted({times.device for times in scenes})),
        precision="; ".join(sorted({times.precision for times in scenes})),
        processes="; ".join(sorted({str(times.processes) for times in scenes})),
    )


def speed_measures(bundle: str, speed: Speed | None) -> Measures:
    """``parameters``, ``MACs`` and, where a frame was run, ``ms_per_frame``, ``network_ms`` and ``FPS``.

    The times' count is that of the frames.
    """
    measures = load_measured_network(bundle).size()
    if speed is not None:
        measures["ms_per_frame"] = Measure(speed.total_ms, speed.frames)
        measures["network_ms"] = Measure(speed.network_ms, speed.frames)
        measures["FPS"] = Measure(1000 / speed.total_ms, speed.frames)
    return measures


def _read_times(path: Path) -> SceneTimes:
    try:
        return SceneTimes(**json.loads(path.read_text()))
    except (OSError, ValueError, TypeError) as error:
        raise UserError(
            f"the times of a scene in {path} cannot be read ({type(error).__name__}: {error}); remove its folder and "
            "predict again."
        ) from error
