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
from tinybev_training.world.scenario import TICK_S, SignalState

WARM_UP_S = 25.0
"""Traffic fills the streets before the ego enters."""
GAP_TO_TRAILER = 0.7
_SIGNAL_STATES = {"G": SignalState.GREEN, "g": SignalState.GREEN, "y": SignalState.YELLOW}
"""Of SUMO's letters."""
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


@dataclass(frozen=True)
class Traffic:
    """What SUMO did: the tracks, the ego's first, and the ``SignalState`` (T,) of each edge's traffic light."""

    tracks: list[Track]
    signals: dict[str, NDArray[np.uint8]]


def simulate(network: Network, rng: np.random.Generator, duration_s: float) -> Traffic:
    """Runs SUMO until the ego has driven for ``duration_s``.

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
        return _record(libsumo, network, duration_s)
    finally:
        libsumo.close()


def _record(sumo: object, network: Network, duration_s: float) -> Traffic:
    vehicles, people, lights = sumo.vehicle, sumo.person, sumo.trafficlight  # type: ignore[attr-defined]
    letters: dict[str, list[str]] = {light: [] for light, _ in network.signals.values()}
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
        for light, shown in letters.items():
            shown.append(lights.getRedYellowGreenState(light))
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
    signals = {
        edge: np.array([_SIGNAL_STATES.get(shown[number], SignalState.RED) for shown in letters[light]], dtype=np.uint8)
        for edge, (light, number) in network.signals.items()
    }
    return Traffic(tracks, signals)


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
