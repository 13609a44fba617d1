"""Boxes, map lines, trajectories and the plan, projected into one camera image."""

from __future__ import annotations

import numpy as np

from tinybev.draw.boxes import EDGES, FRONT_FACE, Boxes
from tinybev.draw.camera_projection import CameraProjection
from tinybev.draw.ground_lines import Pieces
from tinybev.draw.palette import PLAN
from tinybev.draw.shapes import Shapes
from tinybev.draw.strokes import Image, Label, blended, fill, stroke, write_labels
from tinybev.types import Floats, Ints

_LABEL_FROM_PX = 16.0  # a box lower than this gets no label: it would hide the object


def draw_camera(image: Image, projection: CameraProjection, shapes: Shapes, scale: float = 1.0) -> None:
    """Draws ``shapes`` into a camera's image.

    Args:
        image: (H, W, 3) BGR, changed in place.
        projection: of this camera at this size.
        shapes: what to draw.
        scale: multiplies strokes and text.
    """
    if len(ribbon := projection.polygon(shapes.ribbon)):
        with blended(image, 0.35) as layer:
            fill(layer, [ribbon], PLAN)
    _pieces(image, projection, shapes.pieces, scale)
    _boxes(image, projection, shapes.detections, scale)
    _boxes(image, projection, shapes.truth, scale)


def _pieces(image: Image, projection: CameraProjection, pieces: Pieces, scale: float) -> None:
    pixels, piece, depth = projection.lines(pieces.starts, pieces.ends)
    style_ids = pieces.style_ids[piece]
    weights = np.array([style.weight for style in pieces.styles], dtype=np.float64)[style_ids]
    thickness = _thickness(weights * scale, depth)
    for opacity in sorted({pieces.styles[style_id].opacity for style_id in np.unique(style_ids)}):
        with blended(image, opacity) as layer:
            for style_id, style in enumerate(pieces.styles):
                of_style = style_ids == style_id
                if style.opacity == opacity:
                    for width in np.unique(thickness[of_style]):
                        stroke(layer, pixels[of_style & (thickness == width)], style.color, int(width))


def _thickness(weight: Floats, depth: Floats) -> Ints:
    """Pixels: the full weight up to 15 m, less beyond, and half as much again close by."""
    return np.maximum(np.rint(weight * np.clip(15.0 / np.maximum(depth, 1e-3), 0.3, 1.5)), 1).astype(int)


def _boxes(image: Image, projection: CameraProjection, boxes: Boxes, scale: float) -> None:
    """Wire frames, the farthest first, with a line on the floor towards the front."""
    if not len(boxes):
        return
    middle, front = boxes.headings
    edges = boxes.corners[:, EDGES]
    starts = np.concatenate([edges[:, :, 0], middle[:, None]], axis=1)
    ends = np.concatenate([edges[:, :, 1], front[:, None]], axis=1)
    pixels, line, _ = projection.lines(starts.reshape(-1, 3), ends.reshape(-1, 3))
    box_of_line = line // starts.shape[1]
    depth = projection.points(boxes.corners.mean(axis=1))[1]
    seen = np.unique(box_of_line)
    farthest_first = seen[np.argsort(-depth[seen], kind="stable")]
    thickness = _thickness(np.full(len(boxes), boxes.weight * scale), depth)
    if boxes.tinted:
        with blended(image, 0.3) as layer:
            for box in farthest_first:
                if len(face := projection.polygon(boxes.corners[box, FRONT_FACE])):
                    fill(layer, [face], boxes.colors[box])
    labels = []
    for box in farthest_first:
        drawn = pixels[box_of_line == box]
        stroke(image, drawn, boxes.colors[box], int(thickness[box]))
        (left, top), (right, bottom) = drawn.min(axis=(0, 1)), drawn.max(axis=(0, 1))
        middle_x = float(left + right) / 2
        if boxes.labels[box] and bottom - top >= _LABEL_FROM_PX * scale and 0 <= middle_x < image.shape[1]:
            labels.append(Label(boxes.labels[box], (middle_x, top - 3 * scale), boxes.colors[box]))
    write_labels(image, labels[::-1], 0.42 * scale)
