"""Where every part of a scene is at a moment: people swing their legs, everybody stands at their pose."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tinybev_training.world import people
from tinybev_training.world.catalogue import EGO_REAR_AXLE_TO_CENTER
from tinybev_training.world.scenario import TICK_NS, TICK_S, Moment
from tinybev_training.world.scene import Scene


@dataclass(frozen=True)
class Instances:
    """The parts at one moment: (P, 3, 3) ``linear`` and (P, 3) ``offset`` take a mesh's points to the scenario's frame.

    ``normal`` (P, 3, 3) takes its normals; ``center`` (P, 3) is the middle of a sphere around each part;
    ``present`` (P,).
    """

    linear: Tensor
    offset: Tensor
    normal: Tensor
    center: Tensor
    present: NDArray[np.bool_]


def place_parts(scene: Scene, moment: Moment) -> Instances:
    """Where every part is at a moment."""
    parts, scenario = scene.parts, scene.scenario
    pose = parts.pose.copy()
    present = np.ones(len(pose), dtype=bool)
    of_agent = parts.agent >= 0
    index = parts.agent[of_agent]
    pose[of_agent] = moment.poses[index]
    present[of_agent] = moment.present[index]
    of_signal = parts.signal >= 0
    present[of_signal] = moment.signals[parts.signal[of_signal]] == parts.shows[of_signal]
    ego = parts.agent == -2
    yaw = moment.ego[2]
    pose[ego] = moment.ego + EGO_REAR_AXLE_TO_CENTER * np.array([np.cos(yaw), np.sin(yaw), 0.0])
    tick = np.clip((moment.stamp_ns - scenario.start_ns) / TICK_NS, 0, len(scenario.ego) - 1)
    low = int(tick)
    high = min(low + 1, len(scenario.ego) - 1)
    walked = scene.walked[low] + (tick - low) * (scene.walked[high] - scene.walked[low])
    speed = (scene.walked[high] - scene.walked[low]) / TICK_S
    swing = np.zeros(len(pose))
    phase = 2 * np.pi * walked[index] / people.STRIDE_M + scenario.agents.looks[index] % 7
    swing[of_agent] = parts.swing[of_agent] * people.SWING_RAD * np.sin(phase) * np.clip(speed[index] / 0.8, 0.12, 1.0)
    linear, offset = _transforms(pose, parts.scale, parts.pivot, swing)
    normal = np.linalg.inv(linear).transpose(0, 2, 1)
    center = np.concatenate([pose[:, :2], parts.middle[:, None]], axis=1)

    def on_device(array: NDArray[np.float64]) -> Tensor:
        return torch.from_numpy(array.astype(np.float32)).to(scene.device)

    return Instances(on_device(linear), on_device(offset), on_device(normal), on_device(center), present)


def _transforms(
    pose: NDArray[np.float64], scale: NDArray[np.float64], pivot: NDArray[np.float64], swing: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Scale, then swing about the pivot, then stand at the pose."""
    zeros, ones = np.zeros(len(pose)), np.ones(len(pose))
    cos, sin = np.cos(swing), np.sin(swing)
    swung = np.stack([cos, zeros, sin, zeros, ones, zeros, -sin, zeros, cos], axis=1).reshape(-1, 3, 3)
    axis = np.stack([pivot[:, 0], zeros, pivot[:, 1]], axis=1)
    cos, sin = np.cos(pose[:, 2]), np.sin(pose[:, 2])
    turned = np.stack([cos, -sin, zeros, sin, cos, zeros, zeros, zeros, ones], axis=1).reshape(-1, 3, 3)
    linear = turned @ swung * scale[:, None, :]
    shift = axis - np.einsum("pij,pj->pi", swung, axis)
    offset = np.einsum("pij,pj->pi", turned, shift) + np.concatenate([pose[:, :2], zeros[:, None]], axis=1)
    return linear, offset
