"""Pictures of the regions: what counts how much in distillation, in one sample and over the training."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from tinybev.draw.palette import (
    BACKGROUND,
    DETECTION_COLORS,
    FAINT_TEXT,
    MAP_COLORS,
    OCCUPIED_NOW,
    PLAN,
    RING,
    TEXT,
    Rgb,
)
from tinybev.draw.strokes import Image, blank, stroke, write
from tinybev.geometry import Array
from tinybev.types import MapClass
from tinybev_training.distill.distiller import RegionView
from tinybev_training.distill.region_masks import Region
from tinybev_training.distill.regions import RegionImportances

_GAP, _MARGIN = 4, 28
_COLORS: tuple[Rgb, ...] = (DETECTION_COLORS[0], MAP_COLORS[MapClass.DIVIDER], OCCUPIED_NOW, PLAN, TEXT)
"""In the order of ``Region``."""


def region_picture(view: RegionView, importances: RegionImportances, sample: int = 0, height: int = 320) -> Image:
    """Panels in one row, BGR, seen from above, x forward up: the weights, brightest at their largest, then the masks.

    Args:
        view: of a batch, from ``Distiller.look``.
        importances: written on the masks' panels, from ``RegionWeights.values``.
        sample: of the batch.
        height: of a panel, pixels.
    """
    weights_XY = view.weights_BXY[sample].float().cpu().numpy()
    extent = f"weights {weights_XY.min():.2f} to {weights_XY.max():.2f}"
    panels = [_panel(weights_XY / weights_XY.max(), extent, height)]
    for region, importance in zip(Region, importances, strict=True):
        mask_XY = view.masks_BRXY[sample, region].float().cpu().numpy()
        panels.append(_panel(mask_XY, f"{region.name.lower()} x {importance:.2f}", height))
    gap = np.full((height, _GAP, 3), 255, dtype=np.uint8)
    return np.hstack([part for panel in panels for part in (panel, gap)][:-1])


def importance_chart(history: Sequence[RegionImportances], size: tuple[int, int] = (320, 640)) -> Image:
    """The importances over the steps of a training, a line a region kind, (height, width, 3) BGR.

    Args:
        history: of one step or more, in order.
        size: height and width, pixels.
    """
    height, width = size
    chart = blank(height, width, BACKGROUND)
    values_SR = np.array(history, dtype=np.float64)
    highest = max(2.0, float(values_SR.max()))
    x_S = np.linspace(_MARGIN, width - _MARGIN, len(values_SR))

    def y_of(importances: Array) -> Array:
        return height - _MARGIN - importances / highest * (height - 2 * _MARGIN)

    for level in range(int(highest) + 1):
        y = float(y_of(np.array(level)))
        stroke(chart, [np.array([[_MARGIN, y], [width - _MARGIN, y]])], RING)
        write(chart, str(level), (8, y + 4), FAINT_TEXT, 0.4)
    for region, color in zip(Region, _COLORS, strict=True):
        stroke(chart, [np.stack([x_S, y_of(values_SR[:, region])], axis=1)], color, 2)
        write(chart, region.name.lower(), (_MARGIN + int(region) * (width - 2 * _MARGIN) / len(Region), 18), color, 0.4)
    return chart


def _panel(values_XY: NDArray[np.float32], title: str, height: int) -> Image:
    """Values of 0 to 1 from dark to bright, (height, as wide as the grid asks, 3)."""
    turned = np.ascontiguousarray(np.round(255 * values_XY[::-1, ::-1]).astype(np.uint8))
    width = round(height * turned.shape[1] / turned.shape[0])
    colored = cv2.applyColorMap(turned, cv2.COLORMAP_INFERNO)
    panel = np.asarray(cv2.resize(colored, (width, height), interpolation=cv2.INTER_NEAREST_EXACT), dtype=np.uint8)
    write(panel, title, (8, 18), TEXT, 0.45, halo=True)
    return panel
