"""How many annotated objects have another one of their class in a neighbouring cell of the detection head, where only
one of the two can be the highest of 3x3 cells: one line a class, for several sizes of the cells.

    python benchmarks/crowded_cells.py DATAROOT VERSION SPLIT
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from tinybev_training.data.bev_augmentation import AS_RECORDED
from tinybev_training.data.dataset import open_dataset
from tinybev_training.losses.boxes import grid_places
from tqdm import tqdm

from tinybev.errors import UserError
from tinybev.geometry import BevGrid
from tinybev.types import DETECTION_CLASSES

CELLS_M = (0.8, 1.024, 1.6)
"""The grid of the smaller variants, the heads of tinybev-base, the heads of the smaller variants."""
HALF_M = 51.2
SAMPLES = 300


def crowded(xy_A2: np.ndarray, cell_m: float) -> np.ndarray:
    """(A,) whether the next cell, or the same one, holds another of the points (A, 2)."""
    bound = (-HALF_M, HALF_M, cell_m)
    cell_A2 = grid_places(torch.as_tensor(xy_A2)[None], BevGrid(bound, bound)).position_BA2[0].floor().numpy()
    apart_AA = np.abs(cell_A2[:, None] - cell_A2[None]).max(axis=-1)
    np.fill_diagonal(apart_AA, np.inf)
    return apart_AA.min(axis=1, initial=np.inf) <= 1


def main(arguments: Sequence[str]) -> int:
    """Prints the table; 0, or 2 where the dataset cannot be opened."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataroot", type=Path, help="folder of a nuScenes-format dataset")
    parser.add_argument("version", help="of the dataset, like v1.0-mini")
    parser.add_argument("split", help="of the version, like mini_val")
    args = parser.parse_args(arguments)
    try:
        print(table(args.dataroot, args.version, args.split))
    except UserError as error:
        print(f"crowded_cells: {error}", file=sys.stderr)
        return 2
    return 0


def table(dataroot: Path, version: str, split: str) -> str:
    """Counts over samples spread evenly over the split, as Markdown.

    Raises:
        UserError: the dataset cannot be opened.
    """
    dataset = open_dataset(dataroot, version, split, with_lidar=False)
    counts = np.zeros((len(DETECTION_CLASSES), 1 + len(CELLS_M)), int)
    for index in tqdm(np.linspace(0, len(dataset) - 1, min(SAMPLES, len(dataset))).astype(int), unit="sample"):
        agents = dataset.sample(int(index), AS_RECORDED).agents
        boxes = agents.boxes
        seen_A = (agents.lidar_points > 0) & (np.abs(boxes.centers[:, :2]).max(axis=1) < HALF_M)
        for class_id in range(len(DETECTION_CLASSES)):
            xy_A2 = boxes.centers[seen_A & (boxes.class_ids == class_id), :2]
            counts[class_id] += [len(xy_A2), *(int(crowded(xy_A2, cell_m).sum()) for cell_m in CELLS_M)]
    lines = [
        f"| class | objects | {' | '.join(f'{cell_m:g} m' for cell_m in CELLS_M)} |",
        f"| --- | ---: |{' ---: |' * len(CELLS_M)}",
    ]
    for name, (total, *near) in zip(DETECTION_CLASSES, counts.tolist(), strict=True):
        lines.append(f"| {name} | {total} | {' | '.join(f'{100 * count / max(total, 1):.0f} %' for count in near)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
