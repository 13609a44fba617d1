"""What a teacher says about a batch: any subset of BEV features and heads, each with its own grid, all in base_link.

This is all that the distillation losses know of a teacher, so one that is a dump on disk, a larger network or the
student's own average are the same to them. What a teacher lacks is None, what it lacks for some samples or classes is
masked; nothing is guessed. Axes are named as in ``tinybev_training.data.batch``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from tinybev.geometry import BevGrid
from tinybev_training.data.batch import Batch


@dataclass(frozen=True)
class GridOutput:
    """Channels on a grid.

    Attributes:
        values_BCXY: the channels; what they are is said where the output is used.
        mask_BC: whether the teacher has the channel for the sample.
        grid: of the cells, in base_link; it may cover less or more than the student's.
        reach_BXY: whether the teacher saw the cell at all, where its own grid, turned into base_link, leaves corners
            out; None where it saw every cell. What it did not see is 0.
    """

    values_BCXY: Tensor
    mask_BC: Tensor
    grid: BevGrid
    reach_BXY: Tensor | None = None


@dataclass(frozen=True)
class TeacherAgents:
    """Objects that the teacher found, and what it expects of them.

    Attributes:
        mask_BA: whether the row is an object.
        probability_BAK: 0 to 1, of each of ``DETECTION_CLASSES``.
        centers_BA3, sizes_BA3, yaws_BA, velocities_BA2: boxes, base_link; sizes are length, width, height.
        futures_BAMT2: positions of M modes, or None.
        mode_logits_BAM: of the modes, or None.
        known_B: the samples whose objects the teacher knows, be there none; None for all of them. Of the others it
            does not say that they are empty.
    """

    mask_BA: Tensor
    probability_BAK: Tensor
    centers_BA3: Tensor
    sizes_BA3: Tensor
    yaws_BA: Tensor
    velocities_BA2: Tensor
    futures_BAMT2: Tensor | None = None
    mode_logits_BAM: Tensor | None = None
    known_B: Tensor | None = None


@dataclass(frozen=True)
class TeacherCenters:
    """Every place where the teacher gives an object some chance, those that it would not call found among them.

    From these a heatmap is drawn for a teacher that has none: what is not among them the teacher calls empty, which
    ``TeacherAgents``, cut at the score from which on it tracks, do not say.

    Attributes:
        mask_BA: whether the row is such a place.
        probability_BAK: 0 to 1, of each of ``DETECTION_CLASSES``.
        centers_BA3, sizes_BA3: boxes, base_link; sizes are length, width, height.
        known_B: the samples of which these are all places, be there none. Of the others no heatmap is drawn.
    """

    mask_BA: Tensor
    probability_BAK: Tensor
    centers_BA3: Tensor
    sizes_BA3: Tensor
    known_B: Tensor


@dataclass(frozen=True)
class TeacherPlan:
    """Where the teacher would drive: positions (B, T, 2), 0.5 s apart, and the samples it has a plan for."""

    position_BT2: Tensor
    mask_B: Tensor


@dataclass(frozen=True)
class TeacherOutputs:
    """Everything a teacher says about the B samples of a batch; detached from its weights.

    Attributes:
        bev: shared features.
        heatmap: logits of ``DETECTION_CLASSES`` centres per cell, for teachers that have a heatmap.
        agents: the objects.
        map: logits by ``MapClass``.
        occupancy: logits of a vehicle in the cell, one channel a step (now and 0.5 s apart).
        plan: the ego's way.
        centers: where objects may be, for teachers without a heatmap.
    """

    bev: GridOutput | None = None
    heatmap: GridOutput | None = None
    agents: TeacherAgents | None = None
    map: GridOutput | None = None
    occupancy: GridOutput | None = None
    plan: TeacherPlan | None = None
    centers: TeacherCenters | None = None


class Teacher(Protocol):
    """What the training loop asks."""

    @property
    def bev_channels(self) -> int | None:
        """Channels of ``TeacherOutputs.bev``; None where the teacher has no features to show."""
        ...

    @property
    def past_frames(self) -> int:
        """Earlier keyframes that a batch must bring for this teacher, see ``TrainingSet``."""
        ...

    def __call__(self, batch: Batch) -> TeacherOutputs:
        """What the teacher says about ``batch``, on the batch's device, without gradients.

        Raises:
            UserError: the teacher cannot speak about this batch at all, e.g. dumps of another dataset.
        """
        ...
