"""A scenario as the data room's ``SceneLog`` and ``CityMap``: the same targets as from files, without files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import shapely

from tinybev.geometry import Array
from tinybev.types import MapClass
from tinybev_training.data.city_map import CityMap, two_longest_edges
from tinybev_training.data.scene_log import Annotations, CameraRecord, EgoTrack, Keyframe, LidarRecord, SceneLog
from tinybev_training.world.cameras import BASE_T_LIDAR, MountedCamera
from tinybev_training.world.keyframes import Labels, keyframe_stamps, label
from tinybev_training.world.scenario import TICK_NS, LineKind, Scenario
from tinybev_training.world.tables import token
from tinybev_training.world.world import pose_matrix

NOWHERE = Path()
"""The files of a scene in memory."""
MAX_GAP_S = 1.5
"""The devkit takes no velocity from annotations that are farther apart than this."""


def scene_log(scenario: Scenario, cameras: tuple[MountedCamera, ...]) -> SceneLog:
    """The keyframes of a scenario in its own frame; lidar points and visibility are unknown until they are rendered."""
    stamps = keyframe_stamps(scenario)
    labels = [label(scenario, scenario.at(stamp)) for stamp in stamps]
    positions = _positions(labels, len(scenario.agents))
    keyframes = tuple(
        Keyframe(
            token(scenario.key, "sample", index),
            tuple(_camera(scenario, camera, stamp) for camera in cameras),
            LidarRecord(NOWHERE, stamp, BASE_T_LIDAR, pose_matrix(scenario.at(stamp).ego)),
            _annotations(labels[index], _velocities(positions, stamps, index)),
        )
        for index, stamp in enumerate(stamps)
    )
    ticks = scenario.start_ns + TICK_NS * np.arange(len(scenario.ego), dtype=np.int64)
    poses = np.stack([pose_matrix(pose) for pose in scenario.ego.astype(np.float64)])
    return SceneLog(scenario.name, "", keyframes, EgoTrack(ticks, poses))


def city_map(scenario: Scenario) -> CityMap:
    """The roads of a scenario as the data room reads them from a map expansion."""
    roads = scenario.roads
    drivable = roads.drivable.polygons()
    dividers = [
        shapely.LineString(line)
        for kind, line in zip(roads.line_kinds, roads.lines, strict=True)
        if kind != LineKind.STOP
    ]
    crossings = [edge for polygon in roads.crossings.polygons() for edge in two_longest_edges(polygon)]
    boundary = [
        ring
        for polygon in shapely.get_parts(np.array([shapely.union_all(drivable)], dtype=object))
        for ring in (polygon.exterior, *polygon.interiors)
    ]
    lines = {MapClass.DIVIDER: dividers, MapClass.CROSSING: crossings, MapClass.BOUNDARY: boundary}
    return CityMap({kind: shapely.STRtree(geometries) for kind, geometries in lines.items()}, shapely.STRtree(drivable))


def _camera(scenario: Scenario, camera: MountedCamera, stamp_ns: int) -> CameraRecord:
    fired = stamp_ns + camera.offset_ns
    pose = pose_matrix(scenario.at(fired).ego)
    return CameraRecord(
        camera.name, fired, NOWHERE, camera.intrinsics, (camera.height, camera.width), camera.base_T_camera, pose
    )


def _positions(labels: list[Labels], count: int) -> Array:
    """(keyframes, agents, 3) centres, NaN where an agent is not annotated."""
    positions = np.full((len(labels), count, 3), np.nan)
    for index, of_keyframe in enumerate(labels):
        positions[index, of_keyframe.agents] = of_keyframe.centers
    return positions


def _velocities(positions: Array, stamps: list[int], index: int) -> Array:
    """(agents, 3) by the devkit's rule: between the agent's annotations before and after, or to the one there is.

    NaN where they are more than 1.5 s apart, 3 s if there are both.
    """
    known = ~np.isnan(positions[:, :, 0])
    numbers = np.arange(len(stamps))[:, None]
    first = np.where(known & (numbers < index), numbers, -1).max(axis=0)
    last = np.where(known & (numbers > index), numbers, len(stamps)).min(axis=0)
    has_both = (first >= 0) & (last < len(stamps))
    first, last = np.where(first < 0, index, first), np.where(last == len(stamps), index, last)
    agents = np.arange(positions.shape[1])
    seconds = (np.asarray(stamps)[last] - np.asarray(stamps)[first]) / 1e9
    with np.errstate(divide="ignore", invalid="ignore"):
        velocities = (positions[last, agents] - positions[first, agents]) / seconds[:, None]
    velocities[seconds > np.where(has_both, 2 * MAX_GAP_S, MAX_GAP_S)] = np.nan
    return np.asarray(velocities)


def _annotations(labels: Labels, velocities: Array) -> Annotations:
    count = len(labels.agents)
    return Annotations(
        track_ids=labels.agents + 1,
        centers=labels.centers,
        sizes=labels.sizes,
        headings=np.stack([np.cos(labels.yaws), np.sin(labels.yaws), np.zeros(count)], axis=1),
        velocities=velocities[labels.agents],
        class_ids=labels.class_ids,
        attribute_ids=labels.attribute_ids,
        lidar_points=np.full(count, -1, dtype=np.int64),
        visibility=np.zeros(count, dtype=np.int64),
    )
