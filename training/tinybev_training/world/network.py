"""Road networks: netgenerate draws one, and its XML becomes plain geometry."""

from __future__ import annotations

import shutil
import subprocess
import sysconfig
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tinybev.errors import UserError

PARKING_SHARE = 0.8
"""Share of the streets whose strip at the kerb is for parking; on the others it is a bicycle lane."""
STRIP_WIDTH = 2.3


@dataclass(frozen=True)
class Lane:
    """One lane of a street: ``kind`` is "drive", "strip" (parking), "cycle" or "walk"; ``line`` (P, 2) its middle."""

    edge: str
    index: int
    kind: str
    width: float
    line: NDArray[np.float64]


@dataclass(frozen=True)
class Network:
    """A network as geometry, in SUMO's coordinates.

    Attributes:
        path: the file SUMO reads.
        lanes: of the streets, from the kerb to the middle of the road.
        links: middles of the lanes inside junctions that cars may take.
        junctions: (P, 2) outlines.
        crossings: middle line and width of each zebra crossing.
        walkways: (P, 2) outlines of the pavement at the corners.
        ends: edge id to the junctions it leads from and to.
        signals: edge id to the traffic light at its end and the number there of the way that its cars' signal is of.
        successors: edge id to the ids of the edges that cars may take next.
    """

    path: Path
    lanes: tuple[Lane, ...]
    links: tuple[NDArray[np.float64], ...]
    junctions: tuple[NDArray[np.float64], ...]
    crossings: tuple[tuple[NDArray[np.float64], float], ...]
    walkways: tuple[NDArray[np.float64], ...]
    ends: dict[str, tuple[str, str]]
    signals: dict[str, tuple[str, int]]
    successors: dict[str, tuple[str, ...]]

    def lanes_of(self, edge: str) -> list[Lane]:
        """The lanes of one street, from the kerb."""
        return [lane for lane in self.lanes if lane.edge == edge]

    @property
    def edges(self) -> tuple[str, ...]:
        """The streets that cars may use."""
        return tuple(dict.fromkeys(lane.edge for lane in self.lanes if lane.kind == "drive"))


def generate_network(folder: Path, rng: np.random.Generator) -> Network:
    """Draws a network, different for every state of ``rng``: a bent grid, a spider's web or a random one.

    Raises:
        UserError: SUMO is not installed, or netgenerate refuses.
    """
    path = folder / "network.net.xml"
    kind = ("grid", "grid", "random", "spider")[int(rng.integers(4))]
    length = float(rng.uniform(85, 125))
    shapes = {
        "grid": [
            "--grid",
            "--grid.number",
            "4",
            "--grid.x-length",
            f"{length:.1f}",
            "--grid.y-length",
            f"{rng.uniform(85, 125):.1f}",
            "--perturb-x",
            "norm(0,7)",
            "--perturb-y",
            "norm(0,7)",
        ],
        "random": [
            "--rand",
            "--rand.iterations",
            "28",
            "--rand.min-distance",
            "80",
            "--rand.max-distance",
            "150",
            "--rand.min-angle",
            "60",
        ],
        "spider": [
            "--spider",
            "--spider.arm-number",
            str(int(rng.integers(4, 6))),
            "--spider.circle-number",
            "3",
            "--spider.space-radius",
            f"{rng.uniform(80, 110):.1f}",
            "--spider.omit-center",
        ],
    }
    command = [
        find_tool("netgenerate"),
        *shapes[kind],
        "--default.lanenumber",
        str(int(rng.integers(1, 3))),
        "--default.lanewidth",
        "3.3",
        "--default.speed",
        f"{rng.uniform(9.5, 13.8):.1f}",
        "--sidewalks.guess",
        "--default.sidewalk-width",
        "2.6",
        "--bikelanes.guess",
        "--default.bikelane-width",
        str(STRIP_WIDTH),
        "--crossings.guess",
        "--default.crossing-width",
        "3.2",
        "--tls.guess",
        "--tls.guess.threshold",
        "45",
        "--no-turnarounds",
        "true",
        "--seed",
        str(int(rng.integers(1 << 30))),
        "--output-file",
        str(path),
    ]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode or not path.is_file():
        raise UserError(f"netgenerate failed ({result.stderr.strip()[-300:]}); check the SUMO installation.")
    _assign_strips(path, rng)
    return read_network(path)


def find_tool(name: str) -> str:
    """The path of one of SUMO's programs.

    Raises:
        UserError: it is not installed.
    """
    beside_python = Path(sysconfig.get_path("scripts")) / name
    found = str(beside_python) if beside_python.is_file() else shutil.which(name)
    if found is None:
        raise UserError(
            f"expected SUMO's program {name}, which is not installed; run `pip install eclipse-sumo libsumo`."
        )
    return found


def _assign_strips(path: Path, rng: np.random.Generator) -> None:
    """Makes the strip beside the kerb a parking strip in some streets; there bicycles use the lanes."""
    tree = ElementTree.parse(path)
    for edge in sorted(tree.getroot().findall("edge"), key=lambda item: item.get("id", "")):
        if edge.get("function") is not None:
            continue
        parking = rng.random() < PARKING_SHARE
        for lane in edge.findall("lane"):
            if lane.get("allow") == "bicycle":
                if parking:
                    del lane.attrib["allow"]
                    lane.set("disallow", "all")
            elif lane.get("allow") is None:
                lane.set("disallow", "pedestrian" if parking else "pedestrian bicycle")
    tree.write(path)


def read_network(path: Path) -> Network:
    """Parses a network file of SUMO."""
    root = ElementTree.parse(path).getroot()
    lanes: list[Lane] = []
    links: list[NDArray[np.float64]] = []
    crossings: list[tuple[NDArray[np.float64], float]] = []
    walkways: list[NDArray[np.float64]] = []
    for edge in root.findall("edge"):
        function = edge.get("function", "normal")
        for lane in edge.findall("lane"):
            line, width = _points(lane.get("shape", "")), float(lane.get("width", 3.3))
            if function == "crossing":
                crossings.append((line, width))
            elif function == "walkingarea":
                walkways.append(line)
            elif function == "internal" and lane.get("allow") is None:
                links.append(line)
            elif function == "normal":
                lanes.append(Lane(edge.get("id", ""), int(lane.get("index", 0)), _kind(lane), width, line))
    driving = {lane.edge for lane in lanes if lane.kind == "drive"}
    successors: dict[str, set[str]] = {edge: set() for edge in driving}
    by_lane = {(lane.edge, lane.index): lane.kind for lane in lanes}
    for connection in root.findall("connection"):
        source, target = connection.get("from", ""), connection.get("to", "")
        if by_lane.get((source, int(connection.get("fromLane", 0)))) == "drive" and target in driving:
            successors[source].add(target)
    return Network(
        path=path,
        lanes=tuple(lanes),
        links=tuple(links),
        junctions=tuple(
            _points(item.get("shape", ""))
            for item in root.findall("junction")
            if item.get("type") != "internal" and len(item.get("shape", "").split()) > 2
        ),
        crossings=tuple(crossings),
        walkways=tuple(walkway for walkway in walkways if len(walkway) > 2),
        ends={
            edge.get("id", ""): (edge.get("from", ""), edge.get("to", ""))
            for edge in root.findall("edge")
            if edge.get("function") is None
        },
        signals=_signals(root, by_lane),
        successors={edge: tuple(sorted(after)) for edge, after in sorted(successors.items())},
    )


def _signals(root: ElementTree.Element, kinds: dict[tuple[str, int], str]) -> dict[str, tuple[str, int]]:
    """Of each edge with a traffic light its cars' way straight on, or their first way where none leads straight on."""
    found: dict[str, tuple[bool, str, int]] = {}
    for connection in root.findall("connection"):
        edge, light = connection.get("from", ""), connection.get("tl")
        source = (edge, int(connection.get("fromLane", 0)))
        target = (connection.get("to", ""), int(connection.get("toLane", 0)))
        if light is None or kinds.get(source) != "drive" or kinds.get(target) != "drive":
            continue
        straight = connection.get("dir") == "s"
        if edge not in found or (straight and not found[edge][0]):
            found[edge] = (straight, light, int(connection.get("linkIndex", 0)))
    return {edge: (light, number) for edge, (_, light, number) in sorted(found.items())}


def _kind(lane: ElementTree.Element) -> str:
    if lane.get("disallow") == "all":
        return "strip"
    return {"pedestrian": "walk", "bicycle": "cycle"}.get(lane.get("allow", ""), "drive")


def _points(shape: str) -> NDArray[np.float64]:
    return np.array([[float(value) for value in point.split(",")[:2]] for point in shape.split()]).reshape(-1, 2)
