"""Pictures of the regions: what counts how much in distillation, in one sample."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from tinybev.draw.palette import TEXT
from tinybev.draw.strokes import Image, write
from tinybev_training.distill.distiller import RegionView
from tinybev_training.distill.region_masks import Region
from tinybev_training.distill.regions import RegionImportances

_GAP = 4


def region_picture(
    view: RegionView, importances: RegionImportances, sample: int = 0, height: int = 320, title: str = "weights"
) -> Image:
    """Panels in one row, BGR, seen from above, x forward up: the weights, brightest at their largest, then the masks.

    Args:
        view: of a batch, ``Distiller.view``.
        importances: written on the masks' panels, from ``RegionWeights.values``.
        sample: of the batch.
        height: of a panel, pixels.
        title: written on the first panel before the smallest and the largest weight.
    """
    weights_XY = view.weights_BXY[sample].float().cpu().numpy()
    extent = f"{title} {weights_XY.min():.2f} to {weights_XY.max():.2f}"
    panels = [_panel(weights_XY / weights_XY.max(), extent, height)]
    for region, importance in zip(Region, importances, strict=True):
        mask_XY = view.masks_BRXY[sample, region].float().cpu().numpy()
        panels.append(_panel(mask_XY, f"{region.name.lower()} x {importance:.2f}", height))
    gap = np.full((height, _GAP, 3), 255, dtype=np.uint8)
    return np.hstack([part for panel in panels for part in (panel, gap)][:-1])


def _panel(values_XY: NDArray[np.float32], title: str, height: int) -> Image:
    """Values of 0 to 1 from dark to bright, (height, as wide as the grid asks, 3)."""
    turned = np.ascontiguousarray(np.round(255 * values_XY[::-1, ::-1]).astype(np.uint8))
    width = round(height * turned.shape[1] / turned.shape[0])
    colored = cv2.applyColorMap(turned, cv2.COLORMAP_INFERNO)
    panel = np.asarray(cv2.resize(colored, (width, height), interpolation=cv2.INTER_NEAREST_EXACT), dtype=np.uint8)
    write(panel, title, (8, 18), TEXT, 0.45, halo=True)
    return panel
