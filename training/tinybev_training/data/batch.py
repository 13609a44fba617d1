"""Samples -> tensors: one example each, and batches of them.

Axes: B samples, N cameras in the order of ``CAMERAS``, C channels or classes, H W image rows and columns, A agents
(padded), T time steps, X Y grid rows and columns, P lidar points of all samples together. A mask is True where its
tensor means something; where it is False the tensor is 0 (a missing camera's intrinsics are NaN and its mounting the
identity, as the model takes them).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass, fields
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tinybev.geometry import invert
from tinybev.runtime.bev_memory import planar
from tinybev_training.data.camera_inputs import CameraInputs, no_cameras
from tinybev_training.data.lidar import NO_POINTS
from tinybev_training.data.sample import MOTION_STEPS, AgentTargets, PastFrame, Sample

_NO_EGO = (0.0, 0.0, 0.0)

T = TypeVar("T", "Batch", "AgentBatch", "PastInputs")


@dataclass(frozen=True)
class PastExample:
    """An earlier keyframe whose images are ready for the network."""

    past: PastFrame
    cameras: CameraInputs


@dataclass(frozen=True)
class Example:
    """One sample whose images are ready for the network.

    Attributes:
        sample, cameras: the sample and its images.
        past: the keyframes before it, newest first, as many as were asked for; None where there is none.
    """

    sample: Sample
    cameras: CameraInputs
    past: tuple[PastExample | None, ...] = ()


@dataclass(frozen=True)
class AgentBatch:
    """The annotated agents; every agent is here, however far or hidden: what a loss counts is the loss's to say.

    Attributes:
        mask_BA: whether the row is an agent.
        centers_BA3, sizes_BA3, yaws_BA: boxes, base_link; sizes are length, width, height.
        velocities_BA2, velocity_mask_BA: m/s, and whether they are known.
        class_ids_BA, attribute_ids_BA, track_ids_BA: as in ``Detections``.
        lidar_points_BA, visibility_BA: as in ``AgentTargets``.
        futures_BAT2, futures_mask_BAT: positions at the future steps, and whether the agent is annotated then.
    """

    mask_BA: Tensor
    centers_BA3: Tensor
    sizes_BA3: Tensor
    yaws_BA: Tensor
    velocities_BA2: Tensor
    velocity_mask_BA: Tensor
    class_ids_BA: Tensor
    attribute_ids_BA: Tensor
    track_ids_BA: Tensor
    lidar_points_BA: Tensor
    visibility_BA: Tensor
    futures_BAT2: Tensor
    futures_mask_BAT: Tensor

    def to(self, device: torch.device | str) -> AgentBatch:
        """The same on another device."""
        return _mapped(self, lambda tensor: tensor.to(device, non_blocking=True))


@dataclass(frozen=True)
class PastInputs:
    """What was seen one keyframe (or two, or more) before each sample of a batch.

    Attributes:
        known_B: whether there is such a keyframe; where not, every camera is missing and there are no points.
        past_T_now_B33: planar transform, float32, that takes a point (x, y, 1) of base_link now to base_link then.
        images_BNCHW, camera_mask_BN, intrinsics_BN33: as in ``Batch``.
        base_T_camera_BN44: as in ``Batch``, to base_link *then*.
        lidar_P5, lidar_sample_P: as in ``Batch``, in base_link *then*.
    """

    known_B: Tensor
    past_T_now_B33: Tensor
    images_BNCHW: Tensor
    camera_mask_BN: Tensor
    intrinsics_BN33: Tensor
    base_T_camera_BN44: Tensor
    lidar_P5: Tensor
    lidar_sample_P: Tensor

    def to(self, device: torch.device | str) -> PastInputs:
        """The same on another device."""
        return _mapped(self, lambda tensor: tensor.to(device, non_blocking=True))


@dataclass(frozen=True)
class Batch:
    """What a training step reads.

    Attributes:
        images_BNCHW: uint8 RGB; normalisation is the model's.
        camera_mask_BN: whether the camera is there.
        intrinsics_BN33: of these images, general 3x3 matrices.
        base_T_camera_BN44: from each camera at its own stamp to base_link at the reference stamp, ego motion included.
        ego_B3: speed, yaw rate, acceleration; ego_mask_B whether they are known.
        command_B: UniAD's command.
        goal_B2: goal point; goal_mask_B whether there is one.
        agents: the annotated agents.
        occupancy_BTXY: int32 track ids, 0 for none; occupancy_mask_BT whether the step is annotated.
        map_BCXY: bool masks by ``MapClass``; map_mask_BC whether the class is known.
        plan_BT2, plan_yaws_BT: where the ego went; plan_mask_BT whether that is known.
        lidar_P5, lidar_sample_P: points of all samples and the sample each belongs to.
        base_T_sweep_B44, sweep_T_lidar_B44: float64, as in ``SweepPose``; sweep_mask_B whether they are known, be the
            points there or not.
        augmented_T_base_B44: float64, from base_link as recorded to the turned or mirrored base_link of this batch.
        scenes, tokens: names of the scenes and nuScenes' sample tokens.
        previous: the keyframes before, newest first; as many as the training set was asked for.
    """

    images_BNCHW: Tensor
    camera_mask_BN: Tensor
    intrinsics_BN33: Tensor
    base_T_camera_BN44: Tensor
    ego_B3: Tensor
    ego_mask_B: Tensor
    command_B: Tensor
    goal_B2: Tensor
    goal_mask_B: Tensor
    agents: AgentBatch
    occupancy_BTXY: Tensor
    occupancy_mask_BT: Tensor
    map_BCXY: Tensor
    map_mask_BC: Tensor
    plan_BT2: Tensor
    plan_yaws_BT: Tensor
    plan_mask_BT: Tensor
    lidar_P5: Tensor
    lidar_sample_P: Tensor
    base_T_sweep_B44: Tensor
    sweep_T_lidar_B44: Tensor
    sweep_mask_B: Tensor
    augmented_T_base_B44: Tensor
    scenes: tuple[str, ...]
    tokens: tuple[str, ...]
    previous: tuple[PastInputs, ...] = ()

    def __len__(self) -> int:
        return len(self.tokens)

    def to(self, device: torch.device | str) -> Batch:
        """The same on another device; from pinned memory the copy runs beside other work."""
        return _mapped(self, lambda tensor: tensor.to(device, non_blocking=True))

    def pin_memory(self) -> Batch:
        """The same in page-locked memory; PyTorch's loader calls it."""
        return _mapped(self, lambda tensor: tensor.pin_memory())


def collate(examples: Sequence[Example]) -> Batch:
    """The batch of some examples, agents padded to the most any of them has."""
    samples = [example.sample for example in examples]
    cameras = [example.cameras for example in examples]
    egos = [sample.ego for sample in samples]
    goals = [sample.frame.goal for sample in samples]
    lidar = [sample.lidar_points for sample in samples]
    sweeps = [sample.sweep for sample in samples]
    return Batch(
        images_BNCHW=_images(cameras),
        camera_mask_BN=_stacked([camera.mask_N for camera in cameras]),
        intrinsics_BN33=_stacked([camera.intrinsics_N33 for camera in cameras], np.float32),
        base_T_camera_BN44=_stacked([camera.base_T_camera_N44 for camera in cameras], np.float32),
        ego_B3=torch.tensor([_NO_EGO if ego is None else astuple(ego) for ego in egos]),
        ego_mask_B=torch.tensor([ego is not None for ego in egos]),
        command_B=torch.tensor([int(goal.command) for goal in goals]),
        goal_B2=torch.tensor([goal.point or (0.0, 0.0) for goal in goals]),
        goal_mask_B=torch.tensor([goal.point is not None for goal in goals]),
        agents=_agent_batch([sample.agents for sample in samples]),
        occupancy_BTXY=_stacked([sample.occupancy.instances for sample in samples]),
        occupancy_mask_BT=_stacked([sample.occupancy.valid for sample in samples]),
        map_BCXY=_stacked([sample.map.masks for sample in samples]),
        map_mask_BC=_stacked([sample.map.valid for sample in samples]),
        plan_BT2=_stacked([sample.plan.positions for sample in samples]),
        plan_yaws_BT=_stacked([sample.plan.yaws for sample in samples]),
        plan_mask_BT=_stacked([sample.plan.valid for sample in samples]),
        lidar_P5=torch.from_numpy(np.concatenate(lidar)),
        lidar_sample_P=torch.from_numpy(np.repeat(np.arange(len(lidar)), [len(points) for points in lidar])),
        base_T_sweep_B44=_stacked([np.eye(4) if sweep is None else sweep.base_T_sweep for sweep in sweeps], np.float64),
        sweep_T_lidar_B44=_stacked(
            [np.eye(4) if sweep is None else sweep.sweep_T_lidar for sweep in sweeps], np.float64
        ),
        sweep_mask_B=torch.tensor([sweep is not None for sweep in sweeps]),
        augmented_T_base_B44=_stacked([sample.augmented_T_base for sample in samples], np.float64),
        scenes=tuple(sample.scene for sample in samples),
        tokens=tuple(sample.token for sample in samples),
        previous=tuple(
            _past_inputs(examples, [example.past[m] for example in examples]) for m in range(len(examples[0].past))
        ),
    )


def _past_inputs(examples: Sequence[Example], pasts: Sequence[PastExample | None]) -> PastInputs:
    """One keyframe before each of ``examples``."""
    count, height, width, _ = examples[0].cameras.images_NHWC.shape
    cameras = [no_cameras(count, (height, width)) if past is None else past.cameras for past in pasts]
    lidar = [NO_POINTS if past is None else past.past.lidar_points for past in pasts]
    known, past_T_now = np.zeros(len(pasts), dtype=np.bool_), np.tile(np.eye(3), (len(pasts), 1, 1))
    for b, (example, past) in enumerate(zip(examples, pasts, strict=True)):
        map_T_now = example.sample.frame.map_T_base
        map_T_then = None if past is None else past.past.frame.map_T_base
        if map_T_now is not None and map_T_then is not None:
            known[b], past_T_now[b] = True, planar(invert(map_T_then) @ map_T_now)
    return PastInputs(
        known_B=torch.from_numpy(known),
        past_T_now_B33=torch.from_numpy(past_T_now).float(),
        images_BNCHW=_images(cameras),
        camera_mask_BN=_stacked([camera.mask_N for camera in cameras]),
        intrinsics_BN33=_stacked([camera.intrinsics_N33 for camera in cameras], np.float32),
        base_T_camera_BN44=_stacked([camera.base_T_camera_N44 for camera in cameras], np.float32),
        lidar_P5=torch.from_numpy(np.concatenate(lidar)),
        lidar_sample_P=torch.from_numpy(np.repeat(np.arange(len(lidar)), [len(points) for points in lidar])),
    )


def _images(cameras: Sequence[CameraInputs]) -> Tensor:
    return torch.from_numpy(np.stack([camera.images_NHWC for camera in cameras])).permute(0, 1, 4, 2, 3)


def _agent_batch(agents: Sequence[AgentTargets]) -> AgentBatch:
    most = max(len(targets.boxes) for targets in agents)

    def padded(rows: Sequence[NDArray[Any]], *shape: int) -> Tensor:
        """(B, most, *shape) from one (N, *shape) a sample."""
        out = np.zeros((len(rows), most, *shape), dtype=rows[0].dtype)
        for sample, of_sample in enumerate(rows):
            out[sample, : len(of_sample)] = of_sample
        return torch.from_numpy(out)

    known = [np.isfinite(targets.boxes.velocities).all(axis=1) for targets in agents]
    velocities = [np.nan_to_num(targets.boxes.velocities, nan=0.0) for targets in agents]
    return AgentBatch(
        mask_BA=padded([np.ones(len(targets.boxes), dtype=np.bool_) for targets in agents]),
        centers_BA3=padded([targets.boxes.centers for targets in agents], 3),
        sizes_BA3=padded([targets.boxes.sizes for targets in agents], 3),
        yaws_BA=padded([targets.boxes.yaws for targets in agents]),
        velocities_BA2=padded([v * k[:, None] for v, k in zip(velocities, known, strict=True)], 2),
        velocity_mask_BA=padded(known),
        class_ids_BA=padded([targets.boxes.class_ids for targets in agents]),
        attribute_ids_BA=padded([targets.boxes.attribute_ids for targets in agents]),
        track_ids_BA=padded([targets.boxes.track_ids for targets in agents]),
        lidar_points_BA=padded([targets.lidar_points for targets in agents]),
        visibility_BA=padded([targets.visibility for targets in agents]),
        futures_BAT2=padded([targets.futures for targets in agents], MOTION_STEPS, 2),
        futures_mask_BAT=padded([targets.futures_valid for targets in agents], MOTION_STEPS),
    )


def _stacked(arrays: Sequence[NDArray[Any]], dtype: type[np.generic] | None = None) -> Tensor:
    stacked = np.stack(arrays)
    return torch.from_numpy(stacked if dtype is None else stacked.astype(dtype))


def _mapped(batch: T, change: Callable[[Tensor], Tensor]) -> T:
    """``batch`` with every tensor in it changed."""
    values: dict[str, Any] = {}
    for field in fields(batch):
        value = getattr(batch, field.name)
        if isinstance(value, Tensor):
            value = change(value)
        elif isinstance(value, AgentBatch):
            value = _mapped(value, change)
        elif field.name == "previous":
            value = tuple(_mapped(past, change) for past in value)
        values[field.name] = value
    return type(batch)(**values)
