"""Boxes and futures: known ones come back in metres and radians, turn with the grid, and survive our messages."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from encoded import encode_detections, random_boxes, random_motion

from tinybev.geometry import BevGrid, wrap_angle
from tinybev.model.heads.detection import DetectionOutputs
from tinybev.model.heads.motion import MotionOutputs
from tinybev.model.heads.peaks import PeakFinder
from tinybev.runtime.decode.detection import decode_detections
from tinybev.runtime.decode.motion import decode_motion
from tinybev.types import Detections, WeightsInfo

GRID = BevGrid((-51.2, 51.2, 1.024), (-30.72, 30.72, 1.024))
SQUARE = BevGrid((-51.2, 51.2, 1.024), (-51.2, 51.2, 1.024))
CAPACITY = 60


def assert_same_boxes(got: Detections, expected: Detections, tolerance: float = 1e-9) -> None:
    assert np.array_equal(got.class_ids, expected.class_ids)
    assert np.array_equal(got.attribute_ids, expected.attribute_ids)
    assert np.array_equal(got.track_ids, expected.track_ids)
    for name in ("centers", "sizes", "velocities", "scores"):
        assert getattr(got, name) == pytest.approx(getattr(expected, name), rel=tolerance, abs=tolerance)
    assert wrap_angle(got.yaws - expected.yaws) == pytest.approx(0.0, abs=tolerance)


@pytest.mark.parametrize("seed", range(5))
def test_known_boxes_come_back(seed: int) -> None:
    boxes = random_boxes(40, GRID, seed)
    decoded, rows = decode_detections(*encode_detections(boxes, GRID, CAPACITY), GRID, 0.3, 200)
    assert_same_boxes(decoded, boxes)
    assert rows.tolist() == list(range(40))


def test_threshold_and_number_keep_the_best() -> None:
    boxes = random_boxes(40, GRID)
    encoded = encode_detections(boxes, GRID, CAPACITY)
    above = int((boxes.scores >= 0.6).sum())
    assert 0 < above < 40
    assert len(decode_detections(*encoded, GRID, 0.6, 200)[0]) == above
    best, _ = decode_detections(*encoded, GRID, 0.3, 7)
    assert best.scores == pytest.approx(boxes.scores[:7])


def test_a_threshold_of_zero_finds_no_more_than_there_is() -> None:
    # With fewer peaks than agents, the rest are cells that are no maximum: they are no objects at any threshold.
    heatmap = torch.zeros(1, 10, 3, 3)
    heatmap[0, :, 1, 1] = 5.0
    flat = DetectionOutputs(heatmap, *(torch.zeros(1, n, 3, 3) for n in (2, 1, 3, 2, 2, 8)))
    grid = BevGrid((0.0, 3.0, 1.0), (0.0, 3.0, 1.0))
    assert len(decode_detections(flat, PeakFinder(60)(heatmap), grid, 0.0, 200)[0]) == 10


def test_an_empty_frame_is_empty_everywhere() -> None:
    boxes, rows = decode_detections(*encode_detections(random_boxes(0, GRID), GRID, CAPACITY), GRID, 0.3, 200)
    futures = decode_motion(random_motion(CAPACITY), boxes, rows, 0.5)
    assert boxes.centers.shape == (0, 3)
    assert futures.positions.shape == (0, 6, 12, 2)


def test_nothing_overflows() -> None:
    outputs, peaks = encode_detections(random_boxes(5, GRID), GRID, CAPACITY)
    huge = outputs._replace(log_size_B3XY=outputs.log_size_B3XY + 1000)
    motion = random_motion(CAPACITY)
    motion = motion._replace(log_sigma_BAKT2=motion.log_sigma_BAKT2 * 1e4, logits_BAK=motion.logits_BAK * 1e4)
    boxes, rows = decode_detections(huge, peaks, GRID, 0.3, 200)
    futures = decode_motion(motion, boxes, rows, 0.5)
    for values in (boxes.sizes, futures.sigmas, futures.probabilities):
        assert np.isfinite(values).all()
    assert (boxes.sizes > 0).all()
    assert (futures.sigmas > 0).all()


def test_futures_are_metres_from_where_the_agent_is() -> None:
    boxes = random_boxes(12, GRID)
    motion = random_motion(CAPACITY)
    decoded, rows = decode_detections(*encode_detections(boxes, GRID, CAPACITY), GRID, 0.3, 200)
    futures = decode_motion(motion, decoded, rows, 0.5)
    for n in range(12):
        for k in range(6):
            expected = boxes.centers[n, :2] + motion.offset_BAKT2[0, n, k].numpy()
            assert futures.positions[n, k] == pytest.approx(expected)
    assert futures.sigmas == pytest.approx(motion.log_sigma_BAKT2[0, :12].exp().numpy())
    assert futures.probabilities == pytest.approx(motion.logits_BAK[0, :12].softmax(dim=1).numpy())
    assert futures.time_step_s == 0.5


def test_rows_of_futures_are_rows_of_boxes() -> None:
    boxes, motion = random_boxes(40, GRID), random_motion(CAPACITY)
    decoded, rows = decode_detections(*encode_detections(boxes, GRID, CAPACITY), GRID, 0.7, 200)
    futures = decode_motion(motion, decoded, rows, 0.5)
    assert len(futures) == len(decoded) < 40
    assert futures.class_ids is decoded.class_ids
    first = decoded.centers[0, :2] + motion.offset_BAKT2[0, rows[0], 2, 5].numpy()
    assert futures.positions[0, 2, 5] == pytest.approx(first)


def turned_outputs(outputs: DetectionOutputs) -> DetectionOutputs:
    """What the network would say of the scene turned by +90 degrees, of which x is the old -y and y the old x."""

    def turn(feat: torch.Tensor) -> torch.Tensor:
        return torch.rot90(feat, 1, dims=(2, 3))

    def turn_vector(feat: torch.Tensor) -> torch.Tensor:
        x, y = turn(feat).split(1, dim=1)
        return torch.cat([-y, x], dim=1)

    sine, cosine = turn(outputs.heading_B2XY).split(1, dim=1)
    offset_x, offset_y = turn(outputs.offset_B2XY).split(1, dim=1)
    return DetectionOutputs(
        heatmap_BKXY=turn(outputs.heatmap_BKXY),
        offset_B2XY=torch.cat([1 - offset_y, offset_x], dim=1),
        height_B1XY=turn(outputs.height_B1XY),
        log_size_B3XY=turn(outputs.log_size_B3XY),
        heading_B2XY=torch.cat([cosine, -sine], dim=1),
        velocity_B2XY=turn_vector(outputs.velocity_B2XY),
        attribute_BAXY=turn(outputs.attribute_BAXY),
    )


def test_turned_outputs_decode_to_turned_boxes_and_futures() -> None:
    boxes, motion = random_boxes(40, SQUARE), random_motion(CAPACITY)
    outputs, peaks = encode_detections(boxes, SQUARE, CAPACITY)
    turned = turned_outputs(outputs)
    got, rows = decode_detections(turned, PeakFinder(CAPACITY)(turned.heatmap_BKXY), SQUARE, 0.3, 200)
    turn = np.array([[0.0, -1.0], [1.0, 0.0]])
    expected = dataclasses.replace(
        boxes,
        centers=np.column_stack([boxes.centers[:, :2] @ turn.T, boxes.centers[:, 2]]),
        yaws=boxes.yaws + np.pi / 2,
        velocities=boxes.velocities @ turn.T,
    )
    assert_same_boxes(got, expected)
    x, y = motion.offset_BAKT2.split(1, dim=-1)
    turned_motion = MotionOutputs(torch.cat([-y, x], dim=-1), *motion[1:])
    straight = decode_motion(motion, *decode_detections(outputs, peaks, SQUARE, 0.3, 200), 0.5)
    futures = decode_motion(turned_motion, got, rows, 0.5)
    assert futures.positions == pytest.approx(straight.positions @ turn.T)


def test_boxes_and_futures_survive_our_messages() -> None:
    pytest.importorskip("tinybev_ros.msg", reason="needs the built messages")
    from std_msgs.msg import Header

    from tinybev_ros import conversions

    weights = WeightsInfo("tinybev-nano", "nothing (untrained, seed 0)", "0" * 64)
    boxes, rows = decode_detections(*encode_detections(random_boxes(30, GRID), GRID, CAPACITY), GRID, 0.3, 200)
    boxes = dataclasses.replace(boxes, track_ids=np.arange(1, 31))
    message = conversions.detections_to_msg(boxes, Header(frame_id="base_link"), weights)
    assert_same_boxes(conversions.msg_to_detections(message), boxes, tolerance=1e-6)
    futures = decode_motion(random_motion(CAPACITY), boxes, rows, 0.5)
    back = conversions.msg_to_trajectories(conversions.trajectories_to_msg(futures, boxes, Header(), weights))
    best_first = np.argsort(-futures.probabilities, axis=1)
    for name in ("positions", "sigmas", "probabilities"):
        expected = np.stack([values[order] for values, order in zip(getattr(futures, name), best_first, strict=True)])
        assert getattr(back, name) == pytest.approx(expected, rel=1e-6, abs=1e-6)
    assert np.array_equal(back.track_ids, boxes.track_ids)
