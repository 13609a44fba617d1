"""Map IoU, occupancy IoU and video panoptic quality on masks whose answers are known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from tinybev_training.data.dataset import open_dataset
from tinybev_training.data.map_masks import UNIAD_GRID as MAP_GRID
from tinybev_training.data.occupancy import UNIAD_GRID
from tinybev_training.data.sample import MapTargets, OccupancyTargets
from tinybev_training.eval.map_iou import map_cells, map_measures
from tinybev_training.eval.measure import Measures
from tinybev_training.eval.occupancy import occupancy_measures, occupancy_score
from tinybev_training.eval.predictions import MapMasks
from tinybev_training.eval.resample import resample
from tinybev_training.eval.rings import RING_EDGES_M, RING_NAMES

from tinybev.geometry import BevGrid
from tinybev.types import MapClass, Occupancy

Ids = NDArray[np.int32]


# --- map ---


def map_truth() -> MapTargets:
    masks = np.zeros((4, *MAP_GRID.shape), dtype=np.bool_)
    masks[MapClass.DIVIDER, 100, 50:150] = True
    masks[MapClass.BOUNDARY, 120, 50:150] = True
    masks[MapClass.DRIVABLE, 80:120] = True
    return MapTargets(masks, np.array([True, True, True, True]), MAP_GRID)


def as_prediction(masks: NDArray[np.bool_]) -> MapMasks:
    return MapMasks(np.where(masks, 0.9, 0.1), MAP_GRID)


def test_the_map_itself_scores_one_and_an_absent_class_nothing() -> None:
    truth = map_truth()
    found = map_measures([map_cells(as_prediction(truth.masks), truth, 0.5)] * 2)
    for name in ("IoU", "IoU_divider", "IoU_boundary", "IoU_drivable", "IoU_lanes"):
        assert found[name].value == 1.0
    assert found["IoU_divider"].count == 2 * 100
    assert not found["IoU_crossing"].valid
    assert found["IoU_crossing"].count == 0
    assert found["IoU"].count == 3


def test_map_iou_is_that_of_sums() -> None:
    truth = map_truth()
    half = truth.masks.copy()
    half[MapClass.DIVIDER, 100, 100:150] = False
    wrong = np.zeros_like(truth.masks)
    wrong[MapClass.DIVIDER, 100, 50:150] = True
    wrong[MapClass.DIVIDER, 10, 0:100] = True
    found = map_measures([map_cells(as_prediction(m), truth, 0.5) for m in (half, wrong)])
    assert found["IoU_divider"].value == pytest.approx((50 + 100) / (100 + 200))
    assert found["IoU_boundary"].value == pytest.approx(100 / 200)
    assert found["IoU_lanes"].value == pytest.approx((150 + 100) / (200 + 300))


def test_map_iou_by_ring_counts_the_cells_whose_centre_is_in_it() -> None:
    truth = map_truth()
    found = truth.masks.copy()
    found[MapClass.DRIVABLE, :, 100:] = False  # the left half is missed
    measures = map_measures([map_cells(as_prediction(found), truth, 0.5)])
    x, y = MAP_GRID.cell_centers()
    union, both = dict.fromkeys([*RING_NAMES, "beyond"], 0), dict.fromkeys([*RING_NAMES, "beyond"], 0)
    for row, column in zip(*np.nonzero(truth.masks[MapClass.DRIVABLE]), strict=True):
        distance = np.hypot(x[row], y[column])
        reached = [name for name, edge in zip(RING_NAMES, RING_EDGES_M[1:], strict=True) if distance < edge]
        ring = reached[0] if reached else "beyond"
        union[ring] += 1
        both[ring] += column < 100
    for ring in RING_NAMES:
        measure = measures[f"IoU_drivable_{ring}"]
        assert (measure.value, measure.count) == (pytest.approx(both[ring] / union[ring]), union[ring])
    within = measures["IoU_drivable_within_45m"]
    assert within.count == sum(union[ring] for ring in RING_NAMES)
    assert within.count + union["beyond"] == measures["IoU_drivable"].count
    assert union["beyond"] > 0


@pytest.mark.parametrize("rows", [2, 5], ids=["about a metre on", "half a second late at 5 m/s"])
def test_a_map_that_is_moved_along(rows: int) -> None:
    truth = map_truth()
    found = map_measures([map_cells(as_prediction(np.roll(truth.masks, rows, axis=1)), truth, 0.5)])
    assert found["IoU_drivable"].value == pytest.approx((40 - rows) / (40 + rows))
    assert found["IoU_divider"].value == found["IoU_boundary"].value == 0.0  # lines of one cell no longer meet
    assert found["IoU"].value == pytest.approx((40 - rows) / (40 + rows) / 3)


def test_exchanged_map_classes() -> None:
    truth = map_truth()
    exchanged = truth.masks[[MapClass.BOUNDARY, MapClass.CROSSING, MapClass.DIVIDER, MapClass.DRIVABLE]]
    assert list(range(4)) == [MapClass.DIVIDER, MapClass.CROSSING, MapClass.BOUNDARY, MapClass.DRIVABLE]
    found = map_measures([map_cells(as_prediction(exchanged), truth, 0.5)])
    assert found["IoU_divider"].value == found["IoU_boundary"].value == 0.0
    assert found["IoU_lanes"].value == found["IoU_drivable"].value == 1.0  # the union is the same


def test_a_class_that_the_map_does_not_know_is_not_measured() -> None:
    truth = map_truth()
    unknown = MapTargets(truth.masks, np.array([True, False, True, True]), MAP_GRID)
    crossing = truth.masks.copy()
    crossing[MapClass.CROSSING, 5] = True
    found = map_measures([map_cells(as_prediction(crossing), unknown, 0.5)])
    assert not found["IoU_crossing"].valid
    assert not found["IoU_lanes"].valid
    found = map_measures([map_cells(as_prediction(crossing), truth, 0.5)])
    assert (found["IoU_crossing"].value, found["IoU_crossing"].valid) == (0.0, True)
    assert all(not measure.valid for measure in map_measures([]).values())


@settings(max_examples=20)
@given(step=st.sampled_from([0.25, 0.5, 1.0]), target_step=st.sampled_from([0.25, 0.5, 1.0]), seed=st.integers(0, 99))
def test_resampling_looks_up_the_cell_of_the_centre(step: float, target_step: float, seed: int) -> None:
    source = BevGrid((-4.0, 6.0, step), (-5.0, 5.0, step))
    target = BevGrid((-5.0, 5.0, target_step), (-6.0, 4.0, target_step))
    values = np.random.default_rng(seed).integers(1, 99, (2, *source.shape))
    found = resample(values, source, target)
    for row, x in enumerate(target.cell_centers()[0]):
        for column, y in enumerate(target.cell_centers()[1]):
            inside = -4 <= x < 6 and -5 <= y < 5
            expected = values[:, int((x + 4) // step), int((y + 5) // step)] if inside else 0
            np.testing.assert_array_equal(found[:, row, column], expected)


# --- occupancy ---


def moving(ids: tuple[int, ...] = (7, 7, 7, 7, 7), rows: int = 4) -> Ids:
    """A car near the ego that moves on by two cells a step, and one that stands far away."""
    instances = np.zeros((5, *UNIAD_GRID.shape), dtype=np.int32)
    for t, number in enumerate(ids):
        instances[t, 100 + 2 * t : 100 + 2 * t + rows, 98:102] = number
        instances[t, 20:28, 20:24] = 3
    return instances


def targets(instances: Ids, valid: bool = True) -> OccupancyTargets:
    return OccupancyTargets(instances, np.array([True] * 4 + [valid]), UNIAD_GRID)


def measured(predicted: Ids, truth: Ids) -> Measures:
    occupancy = Occupancy((predicted > 0) * 0.8, predicted, UNIAD_GRID, 0.5)
    score = occupancy_score(occupancy, targets(truth), 0.5)
    assert score is not None
    return occupancy_measures([score])


def test_the_occupancy_itself_scores_one() -> None:
    found = measured(moving(), moving())
    assert {name: measure.value for name, measure in found.items()} == dict.fromkeys(found, 1.0)
    assert (found["IoU_near"].count, found["IoU_far"].count) == (5 * 16, 5 * 48)
    assert (found["VPQ_near"].count, found["VPQ_far"].count) == (5, 10)
    renamed = np.where(moving() == 7, 70, moving()).astype(np.int32)
    assert measured(renamed, moving())["VPQ_far"].value == 1.0  # which ids does not matter, that they stay does


def test_a_changed_id_is_one_object_lost_and_one_invented() -> None:
    found = measured(moving((7, 7, 8, 8, 8)), moving())
    assert found["IoU_far"].value == 1.0
    assert found["VPQ_near"].value == pytest.approx(4 / (4 + 1))
    assert found["VPQ_far"].value == pytest.approx(9 / (9 + 1))


def test_exchanged_ids() -> None:
    # The two objects exchange their ids after the second step.
    swapped = moving()
    for t in (2, 3, 4):
        swapped[t] = np.select([swapped[t] == 7, swapped[t] == 3], [3, 7], 0)
    assert measured(swapped, moving())["VPQ_far"].value == pytest.approx(8 / (8 + 2))


def test_part_of_an_object() -> None:
    found = measured(moving(rows=3), moving())
    assert found["IoU_near"].value == pytest.approx(3 / 4)
    assert found["VPQ_near"].value == pytest.approx(3 / 4)  # matched everywhere, with that IoU
    half = measured(moving(rows=2), moving())  # an IoU of one half is no match
    assert (half["IoU_near"].value, half["VPQ_near"].value) == (pytest.approx(1 / 2), 0.0)


def test_one_step_late() -> None:
    late = moving()[[0, 0, 1, 2, 3]]
    found = measured(late, moving())
    # Two of four rows overlap in the four late steps: 8 of 24 cells; now is right.
    assert found["IoU_near"].value == pytest.approx((16 + 4 * 8) / (16 + 4 * 24))
    assert found["VPQ_near"].value == pytest.approx(1 / (1 + 4))
    assert found["IoU_far"].value > found["IoU_near"].value


def test_shifted_by_a_metre() -> None:
    shifted = np.roll(moving(), 2, axis=2)  # two of four columns
    assert measured(shifted, moving())["IoU_near"].value == pytest.approx(8 / 24)


def test_far_objects_do_not_count_near() -> None:
    nothing_near = np.where(moving() == 7, 0, moving()).astype(np.int32)
    found = measured(nothing_near, nothing_near)
    assert not found["IoU_near"].valid
    assert not found["VPQ_near"].valid
    assert found["VPQ_far"].value == 1.0
    invented = measured(moving(), nothing_near)
    assert (invented["IoU_near"].value, invented["IoU_near"].count) == (0.0, 80)
    assert (invented["VPQ_near"].value, invented["VPQ_near"].count) == (0.0, 5)


def test_a_sample_whose_future_is_not_annotated_is_left_out() -> None:
    occupancy = Occupancy(moving() > 0, moving(), UNIAD_GRID, 0.5)
    assert occupancy_score(occupancy, targets(moving(), valid=False), 0.5) is None
    assert all(not measure.valid and measure.count == 0 for measure in occupancy_measures([]).values())


@settings(max_examples=12)
@given(seed=st.integers(0, 10_000))
def test_panoptic_quality_agrees_with_a_plain_count(seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth = np.zeros((5, *UNIAD_GRID.shape), dtype=np.int32)
    predicted = np.zeros_like(truth)
    for number in range(1, 5):
        row, column = rng.integers(80, 110, 2)
        for t in range(5):
            truth[t, row + t : row + t + 6, column : column + 4] = number
            shift = rng.integers(0, 3)
            predicted[t, row + t + shift : row + t + shift + 6, column : column + 4] = rng.choice([number, 9])
    quality, wrong, last = [], 0.0, {}
    for t in range(5):
        ours, theirs = set(np.unique(predicted[t])) - {0}, set(np.unique(truth[t])) - {0}
        for a in sorted(theirs):
            for b in sorted(ours):
                iou = ((truth[t] == a) & (predicted[t] == b)).sum() / ((truth[t] == a) | (predicted[t] == b)).sum()
                if iou > 0.5:
                    if last.get(a, b) == b:
                        quality.append(iou)
                        wrong -= 1  # one of each that is counted below is right
                    last[a] = b
        wrong += len(ours) / 2 + len(theirs) / 2
    assert measured(predicted, truth)["VPQ_far"].value == pytest.approx(sum(quality) / (len(quality) + wrong))


def test_the_truth_of_mini_val(nuscenes_dataroot: Path) -> None:
    dataset = open_dataset(nuscenes_dataroot, "v1.0-mini", "mini_val", keep_imageless=True, with_lidar=False)
    maps, occupancies = [], []
    for index in range(0, len(dataset), 20):
        sample = dataset[index]
        maps.append(map_cells(as_prediction(sample.map.masks), sample.map, 0.5))
        instances = sample.occupancy.instances
        found = occupancy_score(Occupancy(instances > 0, instances, UNIAD_GRID, 0.5), sample.occupancy, 0.5)
        occupancies += [] if found is None else [found]
    assert 2 < len(occupancies) <= len(maps)
    assert {measure.value for measure in occupancy_measures(occupancies).values()} == {1.0}
    assert map_measures(maps)["IoU_drivable"].value == 1.0
