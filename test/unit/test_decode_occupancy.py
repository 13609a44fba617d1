"""Occupancy: drawn vehicles keep their tracks' ids through every step, also where they pass close to each other."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from encoded import random_boxes

from tinybev.geometry import BevGrid
from tinybev.model.heads.occupancy import OccupancyOutputs
from tinybev.runtime.decode.occupancy import decode_occupancy
from tinybev.types import DETECTION_CLASSES, Detections, Occupancy

GRID = BevGrid((-51.2, 51.2, 0.512), (-25.6, 25.6, 0.512))
STEPS = 5
X, Y = np.meshgrid(*GRID.cell_centers(), indexing="ij")


def vehicles(*centers: tuple[float, float], class_name: str = "car") -> Detections:
    count = len(centers)
    return dataclasses.replace(
        random_boxes(count, GRID),
        centers=np.column_stack([np.array(centers).reshape(-1, 2), np.zeros(count)]),
        class_ids=np.full(count, DETECTION_CLASSES.index(class_name)),
        track_ids=np.arange(count) + 7,
    )


def drawn(
    *paths: list[tuple[float, float]], half: tuple[float, float] = (2.2, 1.0)
) -> tuple[OccupancyOutputs, np.ndarray]:
    """Rectangles along ``paths``, a centre a step, as a perfect network says them; and who is where, 0 for nobody."""
    logits = torch.full((1, STEPS, *GRID.shape), -6.0)
    flow = torch.zeros(1, STEPS, 2, *GRID.shape)
    owner = np.zeros((STEPS, *GRID.shape), dtype=int)
    for n, path in enumerate(paths):
        for step, (x, y) in enumerate(path):
            inside = (np.abs(X - x) <= half[0]) & (np.abs(Y - y) <= half[1])
            before = path[max(step - 1, 0)]
            logits[0, step][torch.from_numpy(inside)] = 4.0
            for axis, (coordinate, center) in enumerate(zip((X, Y), before, strict=True)):
                flow[0, step, axis][torch.from_numpy(inside)] = torch.from_numpy((center - coordinate)[inside]).float()
            owner[step][inside] = 7 + n
    return OccupancyOutputs(logits, flow), owner


def decode(outputs: OccupancyOutputs, detections: Detections, threshold: float = 0.5) -> Occupancy:
    return decode_occupancy(outputs, detections, GRID, 0.5, threshold)


def straight(x: float, y: float, vx: float, vy: float = 0.0) -> list[tuple[float, float]]:
    return [(x + vx * step, y + vy * step) for step in range(STEPS)]


def test_a_driving_and_a_standing_vehicle_keep_their_ids() -> None:
    outputs, owner = drawn(straight(-10.0, 3.0, 6.0), straight(20.0, -8.0, 0.0))
    occupancy = decode(outputs, vehicles((-10.0, 3.0), (20.0, -8.0)))
    assert np.array_equal(occupancy.instances, owner)
    assert occupancy.probability == pytest.approx(outputs.logits_BTXY[0].sigmoid().numpy(), abs=1e-6)
    assert occupancy.grid == GRID
    assert occupancy.time_step_s == 0.5


def test_vehicles_that_pass_each_other_are_not_exchanged() -> None:
    # Between two steps each drives past where the other was: only the flow tells them apart.
    outputs, owner = drawn(straight(-12.0, 1.8, 6.0), straight(12.0, -1.8, -6.0))
    assert np.array_equal(decode(outputs, vehicles((-12.0, 1.8), (12.0, -1.8))).instances, owner)


def test_without_flow_they_would_be_lost() -> None:
    outputs, owner = drawn(straight(-12.0, 1.8, 6.0))
    still = outputs._replace(flow_BT2XY=torch.zeros_like(outputs.flow_BT2XY))
    assert not np.array_equal(decode(still, vehicles((-12.0, 1.8))).instances, owner)


def test_a_vehicle_that_leaves_the_grid_is_gone() -> None:
    outputs, owner = drawn(straight(40.0, 0.0, 6.0))
    assert owner[-1].max() == 0
    assert np.array_equal(decode(outputs, vehicles((40.0, 0.0))).instances, owner)


def test_occupied_cells_of_no_detected_vehicle_have_no_id() -> None:
    outputs, _ = drawn(straight(0.0, 0.0, 1.0))
    for detections in (vehicles(), vehicles((20.0, 20.0)), vehicles((0.0, 0.0), class_name="pedestrian")):
        occupancy = decode(outputs, detections)
        assert occupancy.instances.max() == 0
        assert occupancy.probability.max() > 0.9


def test_only_cells_above_the_threshold_have_an_id() -> None:
    outputs, owner = drawn(straight(0.0, 0.0, 1.0))
    weak = outputs._replace(logits_BTXY=torch.where(outputs.logits_BTXY > 0, -0.5, -6.0))  # probability 0.38
    assert decode(weak, vehicles((0.0, 0.0)), threshold=0.5).instances.max() == 0
    assert np.array_equal(decode(weak, vehicles((0.0, 0.0)), threshold=0.3).instances, owner)


def test_extreme_logits_are_probabilities() -> None:
    logits = torch.full((1, STEPS, *GRID.shape), -1e30)
    logits[..., :10] = 1e30
    occupancy = decode(OccupancyOutputs(logits, torch.zeros(1, STEPS, 2, *GRID.shape)), vehicles())
    assert np.isfinite(occupancy.probability).all()
    assert occupancy.probability.min() >= 0
    assert occupancy.probability.max() <= 1
