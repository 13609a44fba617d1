"""Raw occupancy outputs to probabilities and instances that keep their id over all steps."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tinybev.geometry import BevGrid
from tinybev.model.heads.occupancy import OccupancyOutputs
from tinybev.types import DETECTION_CLASSES, Detections, Floats, Ints, Occupancy

VEHICLES = ("car", "truck", "construction_vehicle", "bus", "trailer", "motorcycle", "bicycle")
"""The classes of which occupancy is predicted, as in UniAD."""
MATCH_RADIUS_M = 3.0
"""How near to an object's centre a cell's flow must end for the cell to be the object's."""


def decode_occupancy(
    outputs: OccupancyOutputs, detections: Detections, grid: BevGrid, time_step_s: float, threshold: float
) -> Occupancy:
    """The occupancy of the first frame of a batch.

    A cell's flow ends at the centre that its object had one step before (now, at step 0). So the cells at step 0 take
    the id of the detected vehicle whose centre is nearest to where their flow ends, and the cells of every later step
    the id of the object whose cells' mean, one step before, is nearest. A cell without such a neighbour has id 0.

    Args:
        outputs: of the occupancy head.
        detections: tracked; the ids are theirs.
        grid: of the outputs.
        time_step_s: between steps.
        threshold: from this probability on a cell belongs to an object.
    """
    probability_TXY = outputs.logits_BTXY[0].sigmoid().numpy()
    flow_T2XY = outputs.flow_BT2XY[0].numpy()
    x, y = grid.cell_centers()
    vehicle = np.isin(detections.class_ids, [DETECTION_CLASSES.index(name) for name in VEHICLES])
    ids, centers = detections.track_ids[vehicle], detections.centers[vehicle, :2]
    instances_TXY = np.zeros(probability_TXY.shape, dtype=np.int64)
    for step, occupied_XY in enumerate(probability_TXY >= threshold):
        row, column = np.divmod(np.flatnonzero(occupied_XY), grid.shape[1])
        cells = np.stack([x[row], y[column]], axis=1)
        cell_ids = _nearest_id(cells + flow_T2XY[step][:, row, column].T, ids, centers)
        instances_TXY[step][row, column] = cell_ids
        ids, centers = _means(cell_ids, cells)
    return Occupancy(probability_TXY, instances_TXY, grid, time_step_s)


def _nearest_id(points: Floats, ids: Ints, centers: Floats) -> NDArray[np.int64]:
    """For each point (M, 2) the id of the nearest centre (N, 2), 0 where none is within ``MATCH_RADIUS_M``."""
    if len(ids) == 0 or len(points) == 0:
        return np.zeros(len(points), dtype=np.int64)
    squared_MN = ((points[:, None].astype(np.float32) - centers[None].astype(np.float32)) ** 2).sum(axis=2)
    nearest_M = squared_MN.argmin(axis=1)
    near_enough_M = squared_MN[np.arange(len(points)), nearest_M] <= MATCH_RADIUS_M**2
    return np.where(near_enough_M, ids[nearest_M], 0)


def _means(cell_ids: Ints, cells: Floats) -> tuple[Ints, Floats]:
    """The ids but 0, and the mean of the cells (M, 2) of each."""
    ids, of_id, counts = np.unique(cell_ids, return_inverse=True, return_counts=True)
    sums = np.stack([np.bincount(of_id, weights=cells[:, axis], minlength=len(ids)) for axis in (0, 1)], axis=1)
    return ids[ids > 0], (sums / counts[:, None])[ids > 0]
