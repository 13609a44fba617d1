"""Turning and mirroring the world around the ego, as in the LSS and BEVDet family, before it is drawn onto grids.

The images stay as they are. What changes is base_link: its axes are turned about z and mirrored, and everything that is
expressed in it follows, mountings of the cameras and lidar points included, so the geometry stays exact. There is no
scaling: it would not be exact (the images would have to show larger cars), and BEVDet's few percent would contradict
the sizes and speeds that are learnt.

A mirrored world has mirrored mountings: ``base_T_camera`` contains a reflection, which a lift-splat student never
notices, as it only sends points through it. Ego poses are carried over so that they remain rigid motions (the map is
mirrored with the rest), and may be inverted and interpolated as always.

What is the car's own does not survive everything: mirrored left to right a drive is a drive, the commands change places
and the yaw rate its sign. Turned, or mirrored front to back, the ego would no longer drive along its x axis; there the
plan is masked and the ego status unknown, while boxes, futures, map and occupancy remain.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from tinybev.geometry import Array
from tinybev.types import CameraFrame, Command, Detections, EgoStatus, Frame, Goal
from tinybev_training.data.sample import AgentTargets, PastFrame, PlanTargets
from tinybev_training.data.surroundings import Footprints, MapGeometry, Surroundings

_Real = TypeVar("_Real", np.float32, np.float64)

_MIRRORED_COMMAND = {Command.LEFT: Command.RIGHT, Command.RIGHT: Command.LEFT, Command.FORWARD: Command.FORWARD}


@dataclass(frozen=True)
class BevAugmentation:
    """One way to see the world: mirrored (front to back if ``flip_x``, left to right if ``flip_y``), then turned
    about z by ``rotation`` radians."""

    rotation: float = 0.0
    flip_x: bool = False
    flip_y: bool = False

    @property
    def matrix(self) -> Array:
        """(4, 4): takes points of base_link to the augmented base_link."""
        cos, sin = math.cos(self.rotation), math.sin(self.rotation)
        matrix = np.eye(4)
        matrix[:2, :2] = [[cos, -sin], [sin, cos]]
        matrix[:, :2] *= [-1.0 if self.flip_x else 1.0, -1.0 if self.flip_y else 1.0]
        return matrix

    @property
    def keeps_forward(self) -> bool:
        """Whether the ego still drives along its x axis."""
        return self.rotation == 0.0 and not self.flip_x


AS_RECORDED = BevAugmentation()


@dataclass(frozen=True)
class BevAugmentationRange:
    """What to draw from; turn and mirroring are BEVDet's, but half of the samples stay unturned for the planner, and
    three quarters are not mirrored front to back.

    Attributes:
        rotation: largest turn to either side, radians.
        rotate_probability, flip_x_probability, flip_y_probability: how often each is done.
    """

    rotation: float = math.radians(22.5)
    rotate_probability: float = 0.5
    flip_x_probability: float = 0.25
    flip_y_probability: float = 0.5

    def draw(self, rng: np.random.Generator) -> BevAugmentation:
        """One augmentation; always takes four numbers from ``rng``."""
        rotate, flip_x, flip_y, turn = rng.random(4)
        return BevAugmentation(
            rotation=float((2 * turn - 1) * self.rotation) if rotate < self.rotate_probability else 0.0,
            flip_x=bool(flip_x < self.flip_x_probability),
            flip_y=bool(flip_y < self.flip_y_probability),
        )


def augment_past(past: PastFrame, augmentation: BevAugmentation) -> PastFrame:
    """An earlier keyframe in the same augmented world, so that the ego's way between the two remains what it was."""
    if augmentation == AS_RECORDED:
        return past
    matrix = augmentation.matrix
    return PastFrame(_frame(past.frame, augmentation, ego=None), _turned_points(past.lidar_points, matrix))


def augment_bev(surroundings: Surroundings, augmentation: BevAugmentation) -> Surroundings:
    """The surroundings in the augmented base_link."""
    if augmentation == AS_RECORDED:
        return surroundings
    matrix = augmentation.matrix
    forward = augmentation.keeps_forward
    ego = _ego(surroundings.ego, augmentation)
    agents, sweep = surroundings.agents, surroundings.sweep
    return replace(
        surroundings,
        frame=_frame(surroundings.frame, augmentation, ego),
        ego=ego,
        agents=AgentTargets(
            _boxes(agents.boxes, matrix),
            agents.lidar_points,
            agents.visibility,
            _turned(agents.futures, matrix),
            agents.futures_valid,
        ),
        footprints=tuple(None if step is None else _footprints(step, matrix) for step in surroundings.footprints),
        map=_map(surroundings.map, matrix),
        plan=PlanTargets(
            _turned(surroundings.plan.positions, matrix),
            _turned_yaws(surroundings.plan.yaws, matrix),
            surroundings.plan.valid & forward,
        ),
        lidar_points=_turned_points(surroundings.lidar_points, matrix),
        sweep=None if sweep is None else replace(sweep, base_T_sweep=matrix @ sweep.base_T_sweep),
        augmented_T_base=matrix @ surroundings.augmented_T_base,
    )


def _turned(points: NDArray[_Real], matrix: Array) -> NDArray[_Real]:
    """Points or vectors (..., 2) of the ground in the augmented axes."""
    return (points @ matrix[:2, :2].T).astype(points.dtype)


def _turned_points(points: NDArray[np.float32], matrix: Array) -> NDArray[np.float32]:
    """Lidar points (P, 5) in the augmented axes."""
    turned = points.copy()
    turned[:, :2] = _turned(points[:, :2], matrix)
    return turned


def _turned_yaws(yaws: NDArray[_Real], matrix: Array) -> NDArray[_Real]:
    headings = np.stack([np.cos(yaws), np.sin(yaws)], axis=-1) @ matrix[:2, :2].T
    return np.arctan2(headings[..., 1], headings[..., 0]).astype(yaws.dtype)


def _boxes(boxes: Detections, matrix: Array) -> Detections:
    centers = boxes.centers.copy()
    centers[:, :2] = _turned(centers[:, :2], matrix)
    return replace(
        boxes,
        centers=centers,
        yaws=_turned_yaws(boxes.yaws, matrix),
        velocities=_turned(boxes.velocities, matrix),
    )


def _footprints(footprints: Footprints, matrix: Array) -> Footprints:
    return replace(
        footprints,
        centers=_turned(footprints.centers, matrix),
        yaws=_turned_yaws(footprints.yaws, matrix),
    )


def _map(geometry: MapGeometry, matrix: Array) -> MapGeometry:
    lines = {map_class: tuple(_turned(line, matrix) for line in lines) for map_class, lines in geometry.lines.items()}
    if geometry.drivable is None:
        return MapGeometry(lines, None)
    return MapGeometry(lines, tuple(tuple(_turned(ring, matrix) for ring in rings) for rings in geometry.drivable))


def _ego(ego: EgoStatus | None, augmentation: BevAugmentation) -> EgoStatus | None:
    if ego is None or not augmentation.keeps_forward:
        return None
    return replace(ego, yaw_rate_rps=-ego.yaw_rate_rps if augmentation.flip_y else ego.yaw_rate_rps)


def _frame(frame: Frame, augmentation: BevAugmentation, ego: EgoStatus | None) -> Frame:
    matrix = augmentation.matrix
    images = {camera: _camera(image, matrix) for camera, image in frame.images.items()}
    point = frame.goal.point
    if point is not None:
        x, y = _turned(np.array(point), matrix)
        point = (float(x), float(y))
    # Seen by a driver who looks along the augmented path, a turn changes its side where the world is a mirror image.
    mirrored = augmentation.flip_y != augmentation.flip_x
    command = _MIRRORED_COMMAND[frame.goal.command] if mirrored else frame.goal.command
    pose = _pose(frame.map_T_base, matrix)
    return replace(frame, images=images, map_T_base=pose, goal=Goal(command, point), ego=ego)


def _camera(camera: CameraFrame, matrix: Array) -> CameraFrame:
    return replace(
        camera,
        base_T_camera=matrix @ camera.base_T_camera,
        map_T_base=_pose(camera.map_T_base, matrix),
    )


def _pose(map_T_base: Array | None, matrix: Array) -> Array | None:
    """The pose of the augmented base_link in the map augmented likewise."""
    return None if map_T_base is None else matrix @ map_T_base @ matrix.T
