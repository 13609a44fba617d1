"""The roads of many scenes -> nuScenes' map expansion and map picture of one place."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import shapely
from numpy.typing import NDArray

from tinybev_training.world.scenario import LineKind, Roads
from tinybev_training.world.tables import token

PIXELS_PER_M = 10
"""The devkit takes the map pictures for ten pixels a metre."""
STOP_AREA_DEPTH_M = 2.0


@dataclass(frozen=True)
class PlacedRoads:
    """The roads of a scene and the (x, y) in the map of the scene's origin."""

    scene: str
    roads: Roads
    origin: tuple[float, float]


class MapExpansion:
    """Collects layers in the form that the devkit's ``NuScenesMap`` reads."""

    def __init__(self, canvas: tuple[float, float]) -> None:
        names = (
            "polygon",
            "line",
            "node",
            "drivable_area",
            "road_segment",
            "road_block",
            "lane",
            "ped_crossing",
            "walkway",
            "stop_line",
            "carpark_area",
            "road_divider",
            "lane_divider",
            "traffic_light",
            "lane_connector",
        )
        self.content: dict[str, Any] = {"version": "1.3", "canvas_edge": list(canvas)}
        self.content |= {name: [] for name in names} | {"arcline_path_3": {}, "connectivity": {}}

    def add(self, placed: PlacedRoads) -> None:
        """The roads of one scene."""
        roads, scene = placed.roads, placed.scene
        shift = np.array(placed.origin)
        drivable = [self._polygon(scene, polygon, shift) for polygon in roads.drivable.polygons()]
        self.content["drivable_area"].append({"token": token(scene, "drivable_area"), "polygon_tokens": drivable})
        for polygon in drivable:
            # One road segment is the whole asphalt, so that its outline is the boundary of the road.
            self.content["road_segment"].append(
                {
                    "token": token(polygon, "road_segment"),
                    "polygon_token": polygon,
                    "is_intersection": False,
                    "drivable_area_token": "",
                }
            )
        for polygon in roads.crossings.polygons():
            self._area("ped_crossing", scene, polygon, shift, road_segment_token="")
        for polygon in roads.sidewalks.polygons():
            self._area("walkway", scene, polygon, shift)
        for kind, line in zip(roads.line_kinds, roads.lines, strict=True):
            points = line.astype(np.float64)
            if kind == LineKind.STOP:
                area = shapely.LineString(points).buffer(STOP_AREA_DEPTH_M / 2, cap_style="flat")
                self._area(
                    "stop_line",
                    scene,
                    area,
                    shift,
                    stop_line_type="TURN_STOP",
                    ped_crossing_tokens=[],
                    traffic_light_tokens=[],
                    road_block_token="",
                )
                continue
            line_token, nodes = self._line(scene, points, shift)
            if kind == LineKind.CENTER:
                self.content["road_divider"].append(
                    {"token": token(line_token, "road_divider"), "line_token": line_token, "road_segment_token": None}
                )
            else:
                segment = "DASHED_SEGMENT_WHITE" if kind == LineKind.LANE else "SINGLE_SOLID_WHITE"
                segments = [{"node_token": node, "segment_type": segment} for node in nodes]
                self.content["lane_divider"].append(
                    {
                        "token": token(line_token, "lane_divider"),
                        "line_token": line_token,
                        "lane_divider_segments": segments,
                    }
                )

    def _nodes(self, scene: str, points: NDArray[np.float64], shift: NDArray[np.float64]) -> list[str]:
        tokens = []
        for x, y in points + shift:
            tokens.append(token(scene, "node", len(self.content["node"])))
            self.content["node"].append({"token": tokens[-1], "x": round(float(x), 4), "y": round(float(y), 4)})
        return tokens

    def _polygon(self, scene: str, polygon: shapely.Polygon, shift: NDArray[np.float64]) -> str:
        rings = [np.asarray(ring.coords)[:-1, :2] for ring in (polygon.exterior, *polygon.interiors)]
        outline, *holes = (self._nodes(scene, ring, shift) for ring in rings)
        polygon_token = token(scene, "polygon", len(self.content["polygon"]))
        self.content["polygon"].append(
            {
                "token": polygon_token,
                "exterior_node_tokens": outline,
                "holes": [{"node_tokens": hole} for hole in holes],
            }
        )
        return polygon_token

    def _line(self, scene: str, points: NDArray[np.float64], shift: NDArray[np.float64]) -> tuple[str, list[str]]:
        nodes = self._nodes(scene, points, shift)
        line_token = token(scene, "line", len(self.content["line"]))
        self.content["line"].append({"token": line_token, "node_tokens": nodes})
        return line_token, nodes

    def _area(
        self, layer: str, scene: str, polygon: shapely.Polygon, shift: NDArray[np.float64], **more: object
    ) -> None:
        polygon_token = self._polygon(scene, polygon, shift)
        self.content[layer].append({"token": token(polygon_token, layer), "polygon_token": polygon_token, **more})


def write_map_picture(path: Path, placed: Iterable[PlacedRoads], canvas: tuple[float, float]) -> None:
    """The drivable area as a grey PNG of ten pixels a metre, y upwards; in strips, so that a city fits in memory."""
    width, height = (int(edge * PIXELS_PER_M) for edge in canvas)
    polygons = [
        [
            _pixels(np.asarray(ring.coords)[:, :2] + np.array(item.origin), height)
            for ring in (polygon.exterior, *polygon.interiors)
        ]
        for item in placed
        for polygon in item.roads.drivable.polygons()
    ]
    partial = path.with_name(f".{path.name}.partial")
    with partial.open("wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n")
        _chunk(file, b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
        squeeze = zlib.compressobj(6)
        for top in range(0, height, 2000):
            rows = min(2000, height - top)
            strip = np.zeros((rows, width + 1), np.uint8)  # the first byte of a row is its filter: none
            drawn = np.zeros((rows, width), np.uint8)
            for rings in polygons:
                low, high = min(ring[:, 1].min() for ring in rings), max(ring[:, 1].max() for ring in rings)
                if high >= top and low < top + rows:
                    part = np.zeros((rows, width), np.uint8)
                    cv2.fillPoly(part, [ring - np.array([0, top]) for ring in rings], (255,))
                    drawn |= part
            strip[:, 1:] = drawn
            _chunk(file, b"IDAT", squeeze.compress(strip.tobytes()))
        _chunk(file, b"IDAT", squeeze.flush())
        _chunk(file, b"IEND", b"")
    partial.replace(path)


def _pixels(points: NDArray[np.float64], height: int) -> NDArray[np.int32]:
    x, y = (points * PIXELS_PER_M).T
    return np.stack([np.round(x), height - 1 - np.round(y)], axis=1).astype(np.int32)


def _chunk(file: Any, kind: bytes, content: bytes) -> None:
    file.write(struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content)))
