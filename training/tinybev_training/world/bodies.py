"""Bodies: SUMO moves points on lanes, and these are the poses of who is moved."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tinybev_training.world.catalogue import EGO_MODEL, EGO_REAR_AXLE_TO_CENTER, EGO_WHEELBASE
from tinybev_training.world.scenario import TICK_S
from tinybev_training.world.traffic import Track

BODY_SMOOTHING_S = 0.2
"""SUMO moves a vehicle by up to 0.6 m at once where lanes meet at an angle; that is spread by this deviation."""
WALKER_SMOOTHING_S = 0.35
PATH_STEP_M = 0.8
APPROACH_M = 40.0
"""A vehicle that appears on the road has come straight from this far behind."""
ROLLING_STEP_M = 0.05
"""A rear axle is drawn along in steps of this length of its front axle's way."""


@dataclass(frozen=True)
class _Way:
    """The way of a vehicle's foremost point: metres from its first point of each knot, and where the knot is.

    Attributes:
        knots: (K,) ascending metres, from ``-APPROACH_M``.
        path: (K, 2).
        driven: (T,) metres at each tick, never falling.
    """

    knots: NDArray[np.float64]
    path: NDArray[np.float64]
    driven: NDArray[np.float64]

    @classmethod
    def of(cls, track: Track) -> _Way:
        """The way of a track, smoothed.

        Where SUMO sets a vehicle sideways or back, as it does at the seams between lanes and in queues, it goes on
        smoothly: it neither turns on the spot nor backs. This is our own design.
        """
        points = _smoothed(track.points, BODY_SMOOTHING_S)
        heading = np.stack([np.cos(track.yaws), np.sin(track.yaws)], axis=1)
        forward = np.maximum((np.diff(points, axis=0) * heading[1:]).sum(axis=1), 0.0)
        driven = np.concatenate([[0.0], np.cumsum(forward)])
        # The path is known every PATH_STEP_M of progress: what moves less is not a change of direction.
        knots = np.arange(0.0, driven[-1] + PATH_STEP_M, PATH_STEP_M)
        first = np.unique(driven, return_index=True)[1]
        path = np.stack([np.interp(knots, driven[first], points[first, axis]) for axis in (0, 1)], axis=1)
        beyond = np.maximum(knots - driven[-1], 0.0)
        path += beyond[:, None] * heading[-1]
        knots = np.concatenate([[-APPROACH_M], knots])
        path = np.concatenate([(path[0] - APPROACH_M * heading[0])[None], path])
        return cls(knots, path, driven)

    def at(self, metres: NDArray[np.float64]) -> NDArray[np.float64]:
        """Points (..., 2) at metres (...) along the way."""
        return np.stack([np.interp(metres, self.knots, self.path[:, axis]) for axis in (0, 1)], axis=-1)


def body_poses(track: Track) -> NDArray[np.float64]:
    """Poses (T, 3), x, y, yaw of the middle of a vehicle's body: it lies along the track that its front has driven.

    The rear follows where the front has been, as that of somebody who swings wide in a curve does, and a trailer
    follows its tractor. This is our own design.
    """
    way = _Way.of(track)
    front_at = way.driven - track.offset
    # The wheels, not the bumpers, follow the track; the overhangs stick out.
    base = 0.72 * track.length
    overhang = (track.length - base) / 2
    front, rear = way.at(front_at - overhang), way.at(front_at - overhang - base)
    return _along(rear, front, (front + rear) / 2)


def ego_poses(track: Track) -> NDArray[np.float64]:
    """Poses (T, 3), x, y, yaw of the ego's base_link, under its rear axle.

    Its front axle is on the way, and its rear axle is drawn along: it rolls the way it looks and never slides sideways
    (a tractrix), as that of a real car, so that its twist in its own frame has no y.
    """
    way = _Way.of(track)
    overhang = EGO_MODEL.size[0] / 2 + EGO_REAR_AXLE_TO_CENTER - EGO_WHEELBASE
    at = np.arange(-overhang - EGO_WHEELBASE, way.driven[-1] - overhang + ROLLING_STEP_M, ROLLING_STEP_M)
    fronts = way.at(at)
    rear = way.at(at[:1] - EGO_WHEELBASE)[0]
    rears = np.empty_like(fronts)
    for step, front in enumerate(fronts):
        pull = front - rear
        rear = front - pull * (EGO_WHEELBASE / math.hypot(*pull))
        rears[step] = rear
    front_at = way.driven - overhang
    front = np.stack([np.interp(front_at, at, fronts[:, axis]) for axis in (0, 1)], axis=1)
    rear_there = np.stack([np.interp(front_at, at, rears[:, axis]) for axis in (0, 1)], axis=1)
    return _along(rear_there, front, rear_there)


def _along(rear: NDArray[np.float64], front: NDArray[np.float64], at: NDArray[np.float64]) -> NDArray[np.float64]:
    """Poses (T, 3) at points (T, 2), looking from the rear to the front."""
    yaw = np.arctan2(front[:, 1] - rear[:, 1], front[:, 0] - rear[:, 0])
    return np.concatenate([at, yaw[:, None]], axis=1)


def walker_poses(track: Track) -> NDArray[np.float64]:
    """Poses (T, 3) of a pedestrian, smoothed, as SUMO's change stripes at once; who stands keeps looking ahead."""
    points = _smoothed(track.points, WALKER_SMOOTHING_S)
    ahead = np.concatenate([points[8:], np.repeat(points[-1:], min(8, len(points)), axis=0)])[: len(points)]
    moved = ahead - points
    yaw = np.arctan2(moved[:, 1], moved[:, 0])
    known = np.flatnonzero(np.linalg.norm(moved, axis=1) >= 0.03)
    if len(known) == 0:
        yaw = track.yaws.copy()
    else:
        last_known = np.maximum(np.searchsorted(known, np.arange(len(yaw)), side="right") - 1, 0)
        yaw = yaw[known[last_known]]
    return np.concatenate([points, _smoothed(np.unwrap(yaw)[:, None], WALKER_SMOOTHING_S)], axis=1)


def _smoothed(values: NDArray[np.float64], sigma_s: float) -> NDArray[np.float64]:
    """Rows (T, D) at 20 Hz, smoothed by a Gaussian over time; the ends keep their rate of change."""
    reach = math.ceil(3 * sigma_s / TICK_S)
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) * TICK_S / sigma_s) ** 2)
    if len(values) <= reach:
        return values
    padded = np.pad(values, ((reach, reach), (0, 0)), mode="reflect", reflect_type="odd")
    return np.stack([np.convolve(column, kernel / kernel.sum(), mode="valid") for column in padded.T], axis=1)
