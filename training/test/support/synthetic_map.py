"""Writes a map expansion of a few polygons and lines, in the form the official devkit reads."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

LOCATION = "singapore-queenstown"  # the devkit knows four places and refuses others

Points = Sequence[tuple[float, float]]


def write_map(
    root: Path,
    *,
    drivable: Sequence[Sequence[Points]] = (),
    road_segments: Sequence[Points] = (),
    lanes: Sequence[Points] = (),
    crossings: Sequence[Points] = (),
    road_dividers: Sequence[Points] = (),
    lane_dividers: Sequence[Points] = (),
) -> Path:
    """Writes ``maps/expansion/<LOCATION>.json`` into ``root`` and returns ``root``.

    Args:
        root: of the dataset.
        drivable: polygons, each its outline followed by its holes.
        road_segments, lanes, crossings: outlines.
        road_dividers, lane_dividers: lines.
    """
    nodes: list[dict[str, Any]] = []
    polygons: list[dict[str, Any]] = []
    lines: list[dict[str, Any]] = []

    def add_nodes(points: Points) -> list[str]:
        first = len(nodes)
        nodes.extend({"token": f"node-{first + n}", "x": x, "y": y} for n, (x, y) in enumerate(points))
        return [node["token"] for node in nodes[first:]]

    def add_polygon(outline: Points, holes: Sequence[Points] = ()) -> str:
        polygons.append(
            {
                "token": f"polygon-{len(polygons)}",
                "exterior_node_tokens": add_nodes(outline),
                "holes": [{"node_tokens": add_nodes(hole)} for hole in holes],
            }
        )
        return str(polygons[-1]["token"])

    def add_line(points: Points) -> str:
        lines.append({"token": f"line-{len(lines)}", "node_tokens": add_nodes(points)})
        return str(lines[-1]["token"])

    def layer(name: str, outlines: Sequence[Points]) -> list[dict[str, Any]]:
        return [{"token": f"{name}-{n}", "polygon_token": add_polygon(o)} for n, o in enumerate(outlines)]

    def divider_layer(name: str, dividers: Sequence[Points]) -> list[dict[str, Any]]:
        return [{"token": f"{name}-{n}", "line_token": add_line(d)} for n, d in enumerate(dividers)]

    empty_edges: dict[str, Any] = {"left_lane_divider_segments": [], "right_lane_divider_segments": []}
    tokens = [add_polygon(outline, holes) for outline, *holes in drivable]
    tables: dict[str, Any] = {
        "version": "1.3",
        "canvas_edge": [2000.0, 2000.0],
        "drivable_area": [{"token": "drivable", "polygon_tokens": tokens}] if tokens else [],
        "road_segment": layer("road_segment", road_segments),
        "lane": [{**record, **empty_edges} for record in layer("lane", lanes)],
        "ped_crossing": layer("ped_crossing", crossings),
        "road_divider": divider_layer("road_divider", road_dividers),
        "lane_divider": [{**r, "lane_divider_segments": []} for r in divider_layer("lane_divider", lane_dividers)],
        **{name: [] for name in ("road_block", "walkway", "stop_line", "carpark_area", "traffic_light")},
        "lane_connector": [],
        "arcline_path_3": {},
        "connectivity": {},
        "polygon": polygons,
        "line": lines,
        "node": nodes,
    }
    folder = root / "maps" / "expansion"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{LOCATION}.json").write_text(json.dumps(tables))
    return root
