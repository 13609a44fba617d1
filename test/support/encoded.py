"""Raw outputs that say a known thing: what a perfect network would put out for given boxes and futures."""

from __future__ import annotations

import numpy as np
import torch

from tinybev.geometry import BevGrid
from tinybev.model.heads.detection import DetectionOutputs
from tinybev.model.heads.motion import MotionOutputs
from tinybev.model.heads.peaks import PeakFinder, Peaks
from tinybev.types import ATTRIBUTES, DETECTION_CLASSES, Detections


def random_boxes(count: int, grid: BevGrid, seed: int = 0) -> Detections:
    """Boxes all over the grid, no two within four cells of each other, best first."""
    random = np.random.default_rng(seed)
    rows, columns = grid.shape
    every_fourth = np.stack(np.meshgrid(np.arange(2, rows - 2, 4), np.arange(2, columns - 2, 4)), axis=-1).reshape(
        -1, 2
    )
    cells = random.permutation(every_fourth)[:count] + random.uniform(0.05, 0.95, (count, 2))
    class_ids = random.integers(0, len(DETECTION_CLASSES), count)
    groups = {
        "motorcycle": (0, 2),
        "bicycle": (0, 2),
        "pedestrian": (2, 5),
        "barrier": (-1, 0),
        "traffic_cone": (-1, 0),
    }
    ranges = [groups.get(DETECTION_CLASSES[class_id], (5, 8)) for class_id in class_ids]
    return Detections(
        centers=np.column_stack([grid.cell_to_metric(cells), random.uniform(-1, 2, count)]),
        sizes=random.uniform(0.3, 12.0, (count, 3)),
        yaws=random.uniform(-np.pi, np.pi, count),
        velocities=random.uniform(-15, 15, (count, 2)),
        scores=np.sort(random.uniform(0.35, 0.95, count))[::-1].copy(),
        class_ids=class_ids,
        attribute_ids=np.array([random.integers(low, high) for low, high in ranges], dtype=np.int64),
        track_ids=np.zeros(count, dtype=np.int64),
    )


def encode_detections(boxes: Detections, grid: BevGrid, capacity: int) -> tuple[DetectionOutputs, Peaks]:
    """The outputs of a network that sees exactly ``boxes``, and its ``capacity`` peaks."""
    rows, columns = grid.shape
    heatmap = torch.full((1, len(DETECTION_CLASSES), rows, columns), -8.0, dtype=torch.float64)
    box_maps = torch.zeros(1, 10, rows, columns, dtype=torch.float64)
    attributes = torch.zeros(1, len(ATTRIBUTES), rows, columns, dtype=torch.float64)
    cells = grid.metric_to_cell(boxes.centers[:, :2])
    corners = np.floor(cells).astype(int)
    for n, (row, column) in enumerate(corners):
        heatmap[0, boxes.class_ids[n], row, column] = float(np.log(boxes.scores[n] / (1 - boxes.scores[n])))
        values = [
            *(cells[n] - corners[n]),
            boxes.centers[n, 2],
            *np.log(boxes.sizes[n]),
            1.7 * np.sin(boxes.yaws[n]),  # of any length
            1.7 * np.cos(boxes.yaws[n]),
            *boxes.velocities[n],
        ]
        box_maps[0, :, row, column] = torch.tensor(values)
        # Attributes that the class cannot have score higher, and must not win.
        attributes[0, :, row, column] = 9.0
        group = [k for k, name in enumerate(ATTRIBUTES) if name.split(".")[0] == _group(boxes.attribute_ids[n])]
        attributes[0, group, row, column] = -1.0
        if boxes.attribute_ids[n] >= 0:
            attributes[0, boxes.attribute_ids[n], row, column] = 2.0
    outputs = DetectionOutputs(heatmap, *box_maps.split((2, 1, 3, 2, 2), dim=1), attributes)
    return outputs, PeakFinder(capacity)(heatmap)


def random_motion(capacity: int, seed: int = 0) -> MotionOutputs:
    """Futures of ``capacity`` agents, 6 modes of 12 steps."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(1, capacity, 6, *shape, generator=generator, dtype=torch.float64)

    return MotionOutputs(normal(12, 2).cumsum(dim=3), normal(12, 2), normal(12).tanh(), normal())


def _group(attribute_id: int) -> str:
    return ATTRIBUTES[attribute_id].split(".")[0] if attribute_id >= 0 else ""
