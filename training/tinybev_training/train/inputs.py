"""A batch -> the network's inputs, on the batch's device: what ``tinybev.runtime.preprocess`` does for one frame."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from tinybev.model.config import StudentConfig
from tinybev.model.heads.planning import GOAL_SCALE_M, SPEED_SCALE_MPS, PlanConditions
from tinybev.model.lift_geometry import SplatIndices, splat_indices
from tinybev.model.lift_splat import normalised_intrinsics
from tinybev.model.student import StudentInputs
from tinybev.model.temporal import Memory
from tinybev.types import Command
from tinybev_training.data.batch import Batch, PastInputs
from tinybev_training.train.recipe import Telling
from tinybev_training.train.splat_on_device import splat_indices_on_device


@dataclass(frozen=True)
class Told:
    """What the planner is told of each sample, where it is known: bool (B,) each."""

    command_B: Tensor
    goal_B: Tensor
    ego_B: Tensor

    @classmethod
    def everything(cls, batch: Batch, ego_status: bool) -> Told:
        """Command and goal, and the ego status if ``ego_status``; for validation."""
        yes_B = torch.ones(len(batch), dtype=torch.bool)
        return cls(yes_B, yes_B, yes_B & ego_status)

    @classmethod
    def nothing(cls, batch: Batch) -> Told:
        """Nothing at all."""
        no_B = torch.zeros(len(batch), dtype=torch.bool)
        return cls(no_B, no_B, no_B)

    @classmethod
    def draw(cls, telling: Telling, seed: int, step: int, batch_size: int, rows: list[int]) -> Told:
        """Some of it is withheld at random, for training.

        Args:
            telling: how often.
            seed, step: the same ones give the same draw, whatever was drawn before.
            batch_size: samples of the whole step; all are drawn, so that a sample's draw does not depend on how the
                step is shared among processes.
            rows: which of them the batch holds.
        """
        chance_R3 = torch.from_numpy(np.random.default_rng([seed, step]).random((batch_size, 3))[rows])
        return cls(
            chance_R3[:, 0] >= telling.command_dropout,
            chance_R3[:, 1] >= telling.goal_dropout,
            (chance_R3[:, 2] >= telling.ego_status_dropout) & telling.ego_status,
        )


class Views(Protocol):
    """Images and their geometry: of a batch, or of earlier keyframes."""

    @property
    def images_BNCHW(self) -> Tensor: ...
    @property
    def intrinsics_BN33(self) -> Tensor: ...
    @property
    def base_T_camera_BN44(self) -> Tensor: ...


def inputs_of_views(views: Views, config: StudentConfig, conditions: PlanConditions) -> StudentInputs:
    """The inputs of views that have the network's size.

    A missing camera's image is black and nothing of it is lifted, as at run time.
    """
    return StudentInputs(
        images_BNHW3=views.images_BNCHW.movedim(2, -1),
        intrinsics_BN4=normalised_intrinsics(views.intrinsics_BN33, config.image_size),
        splat=splat_of_views(views, config),
        conditions=conditions,
    )


def splat_of_views(views: Views, config: StudentConfig) -> SplatIndices:
    """Where the features land; on the CPU by the runtime's function, which is twice as fast there."""
    intrinsics_BN33, base_T_camera_BN44 = views.intrinsics_BN33, views.base_T_camera_BN44
    if intrinsics_BN33.device.type == "cpu":
        return splat_indices(config, intrinsics_BN33.double().numpy(), base_T_camera_BN44.double().numpy())
    return splat_indices_on_device(config, intrinsics_BN33, base_T_camera_BN44)


def plan_conditions(batch: Batch, told: Told) -> PlanConditions:
    """What the planner is told; zeros of what is withheld or unknown."""
    device = batch.command_B.device
    command_B = told.command_B.to(device)
    goal_B = told.goal_B.to(device) & batch.goal_mask_B
    ego_B = told.ego_B.to(device) & batch.ego_mask_B
    one_B1 = torch.ones(len(batch), 1, device=device)
    scale_3 = torch.tensor([SPEED_SCALE_MPS, 1.0, 1.0], device=device)
    return PlanConditions(
        command_B3=functional.one_hot(batch.command_B.long(), len(Command)) * command_B[:, None].float(),
        goal_B3=torch.cat([batch.goal_B2.float() / GOAL_SCALE_M, one_B1], dim=1) * goal_B[:, None],
        ego_B4=torch.cat([batch.ego_B3.float() / scale_3, one_B1], dim=1) * ego_B[:, None],
    )


def remembered(
    batch: Batch, config: StudentConfig, stem: Callable[[PastInputs, StudentInputs], Tensor]
) -> Memory | None:
    """The features of the earlier keyframes of a batch, without gradients, made by the present weights.

    On the vehicle they are those of earlier frames, and what is remembered is not changed any more either.

    Args:
        batch: with at least as many earlier keyframes as ``config`` has ``memory_frames``.
        config: of the network; None is returned where it has no memory.
        stem: a keyframe's features (B, C, X, Y) as a memory keeps them.
    """
    pasts = batch.previous[: config.memory_frames]
    if not config.memory_frames:
        return None
    untold = plan_conditions(batch, Told.nothing(batch))
    with torch.no_grad():
        stems = [stem(past, inputs_of_views(past, config, untold)) for past in pasts]
    return Memory(
        feat_BMCXY=torch.stack(stems, dim=1),
        past_T_now_BM33=torch.stack([past.past_T_now_B33 for past in pasts], dim=1),
        known_BM=torch.stack([past.known_B for past in pasts], dim=1).float(),
    )
