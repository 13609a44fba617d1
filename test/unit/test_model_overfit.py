"""Every head of the smallest student learns one real keyframe by heart; the runtime reads it back from a bundle."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tqdm import tqdm

from tinybev.draw.mosaic import draw_mosaic
from tinybev.draw.overlay import Overlay
from tinybev.draw.picture_files import write_png
from tinybev.geometry import BevGrid, wrap_angle
from tinybev.model.config import find_variant
from tinybev.model.student import seeded_student
from tinybev.runtime.bundle import load_bundle, make_bundle, save_bundle
from tinybev.runtime.options import PipelineOptions
from tinybev.runtime.pipeline import Pipeline
from tinybev.runtime.preprocess import Preprocessor
from tinybev.types import MapClass, Results

pytest.importorskip("tinybev_training", reason="the targets come from the training package")

STEPS = 200
LEARNING_RATE = 4e-3
PICTURE = Path("out/tests/overfit_one_keyframe.png")


def iou(got: np.ndarray, expected: np.ndarray) -> float:
    return float((got & expected).sum() / (got | expected).sum())


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_every_head_fits_one_real_keyframe(nuscenes_dataroot: Path, tmp_path: Path) -> None:
    from keyframe_losses import keyframe_targets, losses
    from tinybev_training.data.dataset import TargetGrids, open_dataset

    config = replace(find_variant("nano"), bev_stem_stride=1)  # at 1.6 m neighbours in this crowd share a cell
    grids = TargetGrids(map=config.grid, occupancy=config.grid)
    dataset = open_dataset(nuscenes_dataroot, "v1.0-mini", scenes=["scene-0061"], grids=grids, with_lidar=False)
    sample = dataset[0]
    targets = keyframe_targets(sample, config)
    inputs = Preprocessor(config, use_ego_status=True).prepare(sample.frame).inputs

    student = seeded_student(config, 0).train()
    optimizer = torch.optim.AdamW(student.parameters(), lr=LEARNING_RATE, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=STEPS, pct_start=0.1)
    for _ in tqdm(range(STEPS), desc="one keyframe", disable=None):
        optimizer.zero_grad()
        sum(losses(student(inputs, agents=targets.agents), targets).values()).backward()
        torch.nn.utils.clip_grad_norm_(student.parameters(), 10.0)
        optimizer.step()
        schedule.step()

    save_bundle(make_bundle("overfit", config, student.state_dict(), "one keyframe"), tmp_path / "overfit")
    pipeline = Pipeline(load_bundle(str(tmp_path / "overfit")), PipelineOptions(device="cpu", refine_plan=False))
    results = pipeline.run(sample.frame)
    PICTURE.parent.mkdir(parents=True, exist_ok=True)
    write_png(PICTURE, draw_mosaic(sample.frame, Overlay.of_results(results, "one keyframe", sample.agents.boxes)))

    assert_detections_and_futures(results, sample.agents, targets.rows, config.head_grid)
    occupied = sample.occupancy.instances > 0
    for step in range(config.occupancy_steps):
        assert iou(results.occupancy.probability[step] > 0.5, occupied[step]) > 0.6
    assert (results.occupancy.instances[0][occupied[0]] > 0).mean() > 0.8
    for map_class in (MapClass.DIVIDER, MapClass.BOUNDARY, MapClass.DRIVABLE):
        assert sample.map.valid[map_class]
        assert iou(results.map.masks[map_class] > 0.5, sample.map.masks[map_class]) > 0.8, map_class
        assert any(segment.map_class == map_class for segment in results.map.segments)
    assert np.abs(results.plan.positions - sample.plan.positions).max() < 0.5
    assert np.abs(wrap_angle(results.plan.yaws - sample.plan.yaws)).max() < 0.1


def assert_detections_and_futures(results: Results, agents: object, rows: np.ndarray, grid: BevGrid) -> None:
    """Every annotated agent that has its neighbourhood to itself is found in its place, and hardly anything else is.

    Of two of one class in neighbouring cells a heatmap shows one peak, but for barriers and cones: the others need a
    finer grid than this network's.
    """
    truth, found, futures = agents.boxes, results.detections, results.trajectories  # type: ignore[attr-defined]
    distance = np.linalg.norm(found.centers[:, None, :2] - truth.centers[None, rows, :2], axis=2)
    distance[found.class_ids[:, None] != truth.class_ids[None, rows]] = np.inf
    matched = distance.argmin(axis=0)
    hit = distance.min(axis=0) < 0.5
    cells = np.floor(grid.metric_to_cell(truth.centers[rows, :2]))
    apart = np.abs(cells[:, None] - cells[None]).max(axis=2) + np.where(np.eye(len(rows)), np.inf, 0.0)
    alone = (np.where(truth.class_ids[rows, None] == truth.class_ids[None, rows], apart, np.inf) > 1).all(axis=1)
    assert alone.sum() >= 30
    assert hit[alone].mean() > 0.9
    assert len(found) < 1.15 * len(rows)
    mine, true = matched[hit & alone], rows[hit & alone]
    assert np.abs(found.centers[mine, 2] - truth.centers[true, 2]).mean() < 0.3
    assert np.abs(np.log(found.sizes[mine] / truth.sizes[true])).mean() < 0.15
    assert np.abs(wrap_angle(found.yaws[mine] - truth.yaws[true])).mean() < 0.2
    assert np.nanmean(np.linalg.norm(found.velocities[mine] - truth.velocities[true], axis=1)) < 0.8
    with_attribute = truth.attribute_ids[true] >= 0
    assert (found.attribute_ids[mine] == truth.attribute_ids[true])[with_attribute].mean() > 0.9
    known = agents.futures_valid[true]  # type: ignore[attr-defined]
    best = futures.positions[mine, futures.probabilities[mine].argmax(axis=1)]
    displacement = np.linalg.norm(best - agents.futures[true], axis=2)  # type: ignore[attr-defined]
    assert displacement[known].mean() < 1.0
