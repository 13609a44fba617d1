"""Output level at the teacher's objects and for the ego: boxes, futures, plan."""

from __future__ import annotations

import torch
from torch import Tensor

from tinybev.model.bev_encoder import sample_cells
from tinybev.model.heads.detection import DetectionOutputs
from tinybev.model.heads.motion import MotionOutputs
from tinybev_training.distill.divergence import categorical_divergence
from tinybev_training.distill.taught import TaughtAgents
from tinybev_training.losses.boxes import box_distance, dense_boxes, encode_boxes
from tinybev_training.losses.reduction import masked_mean, weighted_mean
from tinybev_training.teacher.outputs import TeacherAgents, TeacherPlan


def agent_weights(taught: TaughtAgents, weights_BXY: Tensor) -> Tensor:
    """(B, A): how much each of the teacher's objects counts: its probability times the weight of its cell."""
    return taught.peaks.score_BA * sample_cells(weights_BXY[:, None], taught.peaks.cell_BA)[..., 0]


def box_difference(detection: DetectionOutputs, taught: TaughtAgents, weights_BA: Tensor) -> Tensor:
    """The distance of the student's boxes at the cells of the teacher's objects, as for annotated ones."""
    agents = taught.agents
    wanted_BAC = encode_boxes(
        agents.centers_BA3, agents.sizes_BA3, agents.yaws_BA, agents.velocities_BA2, taught.places
    )
    predicted_BAC = sample_cells(dense_boxes(detection).float(), taught.peaks.cell_BA)
    return box_distance(predicted_BAC, wanted_BAC, wanted_BAC.isfinite(), weights_BA)


def motion_difference(motion: MotionOutputs, agents: TeacherAgents, temperature: float, weights_BA: Tensor) -> Tensor:
    """How far the student's futures of the teacher's objects are from those that the teacher expects.

    The modes of the two have no common order. Each of the teacher's modes is compared with the student's mode that
    comes closest to it, and adds, by its probability, the mean distance of the two in metres. The student's mode then
    ought to have the probability of all the teacher's modes that it came closest to; the divergence from that is added
    where the teacher has probabilities.

    Args:
        motion: of the teacher's objects.
        agents: these, with futures, as ``TaughtAgents`` holds them.
        temperature: of the modes' logits.
        weights_BA: of the objects.
    """
    if agents.futures_BAMT2 is None:
        raise ValueError("agents: expected futures, got none")
    steps = min(motion.offset_BAKT2.shape[3], agents.futures_BAMT2.shape[3])
    expected_BAMT2 = agents.futures_BAMT2[:, :, :, :steps]
    expected_BAMT2 = expected_BAMT2 - agents.centers_BA3[:, :, None, None, :2]
    offset_BAKT2 = motion.offset_BAKT2.float()[:, :, :, :steps]
    miss_BAMKT = (expected_BAMT2[:, :, :, None] - offset_BAKT2[:, :, None]).norm(dim=-1)
    miss_BAM, closest_BAM = miss_BAMKT.mean(dim=4).min(dim=3)
    if agents.mode_logits_BAM is None:
        return weighted_mean(miss_BAM.mean(dim=2), weights_BA)
    logits_BAM = agents.mode_logits_BAM
    miss_BA = (logits_BAM.softmax(dim=2) * miss_BAM).sum(dim=2)
    logits_BAK = motion.logits_BAK.float()
    softened_BAM = (logits_BAM / temperature).softmax(dim=2)
    wanted_BAK = torch.zeros_like(logits_BAK).scatter_add(2, closest_BAM, softened_BAM)
    return weighted_mean(miss_BA + categorical_divergence(logits_BAK, wanted_BAK, temperature), weights_BA)


def plan_difference(position_BT2: Tensor, plan: TeacherPlan) -> Tensor:
    """The mean L1 distance of the steps that both plan, metres."""
    steps = min(position_BT2.shape[1], plan.position_BT2.shape[1])
    miss_BT2 = position_BT2.float()[:, :steps] - plan.position_BT2[:, :steps]
    return masked_mean(miss_BT2.abs().sum(dim=2), plan.mask_B[:, None])
