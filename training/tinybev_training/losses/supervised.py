"""Every head against its targets: one scalar a term."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor
from torch.nn import functional

from tinybev.model.bev_encoder import sample_cells
from tinybev.model.config import StudentConfig
from tinybev.model.heads.motion import MotionOutputs
from tinybev.model.student import StudentOutputs
from tinybev_training.data.batch import Batch
from tinybev_training.losses.boxes import box_distance, dense_boxes
from tinybev_training.losses.depth import NO_DEPTH, depth_loss, depth_targets
from tinybev_training.losses.heatmap import focal_loss
from tinybev_training.losses.masks import mask_loss
from tinybev_training.losses.motion import MotionLosses, motion_losses
from tinybev_training.losses.reduction import masked_mean
from tinybev_training.losses.targets import StudentTargets
from tinybev_training.losses.terms import SupervisedTerms, SupervisedWeights


def supervised_terms(
    outputs: StudentOutputs,
    targets: StudentTargets,
    batch: Batch,
    config: StudentConfig,
    weights: SupervisedWeights,
) -> SupervisedTerms:
    """The terms of a batch, in float32 whatever the outputs are.

    Args:
        outputs: of a student that was given ``targets.agents``, or agents that begin with them.
        targets: of the batch.
        batch: its lidar points teach depth.
        config: the student's.
        weights: a term whose weight is 0 is 0 and not computed.

    With several processes all of them must call this equally often, see ``losses.reduction``.
    """
    zero = outputs.bev_BCXY.new_zeros((), dtype=outputs.bev_BCXY.float().dtype)

    def term(weight: float, compute: Callable[[], Tensor]) -> Tensor:
        return compute() if weight else zero

    motion = MotionLosses(zero, zero)
    if weights.motion or weights.mode:
        motion = _motion(outputs.motion, targets)
    return SupervisedTerms(
        heatmap=term(weights.heatmap, lambda: _heatmap(outputs, targets)),
        box=term(weights.box, lambda: _box(outputs, targets)),
        attribute=term(weights.attribute, lambda: _attribute(outputs, targets)),
        depth=term(weights.depth, lambda: _depth(outputs, targets, batch, config)),
        map=term(weights.map, lambda: mask_loss(outputs.map_BKXY, targets.map_BCXY, targets.map_mask_BC)),
        occupancy=term(weights.occupancy, lambda: _occupancy(outputs, targets)),
        flow=term(weights.flow, lambda: _flow(outputs, targets)),
        motion=motion.likelihood if weights.motion else zero,
        mode=motion.mode if weights.mode else zero,
        plan=term(weights.plan, lambda: _plan(outputs.plan.position_BT2, targets.plan_BT2, targets)),
        heading=term(weights.heading, lambda: _plan(outputs.plan.heading_BT2, targets.headings_BT2, targets)),
    )


def _heatmap(outputs: StudentOutputs, targets: StudentTargets) -> Tensor:
    count = targets.counted_BA.sum()
    return focal_loss(outputs.detection.heatmap_BKXY, targets.heatmap_BKXY, count, targets.labelled_B)


def _box(outputs: StudentOutputs, targets: StudentTargets) -> Tensor:
    predicted_BAC = sample_cells(dense_boxes(outputs.detection).float(), targets.agents.cell_BA)
    return box_distance(predicted_BAC, targets.boxes_BAC, targets.known_BAC, targets.agents.score_BA)


def _attribute(outputs: StudentOutputs, targets: StudentTargets) -> Tensor:
    logits_BAC = sample_cells(outputs.detection.attribute_BAXY.float(), targets.agents.cell_BA)
    wanted_F = targets.attributes_BA.flatten()
    entropy_F = functional.cross_entropy(logits_BAC.flatten(0, 1), wanted_F.clamp(min=0), reduction="none")
    return masked_mean(entropy_F, wanted_F >= 0)


def _depth(outputs: StudentOutputs, targets: StudentTargets, batch: Batch, config: StudentConfig) -> Tensor:
    bin_BNHW = depth_targets(batch, config).masked_fill(~targets.labelled_B[:, None, None, None], NO_DEPTH)
    return depth_loss(outputs.depth_logits_BNDHW, bin_BNHW)


def _occupancy(outputs: StudentOutputs, targets: StudentTargets) -> Tensor:
    return mask_loss(outputs.occupancy.logits_BTXY, targets.occupied_BTXY, targets.occupancy_mask_BT)


def _flow(outputs: StudentOutputs, targets: StudentTargets) -> Tensor:
    miss_BTXY = (outputs.occupancy.flow_BT2XY.float() - targets.flow_BT2XY).abs().sum(dim=2)
    return masked_mean(miss_BTXY, targets.flow_mask_BTXY)


def _motion(motion: MotionOutputs, targets: StudentTargets) -> MotionLosses:
    annotated = MotionOutputs(*(output[:, : targets.counted_BA.shape[1]] for output in motion))
    return motion_losses(annotated, targets.futures_BAT2, targets.futures_mask_BAT)


def _plan(predicted_BT2: Tensor, wanted_BT2: Tensor, targets: StudentTargets) -> Tensor:
    return masked_mean((predicted_BT2.float() - wanted_BT2).abs().sum(dim=2), targets.plan_mask_BT)
