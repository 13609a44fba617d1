"""Raw planning outputs to a timed plan."""

from __future__ import annotations

import numpy as np

from tinybev.model.heads.planning import PlanOutputs
from tinybev.runtime.plan_refinement import refine_plan, turned_yaws
from tinybev.types import Goal, Occupancy, Plan


def decode_plan(
    outputs: PlanOutputs, goal: Goal, time_step_s: float, occupancy: Occupancy | None, threshold: float
) -> Plan:
    """The plan of the first frame of a batch.

    Args:
        outputs: of the planning head.
        goal: what it was asked for.
        time_step_s: between steps.
        occupancy: that the plan is moved away from; None leaves the network's own plan.
        threshold: from this probability on a cell counts as occupied.
    """
    raw_positions = outputs.position_BT2[0].numpy().astype(np.float64)
    heading = outputs.heading_BT2[0].numpy().astype(np.float64)
    positions = raw_positions if occupancy is None else refine_plan(raw_positions, occupancy, threshold)
    steps = np.diff(np.vstack([np.zeros((1, 2)), positions]), axis=0)
    return Plan(
        positions=positions,
        yaws=turned_yaws(np.arctan2(heading[:, 0], heading[:, 1]), raw_positions, positions),
        speeds=np.linalg.norm(steps, axis=1) / time_step_s,
        raw_positions=raw_positions,
        goal=goal,
        time_step_s=time_step_s,
    )
