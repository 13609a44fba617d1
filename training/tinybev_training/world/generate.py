"""A whole scenario from one seed: network, traffic, what stands still; the same seed gives the same bytes."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from shapely import MultiPoint

from tinybev.types import DETECTION_CLASSES
from tinybev_training.world.bodies import body_poses, ego_poses, walker_poses
from tinybev_training.world.catalogue import EGO_MODEL, EGO_REAR_AXLE_TO_CENTER, MODELS
from tinybev_training.world.network import generate_network
from tinybev_training.world.no_scene import NoSceneError
from tinybev_training.world.overlaps import contacts, keep_apart
from tinybev_training.world.placement import place
from tinybev_training.world.roads import Bend, bend_roads, lay_surface
from tinybev_training.world.scenario import TICK_NS, Agents, Props, Scenario, Signals, check_duration
from tinybev_training.world.traffic import Track, simulate

MARGIN_M = 115.0
"""The world ends this far from the ego's track."""
AGENT_RANGE_M = 95.0
"""Agents that never come this close to the ego are left out."""
LOOK_ROUND_S = 15.0
"""The ego drives this much longer than a scene lasts, and the scene is the liveliest part of it."""
FIRST_STAMP_NS = 1_600_000_000_000_000_000
NEAR_M = 30.0
"""The shortest range within which nuScenes' detection task looks for a class."""
MIN_SPEED_MPS = 1.5
"""On average; a scene in which the ego only waits shows little."""
ATTEMPTS = 40
WINDOWS = 3
"""Parts of the same traffic that an attempt tries, the liveliest first: simulating it is what takes the time."""
_PEDESTRIAN = DETECTION_CLASSES.index("pedestrian")
JUMP_M = 1.5
"""Who moves by more than this in a tick has been set elsewhere by SUMO, and is left out; pedestrians: a fifth of it."""
CONTACT_M = 0.05
"""Bodies reach into each other by no more than this at any tick that is looked at; who would is left out."""
CONTACT_TICKS = 2
"""Every second tick is looked at, every keyframe's among them."""


def generate_scenario(seed: int, duration_s: float = 20.0, name: str | None = None) -> Scenario:
    """A scenario of ``duration_s`` seconds in which all ten classes come near the ego.

    Raises:
        NoSceneError: no attempt gave such a scenario.
        UserError: SUMO is not installed, or the duration is out of range.
    """
    check_duration(duration_s)
    for attempt in range(ATTEMPTS):
        rng = np.random.default_rng([seed, attempt])
        try:
            for scenario in _attempt(seed, rng, duration_s, name or f"world-{seed:06d}"):
                if not absent_classes(scenario):
                    return scenario
        except NoSceneError:
            continue
    raise NoSceneError(f"seed {seed} gave no scene with all ten classes in {ATTEMPTS} attempts; take another seed.")


def absent_classes(scenario: Scenario) -> list[str]:
    """The detection classes of which nothing ever comes within ``NEAR_M`` of the ego."""
    agents = scenario.agents
    gap = np.linalg.norm(agents.poses[:, :, :2] - scenario.ego[:, None, :2], axis=2)
    near = ((gap < NEAR_M) & agents.present).any(axis=0)
    seen = {MODELS[model].detection_class for model in agents.models[near]}
    return [name for name in DETECTION_CLASSES if name not in seen]


def _attempt(seed: int, rng: np.random.Generator, duration_s: float, name: str) -> Iterator[Scenario]:
    """Scenarios of the same traffic, in which the ego drives; none where it hardly does."""
    with tempfile.TemporaryDirectory(prefix="tinybev-world-") as folder:
        network = generate_network(Path(folder), rng)
        traffic = simulate(network, rng, duration_s + LOOK_ROUND_S)
    tracks = traffic.tracks
    ego_track = tracks[0]
    whole = ego_poses(ego_track)
    ticks = round(duration_s * 1e9 / TICK_NS) + 1
    for start in _liveliest(whole, ticks, rng):
        ego = whole[start : start + ticks]
        if np.linalg.norm(np.diff(ego[:, :2], axis=0), axis=1).sum() < MIN_SPEED_MPS * duration_s:
            return
        # The plane is bent about the ego's track, so that its coordinates stay small.
        bend = Bend.draw(rng, ego[:, :2].mean(axis=0))
        window = MultiPoint(ego[::10, :2]).buffer(MARGIN_M)
        surface = lay_surface(network, window)
        placed = place(network, surface, window, ego[:, :2], rng)
        ego_bent = bend.poses(ego)
        first = ego_track.first_tick + start
        moving = [_cut(track, first, ticks) for track in tracks[1:]]
        agents = _agents(moving, tracks[1:], placed.boxes, ego_bent, bend, rng)
        props = _props(placed.props, bend, rng)
        signals = _signals(placed.signals, traffic.signals, bend, first, ticks)
        start_ns = FIRST_STAMP_NS + (seed % 1_000_000) * 600_000_000_000
        roads = bend_roads(network, surface, window, bend)
        yield Scenario(name, seed, start_ns, _rounded(ego_bent), agents, roads, props, signals)


def _liveliest(ego: NDArray[np.float64], ticks: int, rng: np.random.Generator) -> list[int]:
    """The first ticks of some windows, out of a few, in which the ego drives and turns the most; best first."""
    starts = rng.integers(20, max(21, len(ego) - ticks), 2 * WINDOWS)

    def score(start: int) -> float:
        part = ego[start : start + ticks]
        driven = np.linalg.norm(np.diff(part[:, :2], axis=0), axis=1).sum()
        turned = np.abs(np.diff(np.unwrap(part[:, 2]))).sum()
        return float(min(driven, 120.0) + 40.0 * min(turned, 2.5))

    return sorted({int(start) for start in starts}, key=score, reverse=True)[:WINDOWS]


def _cut(track: Track, start: int, ticks: int) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Poses (ticks, 3) and presence (ticks,) of a track in a window; absent poses repeat the nearest one."""
    whole = walker_poses(track) if MODELS[track.model].traffic_class == "pedestrian" else body_poses(track)
    index = np.arange(start, start + ticks) - track.first_tick
    return whole[np.clip(index, 0, len(whole) - 1)], (index >= 0) & (index < len(whole))


def _agents(
    moving: list[tuple[NDArray[np.float64], NDArray[np.bool_]]],
    tracks: list[Track],
    boxes: list[tuple[int, float, float, float]],
    ego: NDArray[np.float64],
    bend: Bend,
    rng: np.random.Generator,
) -> Agents:
    ticks = len(ego)
    models = [track.model for track in tracks] + [box[0] for box in boxes]
    standing = [(np.tile(np.array(box[1:]), (ticks, 1)), np.ones(ticks, dtype=bool)) for box in boxes]
    poses = bend.poses(np.stack([part[0] for part in [*moving, *standing]], axis=1))
    poses[:, : len(moving), 2] = np.unwrap(poses[:, : len(moving), 2], axis=0)
    present = np.stack([part[1] for part in [*moving, *standing]], axis=1)
    gap = np.linalg.norm(poses[:, :, :2] - ego[:, None, :2], axis=2)
    kept = ((gap < AGENT_RANGE_M) & present).any(axis=0)
    steps = np.linalg.norm(np.diff(poses[:, :, :2], axis=0), axis=2)
    limits = np.array([JUMP_M if MODELS[model].class_id != _PEDESTRIAN else JUMP_M / 5 for model in models])
    kept &= ~((steps > limits) & present[1:] & present[:-1]).any(axis=0)
    parked = np.arange(len(models)) >= len(moving)
    sizes = np.array([_size(model, rng) for model in models])
    chosen = np.flatnonzero(kept)
    rank = np.array([_rank(model, bool(stands)) for model, stands in zip(models, parked, strict=True)])[chosen]
    apart = _apart(poses[:, chosen], sizes[chosen], present[:, chosen], rank, ego)
    trailers = np.array([track.offset > 0 for track in tracks] + [False] * len(boxes))
    chosen = _coupled(chosen[apart], trailers)
    return Agents(
        models=np.array(models, dtype=np.int32)[chosen],
        looks=rng.integers(0, 1 << 30, len(models)).astype(np.int32)[chosen],
        sizes=sizes.astype(np.float32)[chosen],
        poses=_rounded(poses[:, chosen]),
        present=present[:, chosen],
        parked=parked[chosen],
    )


def _coupled(chosen: NDArray[np.int64], trailers: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Of those chosen, ascending, the ones that are whole: a tractor comes right before its trailer, and neither drives
    alone."""
    pulling = np.append(trailers[1:], False)
    alone = (trailers & ~np.isin(np.arange(len(trailers)) - 1, chosen)) | (
        pulling & ~np.isin(np.arange(len(trailers)) + 1, chosen)
    )
    return chosen[~alone[chosen]]


def _apart(
    poses: NDArray[np.float64],
    sizes: NDArray[np.float64],
    present: NDArray[np.bool_],
    rank: NDArray[np.int64],
    ego: NDArray[np.float64],
) -> NDArray[np.bool_]:
    """(N,) which agents stay, so that no two, and none and the ego, run into each other; lower ranks stay first.

    SUMO keeps apart what it drives on lanes, but it knows neither of what is parked nor how a body swings in a curve,
    and lets pedestrians squeeze past each other.
    """
    body = ego.copy()
    body[:, :2] += EGO_REAR_AXLE_TO_CENTER * np.stack([np.cos(ego[:, 2]), np.sin(ego[:, 2])], axis=1)
    with_ego = np.concatenate([body[:, None], poses], axis=1)[::CONTACT_TICKS]
    there = np.concatenate([np.ones((len(ego), 1), dtype=np.bool_), present], axis=1)[::CONTACT_TICKS]
    touching = contacts(with_ego, np.concatenate([[EGO_MODEL.size], sizes]), there, CONTACT_M)
    return keep_apart(touching, np.concatenate([[-1], rank]))[1:]


def _rank(model: int, parked: bool) -> int:
    """Who stays where two would touch: who drives before who is parked, road works, who walks, who stands."""
    kind = MODELS[model].detection_class
    if kind == "pedestrian":
        return 4 if parked else 3
    if kind in ("traffic_cone", "barrier"):
        return 2
    return 1 if parked else 0


def _rounded(poses: NDArray[np.float64]) -> NDArray[np.float32]:
    """To two millimetres and a quarter of a milliradian: what is written is smaller by half."""
    steps = np.array([512.0, 512.0, 4096.0])
    return (np.round(poses * steps) / steps).astype(np.float32)


def _size(model: int, rng: np.random.Generator) -> NDArray[np.float64]:
    size = np.array(MODELS[model].size)
    spread = 0.05 if MODELS[model].detection_class in ("pedestrian", "car") else 0.015
    return size * (1 + np.clip(rng.normal(0, spread, 3), -2 * spread, 2 * spread) * np.array([0.5, 0.3, 1.0]))


def _props(
    props: list[tuple[int, float, float, float, float, float, float]], bend: Bend, rng: np.random.Generator
) -> Props:
    table = np.array(props, dtype=np.float64).reshape(-1, 7)
    return Props(
        kinds=table[:, 0].astype(np.int32),
        poses=bend.poses(table[:, 1:4]).astype(np.float32),
        sizes=table[:, 4:].astype(np.float32),
        looks=rng.integers(0, 1 << 30, len(table)).astype(np.int32),
    )


def _signals(
    placed: list[tuple[str, float, float, float]],
    shown: dict[str, NDArray[np.uint8]],
    bend: Bend,
    first: int,
    ticks: int,
) -> Signals:
    """The traffic lights during ``ticks`` from tick ``first`` of the traffic."""
    poses = np.array([signal[1:] for signal in placed], dtype=np.float64).reshape(-1, 3)
    states = [shown[edge][first : first + ticks] for edge, *_ in placed]
    return Signals(
        poses=bend.poses(poses).astype(np.float32),
        states=np.stack(states, axis=1) if states else np.zeros((ticks, 0), dtype=np.uint8),
    )
