"""What UniAD's parts return about one sample, in its own shapes and axes, with given objects, masks and plan.

Written from the table in ``docs/teachers.md``, not from the reader: rows along the lidar's y from the rear, columns
along its x from the left.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tinybev.geometry import Array
from tinybev.types import DETECTION_CLASSES

SIDE, CHANNELS, QUERIES, LAYERS = 200, 256, 901, 6
BEV_HALF_M, OCCUPANCY_HALF_M = 51.2, 50.0


@dataclass(frozen=True)
class LidarObject:
    """A tracked object in the lidar's axes: the middle of its box, sides, heading from x, velocity and class."""

    center: tuple[float, float, float]
    length_width_height: tuple[float, float, float]
    heading: float
    velocity: tuple[float, float]
    class_name: str
    score: float = 0.8
    futures: Array = field(default_factory=lambda: np.zeros((6, 12, 2)))
    """Positions in the lidar's axes."""


class Boxes3D:
    """As much of mmdet3d's boxes as is asked for."""

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor


def box_row(thing: LidarObject, size_order: str, yaw: str) -> list[float]:
    """The nine numbers of mmdet3d's lidar box: it stands on its z."""
    length, width, height = thing.length_width_height
    sides = [length, width] if size_order == "length-width" else [width, length]
    stored_yaw = thing.heading if yaw == "counterclockwise" else -thing.heading - math.pi / 2
    x, y, z = thing.center
    return [x, y, z - height / 2, *sides, height, stored_yaw, *thing.velocity]


def box_code(row: list[float]) -> list[float]:
    """The ten numbers of the decoder for the box: (cx, cy, log, log, cz, log h, sine, cosine, vx, vy)."""
    x, y, z, first, second, height, yaw, vx, vy = row
    return [x, y, math.log(first), math.log(second), z, math.log(height), math.sin(yaw), math.cos(yaw), vx, vy]


def blob(x: float, y: float, half_m: float, side: int = SIDE, spread_m: float = 1.0) -> Tensor:
    """(Y, X) a bump of height 1 at (x, y) of the grid's frame."""
    centers = (torch.arange(side, dtype=torch.float64) + 0.5) * (2 * half_m / side) - half_m
    squared = (centers[:, None] - y) ** 2 + (centers[None, :] - x) ** 2
    return torch.exp(-squared / (2 * spread_m**2)).float()


def track_result(objects: list[LidarObject], bev_CYX: Tensor, size_order: str, yaw: str) -> list[dict[str, Any]]:
    """What ``simple_test_track`` returns."""
    rows = torch.tensor([box_row(one, size_order, yaw) for one in objects]).reshape(-1, 9)
    labels = torch.tensor([DETECTION_CLASSES.index(one.class_name) for one in objects], dtype=torch.int64)
    scores = torch.tensor([one.score for one in objects])
    result = {
        "bev_embed": bev_CYX.flatten(1).T[:, None],
        "bev_pos": torch.zeros(1, len(bev_CYX), *bev_CYX.shape[1:]),
        "boxes_3d": Boxes3D(rows),
        "scores_3d": scores,
        "labels_3d": labels,
        "track_scores": scores,
        "track_ids": torch.arange(len(objects)),
    }
    return [result]


def decoder_result(
    objects: list[LidarObject], probability_AK: Tensor, size_order: str, yaw: str, rng: torch.Generator
) -> dict[str, Tensor]:
    """What the decoder returns: every object's code is that of one of the queries, the last layer's."""
    count = QUERIES + len(objects)
    codes = torch.randn(LAYERS, 1, count, 10, generator=rng) * 30
    logits = torch.randn(LAYERS, 1, count, len(DETECTION_CLASSES), generator=rng) - 4
    for number, one in enumerate(objects):
        query = 7 + 11 * number
        codes[-1, 0, query] = torch.tensor(box_code(box_row(one, size_order, yaw)))
        logits[-1, 0, query] = torch.logit(probability_AK[number])
    return {"all_cls_scores": logits, "all_bbox_preds": codes}


def motion_result(
    objects: list[LidarObject], rng: torch.Generator
) -> tuple[list[dict[str, Tensor]], dict[str, Tensor]]:
    """What ``motion_head.forward_test`` returns: offsets from the boxes' middles; the last agent is the ego."""
    preds = torch.randn(3, 1, len(objects) + 1, 6, 12, 5, generator=rng)
    for number, one in enumerate(objects):
        preds[-1, 0, number, :, :, :2] = torch.from_numpy(one.futures - np.array(one.center[:2])).float()
    scores = torch.randn(3, 1, len(objects) + 1, 6, generator=rng).log_softmax(dim=-1)
    return [{}], {"all_traj_preds": preds, "all_traj_scores": scores, "traj_query": torch.zeros(3, 1, 1, 6, 8)}


def map_result(lines_CYX: Tensor, drivable_YX: Tensor) -> list[dict[str, Any]]:
    """What ``seg_head.forward_test`` returns."""
    things = torch.zeros(100, *drivable_YX.shape)
    return [
        {
            "pts_bbox": {
                "lane": (lines_CYX > 0.5).long(),
                "lane_score": lines_CYX,
                "drivable": drivable_YX > 0.5,
                "score_list": torch.cat([things, drivable_YX[None]]),
            },
            "ret_iou": {},
            "args_tuple": (),
        }
    ]


def occupancy_result(objects_QTYX: Tensor) -> dict[str, Tensor]:
    """What ``occ_head.forward_test`` returns; Q is 0 where nothing was tracked."""
    if not len(objects_QTYX):
        return {
            "seg_out": torch.zeros(1, 5, 1, SIDE, SIDE, dtype=torch.int64),
            "ins_seg_out": torch.zeros(1, 5, SIDE, SIDE),
        }
    highest = objects_QTYX.max(dim=0).values
    return {
        "pred_ins_sigmoid": objects_QTYX[None],
        "pred_ins_logits": torch.logit(objects_QTYX[None], eps=1e-6),
        "seg_out": (highest > 0.1).long()[None, :, None],
    }
