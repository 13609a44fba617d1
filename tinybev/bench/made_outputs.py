"""Outputs of a network that found so many objects, made without running one."""

from __future__ import annotations

import dataclasses
import math
from typing import TypeVar, cast

import torch
from torch import Tensor

from tinybev.errors import UserError
from tinybev.model.config import StudentConfig
from tinybev.model.heads.peaks import Peaks
from tinybev.model.student import Student, StudentOutputs
from tinybev.model.summary import example_inputs

SCORE = 0.9
SURE = 5.0
"""A logit: occupied, and its negative: free."""
_T = TypeVar("_T")


def outputs_with_agents(config: StudentConfig, count: int) -> StudentOutputs:
    """A frame with ``count`` standing cars on a lattice over the grid, each on occupied cells, and an empty map.

    Raises:
        UserError: the network finds fewer objects than ``count``, or the heads' grid has fewer cells.
    """
    config = dataclasses.replace(config, memory_frames=0)
    rows, columns = config.head_grid.shape
    if count > min(config.max_agents, rows * columns):
        raise UserError(f"agents: expected at most {min(config.max_agents, rows * columns)}, got {count}; lower it.")
    with torch.device("meta"), torch.inference_mode():
        inputs, _ = example_inputs(config)
        shapes = Student(config).eval()(inputs)
    outputs = cast(StudentOutputs, _zeros(shapes))
    cell_A = _lattice(config.max_agents, rows, columns)
    found_A = torch.arange(config.max_agents) < count
    logits_BTXY = torch.full_like(outputs.occupancy.logits_BTXY, -SURE)
    per_head = logits_BTXY.shape[-1] // columns
    for cell in cell_A[:count].tolist():
        x, y = (per_head * index for index in divmod(cell, columns))
        logits_BTXY[..., x : x + per_head, y : y + per_head] = SURE
    return outputs._replace(
        agents=Peaks(found_A[None] * SCORE, torch.zeros(1, config.max_agents, dtype=torch.long), cell_A[None]),
        map_BKXY=torch.full_like(outputs.map_BKXY, -SURE),
        occupancy=outputs.occupancy._replace(logits_BTXY=logits_BTXY),
    )


def _lattice(count: int, rows: int, columns: int) -> Tensor:
    """Flat cells (count,), each another one, spread evenly."""
    side = math.ceil(math.sqrt(count))
    n = torch.arange(count)
    return (n // side) * rows // side * columns + (n % side) * columns // side


def _zeros(value: _T) -> _T:
    """The same nesting of named tuples with zeros on the CPU."""
    if isinstance(value, Tensor):
        return cast(_T, torch.zeros(value.shape, dtype=value.dtype))
    if isinstance(value, tuple):
        return type(value)(*(_zeros(part) for part in value))
    return value
