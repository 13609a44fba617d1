"""Simple losses that pull every head of a student to the targets of one keyframe, and what they are computed from.

They serve one test, which asks whether each head can learn at all; training has its own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from tinybev_training.data.sample import Sample
from torch import Tensor
from torch.nn import functional

from tinybev.geometry import BevGrid
from tinybev.model.bev_encoder import sample_cells
from tinybev.model.config import StudentConfig
from tinybev.model.heads.peaks import Peaks
from tinybev.model.student import StudentOutputs
from tinybev.runtime.decode.occupancy import VEHICLES
from tinybev.types import DETECTION_CLASSES


@dataclass(frozen=True)
class KeyframeTargets:
    """What the heads shall say of one keyframe, as a batch of one; A agents have their centre on the grid.

    Attributes:
        rows: which of the sample's agents they are; one a class and cell.
        agents: their classes and cells, as the motion head takes them.
        heatmap: (1, 10, X, Y) with a Gaussian at every centre.
        box: (1, A, 10) offset, height, log size, sine, cosine, velocity (NaN where unknown).
        attributes: (1, A) index, -1 for none.
        futures: (1, A, T, 2) less the position now; ``futures_known`` (1, A, T).
        map_masks, map_known: (1, 4, X, Y), (4,).
        occupied: (1, T, X, Y); flow: (1, T, 2, X, Y) to the centre one step before, NaN where nobody is.
        plan: (1, T, 2); plan_heading: (1, T, 2) sine and cosine.
    """

    rows: np.ndarray
    agents: Peaks
    heatmap: Tensor
    box: Tensor
    attributes: Tensor
    futures: Tensor
    futures_known: Tensor
    map_masks: Tensor
    map_known: Tensor
    occupied: Tensor
    flow: Tensor
    plan: Tensor
    plan_heading: Tensor


def keyframe_targets(sample: Sample, config: StudentConfig) -> KeyframeTargets:
    """The targets of a sample whose map and occupancy are on the configuration's grid."""
    grid, boxes = config.head_grid, sample.agents.boxes
    cells = grid.metric_to_cell(boxes.centers[:, :2])
    inside = ((cells >= 0) & (cells < grid.shape)).all(axis=1)
    flat = np.floor(cells).astype(int) @ [grid.shape[1], 1]
    _, first = np.unique(
        np.stack([boxes.class_ids, np.where(inside, flat, -1 - np.arange(len(flat)))]), axis=1, return_index=True
    )
    rows = np.sort(first[inside[first]])
    box = np.concatenate(
        [
            cells - np.floor(cells),
            boxes.centers[:, 2:],
            np.log(boxes.sizes),
            np.sin(boxes.yaws)[:, None],
            np.cos(boxes.yaws)[:, None],
            boxes.velocities,
        ],
        axis=1,
    )
    known = sample.agents.futures_valid[rows]
    futures = sample.agents.futures[rows] - boxes.centers[rows, None, :2]
    return KeyframeTargets(
        rows=rows,
        agents=Peaks(torch.ones(1, len(rows)), _batch(boxes.class_ids[rows]), _batch(flat[rows])),
        heatmap=_heatmap(cells[rows], boxes.class_ids[rows], grid),
        box=_batch(box[rows]).float(),
        attributes=_batch(boxes.attribute_ids[rows]),
        futures=_batch(np.where(known[..., None], futures, 0.0)).float(),
        futures_known=_batch(known),
        map_masks=_batch(sample.map.masks).float(),
        map_known=torch.from_numpy(sample.map.valid),
        occupied=_batch(sample.occupancy.instances > 0).float(),
        flow=_batch(_flow(sample)).float(),
        plan=_batch(sample.plan.positions).float(),
        plan_heading=_batch(np.stack([np.sin(sample.plan.yaws), np.cos(sample.plan.yaws)], axis=1)).float(),
    )


def losses(outputs: StudentOutputs, targets: KeyframeTargets) -> dict[str, Tensor]:
    """One figure a head; ``outputs.motion`` must be of the targets' agents."""
    dense = torch.cat(outputs.detection[1:6], dim=1)
    box = sample_cells(dense, targets.agents.cell_BA)
    known = targets.box.isfinite()
    attribute = sample_cells(outputs.detection.attribute_BAXY, targets.agents.cell_BA)
    with_attribute = targets.attributes >= 0
    miss = (outputs.motion.offset_BAKT2 - targets.futures[:, :, None]).norm(dim=-1) * targets.futures_known[:, :, None]
    best = miss.sum(dim=-1).argmin(dim=-1)
    gaussian = _negative_log_likelihood(outputs, targets, best)
    there = targets.flow.isfinite()
    return {
        "centres": 3 * _focal(outputs.detection.heatmap_BKXY, targets.heatmap),
        "boxes": 5 * (box - targets.box)[known].abs().mean(),
        "attributes": functional.cross_entropy(attribute[with_attribute], targets.attributes[with_attribute]),
        "map": sum(
            0.5 * _per_positive(outputs.map_BKXY[:, k], targets.map_masks[:, k])
            for k in torch.nonzero(targets.map_known)[:, 0]
        ),
        "occupancy": _per_positive(outputs.occupancy.logits_BTXY, targets.occupied),
        "flow": (outputs.occupancy.flow_BT2XY - targets.flow)[there].abs().mean(),
        "motion": 0.2 * gaussian,
        "modes": functional.cross_entropy(outputs.motion.logits_BAK.flatten(0, 1), best.flatten()),
        "plan": (outputs.plan.position_BT2 - targets.plan).abs().mean(),
        "heading": (outputs.plan.heading_BT2 - targets.plan_heading).abs().mean(),
    }


def _negative_log_likelihood(outputs: StudentOutputs, targets: KeyframeTargets, best: Tensor) -> Tensor:
    """Of the futures under the best mode, each axis by itself, plus their distance from it."""
    index = best[:, :, None, None, None].expand(-1, -1, 1, *targets.futures.shape[2:])
    mean = outputs.motion.offset_BAKT2.gather(2, index)[:, :, 0]
    log_sigma = outputs.motion.log_sigma_BAKT2.gather(2, index)[:, :, 0].clamp(-2, 3)
    error = mean - targets.futures
    each = (error / log_sigma.exp()).square() / 2 + log_sigma + 4 * error.abs()
    return each[targets.futures_known].mean()


def _per_positive(logits: Tensor, target: Tensor) -> Tensor:
    """Cross entropy of all cells over the number of positive ones, so that few do not drown in many."""
    return functional.binary_cross_entropy_with_logits(logits, target, reduction="sum") / target.sum()


def _focal(logits: Tensor, target: Tensor) -> Tensor:
    """CenterNet's penalty-reduced focal loss."""
    probability = logits.sigmoid().clamp(1e-4, 1 - 1e-4)
    center = target == 1
    hit = -((1 - probability) ** 2) * probability.log()
    miss = -(probability**2) * (1 - probability).log() * (1 - target) ** 4
    return (hit[center].sum() + miss[~center].sum()) / center.sum()


def _heatmap(cells: np.ndarray, class_ids: np.ndarray, grid: BevGrid) -> Tensor:
    rows, columns = np.mgrid[0 : grid.shape[0], 0 : grid.shape[1]]
    heatmap = np.zeros((len(DETECTION_CLASSES), *grid.shape), dtype=np.float32)
    for class_id, (row, column) in zip(class_ids, np.floor(cells), strict=True):
        bump = np.exp(-((rows - row) ** 2 + (columns - column) ** 2) / 2)
        heatmap[class_id] = np.maximum(heatmap[class_id], bump)
    return torch.from_numpy(heatmap)[None]


def _flow(sample: Sample) -> np.ndarray:
    """(T, 2, X, Y) metres from each occupied cell to the centre that its vehicle had one step before; NaN elsewhere."""
    instances, grid, agents = sample.occupancy.instances, sample.occupancy.grid, sample.agents
    x, y = np.meshgrid(*grid.cell_centers(), indexing="ij")
    flow = np.full((len(instances), 2, *grid.shape), np.nan)
    vehicles = [DETECTION_CLASSES.index(name) for name in VEHICLES]
    for n in np.flatnonzero(np.isin(agents.boxes.class_ids, vehicles)):
        track = np.vstack([agents.boxes.centers[n, :2], agents.futures[n]])
        known = np.concatenate([[True], agents.futures_valid[n]])
        for step in range(len(instances)):
            before = max(step - 1, 0)
            if known[before]:
                mine = instances[step] == agents.boxes.track_ids[n]
                flow[step][:, mine] = track[before][:, None] - np.stack([x[mine], y[mine]])
    return flow


def _batch(array: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array))[None]
