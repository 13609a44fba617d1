"""Annotations -> boxes now, their futures, and their footprints now and later, in base_link at the reference stamp.

A box is placed where it is annotated, at the lidar's stamp, and seen from the ego's pose at the reference stamp; its
own motion between the two stamps (under 6 ms in a complete nuScenes keyframe) is not made up for, so that a box sent
back to the map is the annotation again.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tinybev.geometry import Array, transform_points
from tinybev.types import Detections
from tinybev_training.data.sample import MOTION_STEPS, OCCUPANCY_STEPS, AgentTargets
from tinybev_training.data.scene_log import Annotations, Keyframe
from tinybev_training.data.surroundings import Footprints


def agent_targets(keyframes: Sequence[Keyframe], index: int, base_T_map: Array) -> AgentTargets:
    """The agents of keyframe ``index`` of a scene.

    Step t of a future is the (t + 1)-th keyframe that follows, as in UniAD and in the devkit's prediction task (12
    steps, 6 s). An agent that is not annotated there is masked at that step only; UniAD takes the agent's next
    annotations one after the other and would close such a gap.
    """
    now = keyframes[index].annotations
    futures = np.zeros((len(now), MOTION_STEPS, 2), dtype=np.float32)
    futures_valid = np.zeros((len(now), MOTION_STEPS), dtype=np.bool_)
    for step, keyframe in enumerate(keyframes[index + 1 : index + 1 + MOTION_STEPS]):
        later = keyframe.annotations
        _, here, there = np.intersect1d(now.track_ids, later.track_ids, assume_unique=True, return_indices=True)
        futures[here, step] = transform_points(base_T_map, later.centers[there])[:, :2]
        futures_valid[here, step] = True
    return AgentTargets(_boxes(now, base_T_map), now.lidar_points, now.visibility, futures, futures_valid)


def footprints(keyframes: Sequence[Keyframe], index: int, base_T_map: Array) -> tuple[Footprints | None, ...]:
    """The rectangles at keyframe ``index`` and the following ones, ``OCCUPANCY_STEPS`` in all, None past the end.

    An agent that appears later is in the later steps, one that is gone is not, as in UniAD.
    """
    keyframes_then = keyframes[index : index + OCCUPANCY_STEPS]
    known = [_footprints(keyframe.annotations, base_T_map) for keyframe in keyframes_then]
    return (*known, *[None] * (OCCUPANCY_STEPS - len(known)))


def _boxes(annotations: Annotations, base_T_map: Array) -> Detections:
    rotation = base_T_map[:3, :3]
    return Detections(
        centers=transform_points(base_T_map, annotations.centers).astype(np.float32),
        sizes=annotations.sizes.astype(np.float32),
        yaws=_yaws(annotations, base_T_map).astype(np.float32),
        velocities=(annotations.velocities @ rotation.T)[:, :2].astype(np.float32),
        scores=np.ones(len(annotations), dtype=np.float32),
        class_ids=annotations.class_ids,
        attribute_ids=annotations.attribute_ids,
        track_ids=annotations.track_ids,
    )


def _footprints(annotations: Annotations, base_T_map: Array) -> Footprints:
    return Footprints(
        centers=transform_points(base_T_map, annotations.centers)[:, :2],
        sizes=annotations.sizes[:, :2],
        yaws=_yaws(annotations, base_T_map),
        track_ids=annotations.track_ids,
        class_ids=annotations.class_ids,
    )


def _yaws(annotations: Annotations, base_T_map: Array) -> Array:
    headings = annotations.headings @ base_T_map[:3, :3].T
    return np.asarray(np.arctan2(headings[:, 1], headings[:, 0]))
