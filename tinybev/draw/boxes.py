"""Boxes as corners, edges, colours and labels, computed once and drawn in every view."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tinybev.draw.palette import DETECTION_COLORS, TRUTH, Rgb
from tinybev.geometry import Array, box_corners
from tinybev.types import Detections

EDGES = np.array([(0, 1), (1, 2), (2, 3), (3, 0), (4, 5), (5, 6), (6, 7), (7, 4), (0, 4), (1, 5), (2, 6), (3, 7)])
"""(12, 2): the corners each edge joins, numbered as in ``geometry.box_corners``."""

FRONT_FACE = np.array([0, 1, 5, 4])
"""The corners of the face that looks where the object is heading."""


@dataclass(frozen=True)
class Boxes:
    """Boxes in base_link.

    Attributes:
        corners: (N, 8, 3), in the order of ``geometry.box_corners``.
        colors: one a box.
        labels: one a box, the track id; empty where it has none.
        weight: thickness of the edges against other lines'.
        tinted: whether the front face is tinted.
    """

    corners: Array
    colors: tuple[Rgb, ...]
    labels: tuple[str, ...]
    weight: float = 2.0
    tinted: bool = True

    @classmethod
    def of_detections(cls, detections: Detections | None) -> Boxes:
        """Detected objects in the colours of their classes, labelled with their track ids; none for None."""
        if detections is None:
            return cls(np.empty((0, 8, 3)), (), ())
        return cls(
            _corners(detections),
            tuple(DETECTION_COLORS[int(class_id)] for class_id in detections.class_ids),
            tuple(str(track_id) if track_id > 0 else "" for track_id in detections.track_ids),
        )

    @classmethod
    def of_truth(cls, truth: Detections | None) -> Boxes:
        """Annotations, all in one colour of their own and without labels; none for None."""
        if truth is None:
            return cls.of_detections(None)
        return cls(_corners(truth), (TRUTH,) * len(truth), ("",) * len(truth), weight=1.0, tinted=False)

    def __len__(self) -> int:
        return len(self.corners)

    @property
    def headings(self) -> tuple[Array, Array]:
        """(N, 3) the middle of the floor and (N, 3) the middle of its front edge: which way each object looks."""
        return self.corners[:, :4].mean(axis=1), self.corners[:, :2].mean(axis=1)


def _corners(detections: Detections) -> Array:
    rows = zip(detections.centers, detections.sizes, detections.yaws, strict=True)
    corners = [box_corners(center, size, float(yaw)) for center, size, yaw in rows]
    return np.stack(corners) if corners else np.empty((0, 8, 3))
