"""Traffic: SUMO drives vehicles and walks pedestrians over a network; what comes out are tracks at 20 Hz."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import quoteattr

import numpy as np
from numpy.typing import NDArray

from tinybev.errors import UserError
from tinybev_training.world.catalogue import EGO_MODEL, MODEL_IDS, MODELS, Model
from tinybev_training.world.network import Network
from tinybev_training.world.no_scene import NoSceneError
from tinybev_training.world.scenario import TICK_NS

TICK_S = TICK_NS / 1e9
WARM_UP_S = 25.0
"""Traffic fills the streets before the ego enters."""
GAP_TO_TRAILER = 0.7
BODY_SMOOTHING_S = 0.2
"""SUMO moves a vehicle by up to 0.6 m at once where lanes meet at an angle; that is spread by this deviation."""
WALKER_SMOOTHING_S = 0.35
PATH_STEP_M = 0.8
APPROACH_M = 40.0
"""A vehicle that appears on the road has come straight from this far behind."""
_TRAILER = MODELS[MODEL_IDS["trailer"]]


@dataclass(frozen=True)
class Track:
    """One agent over the whole simulation.

    Attributes:
        name: SUMO's id.
        model: index into ``MODELS``; -1 is the ego.
        length: metres, of the body.
        offset: how far behind the recorded point the front of the body is, along the track.
        first_tick: when it appeared.
        points: (T, 2) of a vehicle's foremost point, or a pedestrian's middle.
        yaws: (T,) as SUMO has them.
    """

    name: str
    model: int
    length: float
    offset: float
    first_tick: int
    points: NDArray[np.float64]
    yaws: NDArray[np.float64]


def simulate(network: Network, rng: np.random.Generator, duration_s: float) -> list[Track]:
    """Runs SUMO until the ego has driven for ``duration_s``; returns the tracks, the ego's first.

    Raises:
        NoSceneError: the ego did not drive for so long.
        UserError: libsumo is not installed.
    """
    try:
        import libsumo
    except ModuleNotFoundError as error:
        raise UserError("expected SUMO, which is not installed; run `pip install eclipse-sumo libsumo`.") from error
    routes = network.path.with_name("traffic.rou.xml")
    _write_demand(routes, network, rng, WARM_UP_S + duration_s)
    libsumo.start(
        [
            "sumo",
            "--net-file",
            str(network.path),
            "--route-files",
            str(routes),
            "--step-length",
            str(TICK_S),
            "--seed",
            str(int(rng.integers(1 << 30))),
            "--lateral-resolution",
            "0.7",
            "--ignore-route-errors",
            "--collision.action",
            "none",
            "--time-to-teleport",
            "-1",
            "--no-step-log",
            "--no-warnings",
            "--default.speeddev",
            "0.1",
            "--pedestrian.striping.jamtime",
            "-1",
        ]
    )
    try:
        return _record(libsumo, duration_s)
    finally:
        libsumo.close()


def _record(sumo: object, duration_s: float) -> list[Track]:
    vehicles, people = sumo.vehicle, sumo.person  # type: ignore[attr-defined]
    rows: dict[str, list[tuple[float, float, float]]] = {}
    first: dict[str, int] = {}
    types: dict[str, str] = {}
    ego_ticks, tick = 0, 0
    limit = round((WARM_UP_S * 2 + duration_s) / TICK_S)
    while ego_ticks * TICK_S < duration_s and tick < limit:
        sumo.simulationStep()  # type: ignore[attr-defined]
        for domain in (vehicles, people):
            for name in domain.getIDList():
                x, y = domain.getPosition(name)
                if name not in rows:
                    rows[name], first[name], types[name] = [], tick, domain.getTypeID(name)
                rows[name].append((x, y, math.radians(90.0 - domain.getAngle(name))))
        ego_ticks = len(rows.get("ego", ()))
        tick += 1
    if ego_ticks * TICK_S < duration_s:
        raise NoSceneError(f"the ego drove for {ego_ticks * TICK_S:.0f} s of {duration_s:.0f} s; try another seed.")
    tracks: list[Track] = []
    for name in sorted(rows, key=lambda item: (item != "ego", item)):
        values = np.array(rows[name])
        type_name = types[name].split("@")[0]
        model = MODEL_IDS.get(type_name, -1)
        body = EGO_MODEL if model < 0 else MODELS[model]
        tracks.append(Track(name, model, body.size[0], 0.0, first[name], values[:, :2], values[:, 2]))
        if type_name == "tractor":
            offset = body.size[0] + GAP_TO_TRAILER
            tracks.append(
                Track(
                    f"{name}.trailer",
                    MODEL_IDS["trailer"],
                    _TRAILER.size[0],
                    offset,
                    first[name],
                    values[:, :2],
                    values[:, 2],
                )
            )
    return tracks


def _write_demand(path: Path, network: Network, rng: np.random.Generator, until_s: float) -> None:
    """Writes who goes from where to where: vehicles, pedestrians, and the ego."""
    lines = ["<routes>"]
    lines += [_vehicle_type(model) for model in MODELS if model.traffic_class]
    lines.append(_vehicle_type(EGO_MODEL))
    entries = [(WARM_UP_S, _ego_trip(network, rng))]
    entries += _trips(network, rng, until_s) + _walks(network, rng, until_s)
    lines += [entry for _, entry in sorted(entries, key=lambda item: item[0])]
    path.write_text("\n".join([*lines, "</routes>"]))


def _vehicle_type(model: Model) -> str:
    length, width, height = model.size
    if model.name == "tractor":
        length += GAP_TO_TRAILER + _TRAILER.size[0]
    extra = ""
    if model.traffic_class == "bicycle":
        extra = ' maxSpeed="5.5" latAlignment="right" minGapLat="0.4"'
    elif model.traffic_class == "motorcycle":
        extra = ' latAlignment="center"'
    elif model.traffic_class != "pedestrian":
        extra = ' latAlignment="center" lcSublane="0.2" minGapLat="0.5" maxSpeedLat="0.9"'
    return (
        f'<vType id="{model.name}" vClass="{model.traffic_class}" length="{length}" width="{width}" '
        f'height="{height}"{extra}/>'
    )


def _trips(network: Network, rng: np.random.Generator, until_s: float) -> list[tuple[float, str]]:
    drivers = [model for model in MODELS if model.traffic_class not in ("", "pedestrian")]
    shares = np.array([model.share for model in drivers])
    edges = network.edges
    trips: list[tuple[float, str]] = []
    density = float(rng.uniform(0.7, 1.5))
    # Many at the beginning, so that the streets are full when the ego comes; then as many as arrive.
    departures = np.concatenate(
        [rng.uniform(0, 20, round(60 * density)), rng.uniform(20, until_s, round(0.8 * density * (until_s - 20)))]
    )
    for index, depart in enumerate(departures):
        model = drivers[int(rng.choice(len(drivers), p=shares / shares.sum()))]
        start, end = rng.choice(len(edges), 2, replace=False)
        trip = (
            f'<trip id="v{index:04d}" type="{model.name}" depart="{depart:.2f}" departPos="random" '
            f'departSpeed="desired" '
            f'departLane="best" from={quoteattr(edges[start])} to={quoteattr(edges[end])}/>'
        )
        trips.append((float(depart), trip))
    return trips


def _walks(network: Network, rng: np.random.Generator, until_s: float) -> list[tuple[float, str]]:
    walkable = tuple(dict.fromkeys(lane.edge for lane in network.lanes if lane.kind == "walk"))
    walks: list[tuple[float, str]] = []
    count = int(rng.integers(50, 130))
    departures = np.concatenate([rng.uniform(0, 15, count), rng.uniform(15, until_s, count // 2)])
    for index, depart in enumerate(departures):
        start, end = rng.choice(len(walkable), 2, replace=False)
        kind = "child" if rng.random() < MODELS[MODEL_IDS["child"]].share else "adult"
        walk = (
            f'<person id="p{index:04d}" type="{kind}" depart="{depart:.2f}" departPos="random">'
            f"<walk from={quoteattr(walkable[start])} to={quoteattr(walkable[end])} "
            f'speedFactor="{rng.uniform(0.75, 1.2):.2f}"/></person>'
        )
        walks.append((float(depart), walk))
    return walks


def _ego_trip(network: Network, rng: np.random.Generator) -> str:
    """A route of the ego's own: it turns where it can, and never comes back to a street it has been in."""
    edges = network.edges
    best: list[str] = []
    for _ in range(12):
        route = [edges[int(rng.integers(len(edges)))]]
        while len(route) < 14:
            options = [edge for edge in network.successors[route[-1]] if edge not in route]
            if not options:
                break
            route.append(options[int(rng.integers(len(options)))])
        if len(route) > len(best):
            best = route
    return (
        f'<vehicle id="ego" type="{EGO_MODEL.name}" depart="{WARM_UP_S}" departPos="base" departSpeed="desired" '
        f'departLane="best" arrivalPos="max"><route edges="{" ".join(best)}"/></vehicle>'
    )


def body_poses(track: Track) -> NDArray[np.float64]:
    """Poses (T, 3), x, y, yaw of the middle of a vehicle's body: it lies along the track that its front has driven.

    The rear follows where the front has been, so that long vehicles swing through a curve as real ones do, and a
    trailer follows its tractor. Where SUMO sets a vehicle sideways or back, as it does at the seams between lanes and
    in queues, the body goes on smoothly: it neither turns on the spot nor backs. This is our own design.
    """
    points = _smoothed(track.points, BODY_SMOOTHING_S)
    heading = np.stack([np.cos(track.yaws), np.sin(track.yaws)], axis=1)
    forward = np.maximum((np.diff(points, axis=0) * heading[1:]).sum(axis=1), 0.0)
    driven = np.concatenate([[0.0], np.cumsum(forward)])
    # The path is known every PATH_STEP_M of progress: what moves less is not a change of direction.
    knots = np.arange(0.0, driven[-1] + PATH_STEP_M, PATH_STEP_M)
    first = np.unique(driven, return_index=True)[1]
    path = np.stack([np.interp(knots, driven[first], points[first, axis]) for axis in (0, 1)], axis=1)
    beyond = np.maximum(knots - driven[-1], 0.0)
    path += beyond[:, None] * heading[-1]
    knots = np.concatenate([[-APPROACH_M], knots])
    path = np.concatenate([(path[0] - APPROACH_M * heading[0])[None], path])
    front_at = driven - track.offset
    # The wheels, not the bumpers, follow the track; the overhangs stick out.
    base = 0.72 * track.length
    overhang = (track.length - base) / 2
    front, rear = (
        np.stack([np.interp(front_at - distance, knots, path[:, axis]) for axis in (0, 1)], axis=1)
        for distance in (overhang, overhang + base)
    )
    middle = (front + rear) / 2
    yaw = np.arctan2(front[:, 1] - rear[:, 1], front[:, 0] - rear[:, 0])
    return np.concatenate([middle, yaw[:, None]], axis=1)


def walker_poses(track: Track) -> NDArray[np.float64]:
    """Poses (T, 3) of a pedestrian, smoothed, as SUMO's change stripes at once; who stands keeps looking ahead."""
    points = _smoothed(track.points, WALKER_SMOOTHING_S)
    ahead = np.concatenate([points[8:], np.repeat(points[-1:], min(8, len(points)), axis=0)])[: len(points)]
    moved = ahead - points
    yaw = np.arctan2(moved[:, 1], moved[:, 0])
    known = np.flatnonzero(np.linalg.norm(moved, axis=1) >= 0.03)
    if len(known) == 0:
        yaw = track.yaws.copy()
    else:
        last_known = np.maximum(np.searchsorted(known, np.arange(len(yaw)), side="right") - 1, 0)
        yaw = yaw[known[last_known]]
    return np.concatenate([points, _smoothed(np.unwrap(yaw)[:, None], WALKER_SMOOTHING_S)], axis=1)


def _smoothed(values: NDArray[np.float64], sigma_s: float) -> NDArray[np.float64]:
    """Rows (T, D) at 20 Hz, smoothed by a Gaussian over time; the ends keep their rate of change."""
    reach = math.ceil(3 * sigma_s / TICK_S)
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) * TICK_S / sigma_s) ** 2)
    if len(values) <= reach:
        return values
    padded = np.pad(values, ((reach, reach), (0, 0)), mode="reflect", reflect_type="odd")
    return np.stack([np.convolve(column, kernel / kernel.sum(), mode="valid") for column in padded.T], axis=1)
