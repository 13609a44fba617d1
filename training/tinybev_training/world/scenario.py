"""A scenario: who is where when, on which roads, between which buildings. Plain arrays; no simulator, no torch.

Coordinates are metres in a frame of the scenario's own, centred on the ego's track (so that float32 is enough to
render with), z up, on flat ground at z = 0.
"""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass, fields, is_dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from tinybev.errors import UserError
from tinybev.geometry import wrap_angle
from tinybev_training.world.polylines import Areas, Polylines

MIN_DURATION_S, MAX_DURATION_S = 1.0, 60.0
"""Of a scenario."""

TICK_NS = 50_000_000
"""Poses are recorded at 20 Hz."""
TICK_S = TICK_NS / 1e9


class LineKind(IntEnum):
    """What a painted line is."""

    LANE = 0
    """Dashed white, between lanes of one direction."""
    CENTER = 1
    """Double yellow, between the directions."""
    EDGE = 2
    """Solid white, between the lanes and what is beside them."""
    STOP = 3
    """Broad white, across a lane."""


class PropKind(IntEnum):
    """What stands beside the road and gets no box."""

    BUILDING = 0
    TREE = 1
    LAMP = 2
    SIGN = 3
    BUSH = 4
    BENCH = 5
    HYDRANT = 6


class SignalState(IntEnum):
    """What a traffic light shows."""

    RED = 0
    YELLOW = 1
    GREEN = 2


@dataclass(frozen=True)
class Agents:
    """Everything that gets a box; N agents, T ticks.

    Attributes:
        models: (N,) index into ``catalogue.MODELS``.
        looks: (N,) seed of paint and clothes.
        sizes: (N, 3) length, width, height.
        poses: (T, N, 3) x, y of the middle, and yaw.
        present: (T, N) whether the agent exists at the tick.
        parked: (N,) whether it never moves.
    """

    models: NDArray[np.int32]
    looks: NDArray[np.int32]
    sizes: NDArray[np.float32]
    poses: NDArray[np.float32]
    present: NDArray[np.bool_]
    parked: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.models)


@dataclass(frozen=True)
class Roads:
    """The roads.

    Attributes:
        lanes: centre lines, in driving direction.
        lines: painted lines.
        line_kinds: (L,) ``LineKind`` of each.
        drivable: the asphalt: lanes, parking strips and junctions.
        sidewalks: where people walk.
        crossings: zebra crossings.
        crossing_yaws: (C,) direction in which one crosses.
    """

    lanes: Polylines
    lines: Polylines
    line_kinds: NDArray[np.int32]
    drivable: Areas
    sidewalks: Areas
    crossings: Areas
    crossing_yaws: NDArray[np.float32]


@dataclass(frozen=True)
class Props:
    """What stands beside the road: (M,) ``kinds``, (M, 3) ``poses`` (x, y, yaw), (M, 3) ``sizes``, (M,) ``looks``."""

    kinds: NDArray[np.int32]
    poses: NDArray[np.float32]
    sizes: NDArray[np.float32]
    looks: NDArray[np.int32]


@dataclass(frozen=True)
class Signals:
    """Traffic lights: (S, 3) ``poses`` (x, y of the mast, and the yaw towards which it shines), (T, S) ``states``."""

    poses: NDArray[np.float32]
    states: NDArray[np.uint8]


@dataclass(frozen=True)
class Moment:
    """The scenario at one stamp: (3,) ``ego`` (x, y, yaw of base_link), (N, 3) ``poses``, (N,) ``present``, and the
    ``SignalState`` (S,) of each traffic light."""

    stamp_ns: int
    ego: NDArray[np.float64]
    poses: NDArray[np.float64]
    present: NDArray[np.bool_]
    signals: NDArray[np.uint8]


@dataclass(frozen=True)
class Scenario:
    """One scene.

    Attributes:
        name: for people.
        seed: what it was made from.
        start_ns: stamp of the first tick.
        ego: (T, 3) x, y, yaw of base_link (under the rear axle).
        agents, roads, props, signals: see there.
    """

    name: str
    seed: int
    start_ns: int
    ego: NDArray[np.float32]
    agents: Agents
    roads: Roads
    props: Props
    signals: Signals

    @property
    def key(self) -> str:
        """What its tokens are made of: another seed or another length has others, other weather has the same."""
        return f"{self.name} {self.seed} {len(self.ego)}"

    @property
    def end_ns(self) -> int:
        """Stamp of the last tick."""
        return self.start_ns + (len(self.ego) - 1) * TICK_NS

    def at(self, stamp_ns: int) -> Moment:
        """The poses at a stamp, between the ticks around it; outside the recording, those of its first or last tick.

        An agent is present where it is at both ticks; what a traffic light is recorded with it shows until that tick.
        """
        ticks = np.clip((stamp_ns - self.start_ns) / TICK_NS, 0, len(self.ego) - 1)
        before = min(int(ticks), len(self.ego) - 2) if len(self.ego) > 1 else 0
        after = min(before + 1, len(self.ego) - 1)
        fraction = float(ticks - before)
        agents = self.agents
        return Moment(
            stamp_ns,
            between(self.ego[before], self.ego[after], fraction),
            between(agents.poses[before], agents.poses[after], fraction),
            agents.present[before] & agents.present[after],
            self.signals.states[after if fraction > 0 else before],
        )


def check_duration(seconds: float) -> None:
    """Makes sure that a scenario may be so long.

    Raises:
        UserError: it may not.
    """
    if not MIN_DURATION_S <= seconds <= MAX_DURATION_S:
        raise UserError(
            f"expected a scene of {MIN_DURATION_S:.0f} to {MAX_DURATION_S:.0f} s, got --duration {seconds}; choose one "
            "within."
        )


def between(a: NDArray[np.floating], b: NDArray[np.floating], fraction: float) -> NDArray[np.float64]:
    """Poses (..., 3) of x, y, yaw at ``fraction`` of the way from a to b; yaw turns the short way."""
    a64 = np.asarray(a, dtype=np.float64)
    step = np.asarray(b, dtype=np.float64) - a64
    step[..., 2] = wrap_angle(step[..., 2])
    return a64 + fraction * step


def save_scenario(path: Path, scenario: Scenario) -> None:
    """Writes a ``.npz`` whose bytes depend on the scenario alone (a zip file stores dates: they are fixed here)."""
    partial = path.with_name(f".{path.name}.partial")
    with zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, array in _flatten("", scenario).items():
            buffer = io.BytesIO()
            np.save(buffer, array, allow_pickle=False)
            archive.writestr(
                zipfile.ZipInfo(f"{name}.npy", (1980, 1, 1, 0, 0, 0)), buffer.getvalue(), zipfile.ZIP_DEFLATED
            )
    partial.replace(path)


Whole = TypeVar("Whole", Roads, Scenario)
"""What can be read of a file."""


def load_roads(path: Path) -> Roads:
    """Reads the roads alone of what :func:`save_scenario` wrote, now or with an earlier version of all else.

    Raises:
        UserError: the file is absent, or is not a scenario.
    """
    return _load(Roads, "roads", path)


def load_scenario(path: Path) -> Scenario:
    """Reads what :func:`save_scenario` wrote.

    Raises:
        UserError: the file is absent, or is not a scenario.
    """
    return _load(Scenario, "", path)


def _load(kind: type[Whole], prefix: str, path: Path) -> Whole:
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        made: Whole = _build(kind, prefix, arrays)
        return made
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise UserError(
            f"expected a scenario file, but {path} cannot be read as one ({error}); write it anew"
        ) from error


def _flatten(prefix: str, value: Any) -> dict[str, NDArray[Any]]:
    if not is_dataclass(value):
        return {prefix: np.asarray(value)}
    flat: dict[str, NDArray[Any]] = {}
    for field in fields(value):
        flat |= _flatten(f"{prefix}.{field.name}" if prefix else field.name, getattr(value, field.name))
    return flat


_PARTS: dict[str, type] = {
    "Agents": Agents,
    "Roads": Roads,
    "Props": Props,
    "Signals": Signals,
    "Polylines": Polylines,
    "Areas": Areas,
}


def _build(kind: type, prefix: str, arrays: dict[str, NDArray[Any]]) -> Any:
    values: dict[str, Any] = {}
    for field in fields(kind):
        name = f"{prefix}.{field.name}" if prefix else field.name
        part = _PARTS.get(str(field.type))
        if part is not None:
            values[field.name] = _build(part, name, arrays)
        else:
            values[field.name] = arrays[name].item() if field.type in ("str", "int") else arrays[name]
    return kind(**values)
