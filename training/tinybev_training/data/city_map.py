"""nuScenes' map expansion, read once per place -> the map around a pose."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import shapely
from nuscenes.map_expansion.map_api import NuScenesMap, locations
from shapely.geometry import Polygon
from shapely.geometry.base import BaseGeometry

from tinybev.errors import UserError
from tinybev.geometry import Array, invert, transform_points
from tinybev.types import MapClass
from tinybev_training.data.surroundings import MapGeometry

NO_MAP = MapGeometry({}, None)
"""Where there is no map: every class is unknown."""


@dataclass(frozen=True)
class CityMap:
    """The map of one place, metres in the map frame.

    Attributes:
        lines: of each line class, simple lines in an index by place; no entry for a class that the map has none of.
        drivable: polygons in an index by place, None where the map has none.
    """

    lines: dict[MapClass, shapely.STRtree]
    drivable: shapely.STRtree | None

    def around(self, map_T_base: Array, radius_m: float) -> MapGeometry:
        """The map within a square of ``radius_m`` to each side of the ego, in base_link.

        The map is flat: it is taken to lie at the height of the ego's origin. Lines end at the square, and polygons
        are cut along it, so ``radius_m`` has to reach past the corners of any grid it is drawn onto.
        """
        x, y, z = map_T_base[:3, 3]
        window = (x - radius_m, y - radius_m, x + radius_m, y + radius_m)
        base_T_map = invert(map_T_base)

        def seen(geometry: BaseGeometry) -> Array:
            """(P, 2) coordinates of a simple line or ring, in base_link."""
            points = shapely.get_coordinates(geometry)
            return transform_points(base_T_map, np.column_stack([points, np.full(len(points), z)]))[:, :2]

        lines = {
            map_class: tuple(seen(line) for line in _cut(index, window)) for map_class, index in self.lines.items()
        }
        if self.drivable is None:
            return MapGeometry(lines, None)
        polygons = _polygons(_cut(self.drivable, window))
        drivable = tuple(tuple(seen(ring) for ring in (p.exterior, *p.interiors)) for p in polygons)
        return MapGeometry(lines, drivable)


def open_city_map(dataroot: Path, location: str) -> CityMap | None:
    """The map of ``location``, None where its expansion is not at hand.

    UniAD's classes: dividers are road and lane dividers; a crossing is the two longest edges of its outline; the
    boundary is the outline of all road segments and lanes together. Where an expansion has no road segments the lanes'
    outline would run across every junction, and the drivable area's outline is taken instead.

    Raises:
        UserError: the expansion is there and cannot be read.
    """
    file = dataroot / "maps" / "expansion" / f"{location}.json"
    if location not in locations or not file.is_file():
        return None
    try:
        city = NuScenesMap(dataroot=str(dataroot), map_name=location)
    except Exception as error:  # the devkit raises bare Exception for an outdated map
        raise UserError(
            f"the map expansion {file} cannot be read ({type(error).__name__}: {error}); download version 1.3 or "
            "later from nuscenes.org, or remove the file to go without."
        ) from error
    dividers = [city.extract_line(record["line_token"]) for record in (*city.road_divider, *city.lane_divider)]
    crossings = [edge for p in _layer(city, "ped_crossing") for edge in two_longest_edges(p)]
    drivable = [
        _mended(city.extract_polygon(token)) for record in city.drivable_area for token in record["polygon_tokens"]
    ]
    roads = [*_layer(city, "road_segment"), *_layer(city, "lane")] if city.road_segment else drivable
    lines = {
        MapClass.DIVIDER: [line for line in dividers if not line.is_empty],
        MapClass.CROSSING: crossings,
        MapClass.BOUNDARY: _outlines(roads),
    }
    return CityMap(
        {map_class: shapely.STRtree(of_class) for map_class, of_class in lines.items() if of_class},
        shapely.STRtree(drivable) if drivable else None,
    )


def _layer(city: NuScenesMap, name: str) -> list[BaseGeometry]:
    return [_mended(city.extract_polygon(record["polygon_token"])) for record in getattr(city, name)]


def _mended(polygon: BaseGeometry) -> BaseGeometry:
    """The polygon; an outline that touches or crosses itself made valid."""
    return polygon if polygon.is_valid else polygon.buffer(0)


def _outlines(polygons: list[BaseGeometry]) -> list[BaseGeometry]:
    """The outlines and holes of all polygons together."""
    union = shapely.unary_union(polygons)
    return [ring for polygon in _polygons([union]) for ring in (polygon.exterior, *polygon.interiors)]


def two_longest_edges(polygon: BaseGeometry) -> Iterator[BaseGeometry]:
    """The two longest edges of each polygon in it: of a crossing, those that people walk along."""
    for part in _polygons([polygon]):
        corners = np.asarray(part.exterior.coords)
        longest = np.argsort(np.linalg.norm(np.diff(corners, axis=0), axis=1), kind="stable")[-2:]
        yield from (shapely.LineString(corners[edge : edge + 2]) for edge in longest)


def _cut(index: shapely.STRtree, window: tuple[float, float, float, float]) -> Iterator[BaseGeometry]:
    """The simple parts, inside ``window``, of the index's geometries."""
    for n in index.query(shapely.box(*window)):
        part = shapely.clip_by_rect(index.geometries[n], *window)
        yield from (single for single in shapely.get_parts(part) if not single.is_empty)


def _polygons(geometries: Iterable[BaseGeometry]) -> Iterator[Polygon]:
    for geometry in geometries:
        yield from (part for part in shapely.get_parts(geometry) if isinstance(part, Polygon) and not part.is_empty)
