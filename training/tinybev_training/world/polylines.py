"""Many polylines, or many polygons with holes, in flat arrays that can be written without a pickle."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray


@dataclass(frozen=True)
class Polylines:
    """Polyline i is ``points[starts[i]:starts[i + 1]]``, (P, 2) metres."""

    points: NDArray[np.float32]
    starts: NDArray[np.int32]

    @classmethod
    def of(cls, lines: Iterable[NDArray[np.floating]]) -> Polylines:
        """Packs lines (P_i, 2)."""
        arrays = [np.asarray(line, dtype=np.float32).reshape(-1, 2) for line in lines]
        points = np.concatenate(arrays) if arrays else np.zeros((0, 2), np.float32)
        return cls(points, np.cumsum([0] + [len(line) for line in arrays]).astype(np.int32))

    def __len__(self) -> int:
        return len(self.starts) - 1

    def __iter__(self) -> Iterator[NDArray[np.float32]]:
        for start, end in zip(self.starts[:-1], self.starts[1:], strict=True):
            yield self.points[start:end]


@dataclass(frozen=True)
class Areas:
    """Polygons: their closed rings, and the polygon each ring belongs to; its first ring is the outside."""

    rings: Polylines
    polygon_of_ring: NDArray[np.int32]

    @classmethod
    def of(cls, geometry: shapely.Geometry | Iterable[shapely.Polygon]) -> Areas:
        """Packs the polygons in a shapely geometry (anything else in it is dropped)."""
        polygons = list(polygons_in(geometry))
        rings, owners = [], []
        for index, polygon in enumerate(polygons):
            for ring in (polygon.exterior, *polygon.interiors):
                rings.append(np.asarray(ring.coords)[:, :2])
                owners.append(index)
        return cls(Polylines.of(rings), np.array(owners, dtype=np.int32))

    def polygons(self) -> list[shapely.Polygon]:
        """The polygons again, made valid."""
        grouped: dict[int, list[NDArray[np.float32]]] = {}
        for owner, ring in zip(self.polygon_of_ring.tolist(), self.rings, strict=True):
            grouped.setdefault(owner, []).append(ring)
        made = (shapely.Polygon(rings[0], rings[1:]).buffer(0) for rings in grouped.values())
        return [polygon for geometry in made for polygon in polygons_in(geometry)]


def polygons_in(geometry: shapely.Geometry | Iterable[shapely.Polygon]) -> Iterator[shapely.Polygon]:
    """The non-empty polygons of a geometry or of several."""
    parts = [geometry] if isinstance(geometry, shapely.Geometry) else list(geometry)
    for part in shapely.get_parts(np.array(parts, dtype=object)) if parts else ():
        if isinstance(part, shapely.Polygon) and not part.is_empty:
            yield part
        elif hasattr(part, "geoms"):
            yield from polygons_in(list(part.geoms))


def lines_in(geometry: shapely.Geometry) -> Iterator[NDArray[np.float64]]:
    """The coordinates (P, 2) of the non-empty lines of a geometry."""
    for part in shapely.get_parts(np.array([geometry], dtype=object)):
        if isinstance(part, shapely.LineString) and part.length > 0:
            yield np.asarray(part.coords)[:, :2]
        elif hasattr(part, "geoms"):
            for inner in part.geoms:
                yield from lines_in(inner)
