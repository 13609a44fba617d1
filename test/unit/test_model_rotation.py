"""Turning the rig and the goal together turns the outputs, from the images to the plan.

A convolution with arbitrary weights has a preferred direction. With kernels that look the same in all four directions,
and without strides, whose grids have a corner of their own, nothing in the network may have one: what then still did
not turn would be a mistake of geometry. What has a direction itself (headings, velocities, plans) is turned as numbers
and decoded.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
from rigs import Rig, ring_rig, yaw_transform
from student_inputs import student_inputs
from tiny_students import COARSE
from torch import Tensor, nn

from tinybev.geometry import BevGrid
from tinybev.model.heads.planning import PlanOutputs
from tinybev.model.student import Student, StudentOutputs, seeded_student
from tinybev.runtime.decode.planning import decode_plan
from tinybev.types import Command, Goal, Occupancy

CONFIG = dataclasses.replace(
    COARSE,
    x_bound=(-16.0, 16.0, 1.0),
    y_bound=(-16.0, 16.0, 1.0),
    bev_stem_stride=1,
    bev_widths=(16,),
    bev_blocks=(1,),
)


def without_direction(student: Student) -> Student:
    """The student with every kernel on the grid replaced by the mean of its four turns."""
    for part in (student.bev_stem, student.bev_encoder, student.detection_head, student.map_head,
                 student.occupancy_head):  # fmt: skip
        for module in part.modules():
            if isinstance(module, nn.Conv2d):
                turns = [torch.rot90(module.weight.data, turn, dims=(2, 3)) for turn in range(4)]
                module.weight.data = torch.stack(turns).mean(dim=0)
    return student


def directionless_outputs(outputs: StudentOutputs) -> dict[str, Tensor]:
    """The maps that say what is somewhere, not where it points."""
    detection = outputs.detection
    return {
        "heatmap": detection.heatmap_BKXY,
        "height": detection.height_B1XY,
        "log_size": detection.log_size_B3XY,
        "attribute": detection.attribute_BAXY,
        "map": outputs.map_BKXY,
        "occupancy": outputs.occupancy[0].flatten(1, -3),
        "features": outputs.bev_BCXY,
    }


@pytest.mark.parametrize("quarter_turns", [1, 2, 3])
def test_turning_the_rig_turns_every_map_of_the_network(quarter_turns: int) -> None:
    student = without_direction(seeded_student(CONFIG, 0)).double()
    rig = ring_rig(CONFIG.image_size)
    turned_rig = Rig(rig.intrinsics, yaw_transform(quarter_turns * math.pi / 2) @ rig.base_T_camera, rig.image_size)

    def run(one: Rig) -> dict[str, Tensor]:
        inputs = student_inputs(CONFIG, one)
        doubled = inputs._replace(
            intrinsics_BN4=inputs.intrinsics_BN4.double(),
            conditions=type(inputs.conditions)(*(condition.double() for condition in inputs.conditions)),
        )
        with torch.inference_mode():
            return directionless_outputs(student(doubled))

    straight, turned = run(rig), run(turned_rig)
    for name, expected in straight.items():
        assert expected.std() > 1e-4, f"{name} is the same everywhere, so its turning would show nothing"
        # A turn by +90 degrees takes x to y, rows to columns, as rot90 does.
        torch.testing.assert_close(
            turned[name], torch.rot90(expected, quarter_turns, dims=(-2, -1)), rtol=1e-6, atol=1e-6, msg=name
        )


@pytest.mark.parametrize("quarter_turns", [1, 2, 3])
def test_turning_plan_goal_and_occupancy_turns_the_refined_plan(quarter_turns: int) -> None:
    grid = BevGrid((-32.0, 32.0, 0.5), (-32.0, 32.0, 0.5))
    probability = np.zeros((5, *grid.shape))
    probability[:, 76:90, 65:70] = 0.9  # ahead, a little to the left
    angle = quarter_turns * math.pi / 2
    rotation = yaw_transform(angle)[:2, :2]
    positions = np.column_stack([np.arange(1, 7) * 4.0, np.linspace(0.1, 0.6, 6)])
    yaws = np.linspace(0.0, 0.2, 6)
    goal = (24.0, 3.0)

    def decoded(turned: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        points = positions @ rotation.T if turned else positions
        heading = yaws + angle * turned
        occupied = np.rot90(probability, quarter_turns * turned, axes=(1, 2)).copy()
        occupancy = Occupancy(occupied, np.zeros(occupied.shape, dtype=np.int64), grid, 0.5)
        raw = PlanOutputs(
            torch.from_numpy(points)[None], torch.from_numpy(np.stack([np.sin(heading), np.cos(heading)], 1))[None]
        )
        where = tuple(rotation @ goal) if turned else goal
        plan = decode_plan(raw, Goal(Command.FORWARD, (float(where[0]), float(where[1]))), 0.5, occupancy, 0.3)
        return plan.positions, plan.yaws, plan.speeds

    straight, turned = decoded(False), decoded(True)
    assert np.abs(straight[0] - positions).max() > 0.1  # it did give way
    np.testing.assert_allclose(turned[0], straight[0] @ rotation.T, atol=1e-9)
    np.testing.assert_allclose(np.exp(1j * turned[1]), np.exp(1j * (straight[1] + angle)), atol=1e-9)
    np.testing.assert_allclose(turned[2], straight[2], atol=1e-9)
