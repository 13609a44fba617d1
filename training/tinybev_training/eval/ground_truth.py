"""The truth, submitted as a prediction: what a perfect network would score, and the ceiling of a dataset."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from nuscenes.nuscenes import NuScenes

from tinybev.geometry import Array, transform_points
from tinybev.types import Occupancy, Plan, Trajectories
from tinybev_training.data.sample import STEP_S, AgentTargets, Sample
from tinybev_training.data.surroundings import Surroundings
from tinybev_training.eval.predictions import MapMasks, Prediction, select

SAME_OBJECT_M = 0.01
"""A box in base_link and its annotation are one object where their centres are nearer than this in the map."""


def pose_of(sample: Sample | Surroundings) -> Array:
    """(4, 4) the ego pose that a sample's targets belong to; a dataset's samples always have one."""
    if sample.frame.map_T_base is None:
        raise ValueError(f"sample {sample.token}: expected an ego pose")
    return sample.frame.map_T_base


@dataclass(frozen=True)
class Annotated:
    """What the tables say of a sample's N agents beyond its targets.

    Attributes:
        observed: (N,) which of them lidar or radar have met; the official metrics leave the others out.
        velocities: (N, 2) level in the map, along base_link's axes: the official metrics compare level velocities, the
            targets' are in base_link's plane, which leans by up to a few degrees.
    """

    observed: NDArray[np.bool_]
    velocities: Array


def annotated(nusc: NuScenes, sample: Sample) -> Annotated:
    """Looks the sample's agents up in the tables."""
    tokens = nusc.get("sample", sample.token)["anns"]
    records = [nusc.get("sample_annotation", token) for token in tokens]
    there = np.array([record["translation"] for record in records]).reshape(-1, 3)
    here = transform_points(pose_of(sample), sample.agents.boxes.centers)
    base_R_map = pose_of(sample)[:3, :3].T
    observed = np.ones(len(here), dtype=np.bool_)
    velocities = np.zeros((len(here), 2))
    for n, center in enumerate(here):
        distances = np.linalg.norm(there - center, axis=1)
        nearest = int(distances.argmin())
        if distances[nearest] > SAME_OBJECT_M:
            raise ValueError(f"sample {sample.token}: agent {n} has no annotation")
        observed[n] = records[nearest]["num_lidar_pts"] + records[nearest]["num_radar_pts"] != 0
        velocities[n] = (base_R_map[:, :2] @ nusc.box_velocity(tokens[nearest])[:2])[:2]
    return Annotated(observed, velocities)


def ground_truth(sample: Sample, known: Annotated) -> Prediction:
    """The sample's targets as a prediction with one mode of motion.

    Boxes that neither lidar nor radar have met are not submitted, as they would count as false; occupancy holds them
    all, as its targets do.
    """
    chosen = known.observed
    all_boxes = dataclasses.replace(sample.agents.boxes, velocities=known.velocities)
    boxes, plan = select(all_boxes, chosen), sample.plan
    futures = _continued(sample.agents)[chosen, None]
    starts = np.concatenate([[[0.0, 0.0]], plan.positions[:-1]])
    return Prediction(
        token=sample.token,
        map_T_base=pose_of(sample),
        detections=boxes,
        trajectories=Trajectories(
            futures,
            np.zeros_like(futures),
            np.ones((len(boxes), 1)),
            boxes.track_ids,
            boxes.class_ids,
            STEP_S,
        ),
        map=MapMasks(sample.map.masks.astype(np.float32), sample.map.grid),
        occupancy=Occupancy(
            (sample.occupancy.instances > 0).astype(np.float32),
            sample.occupancy.instances,
            sample.occupancy.grid,
            STEP_S,
        ),
        plan=Plan(
            positions=plan.positions,
            yaws=plan.yaws,
            speeds=np.linalg.norm(plan.positions - starts, axis=1) / STEP_S,
            raw_positions=plan.positions,
            goal=sample.frame.goal,
            time_step_s=STEP_S,
        ),
    )


def _continued(agents: AgentTargets) -> Array:
    """(N, T, 2) futures in which a step that is not annotated, and so not measured, repeats the one before it."""
    futures = agents.futures.astype(np.float64)
    before: Array = agents.boxes.centers[:, :2].astype(np.float64)
    for step in range(futures.shape[1]):
        unknown = ~agents.futures_valid[:, step]
        futures[unknown, step] = before[unknown]
        before = futures[:, step]
    return futures
