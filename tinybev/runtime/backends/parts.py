"""The student in two parts with the pooling between them: what every exported runtime is made of.

The pooling depends on the calibration and its lists have another length for each, while both parts have fixed shapes
and know no geometry but the intrinsics, which are an input. So one export serves every calibration, and no runtime
needs an operator for the pooling: ONNX Runtime would run PyTorch's ``embedding_bag`` as a loop over the cells.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from tinybev.model.config import StudentConfig
from tinybev.model.heads.detection import DetectionOutputs
from tinybev.model.heads.motion import MotionOutputs
from tinybev.model.heads.occupancy import OccupancyOutputs
from tinybev.model.heads.peaks import Peaks
from tinybev.model.heads.planning import PlanConditions, PlanOutputs
from tinybev.model.lift_splat import INTRINSICS
from tinybev.model.student import Student, StudentOutputs
from tinybev.model.temporal import Memory
from tinybev.types import CAMERAS, Command

IMAGE_PART, BEV_PART = "image", "bev"
PART_NAMES = (IMAGE_PART, BEV_PART)
IMAGE_OUTPUTS = ("depth_logits", "context")
HEAD_OUTPUTS = (
    *(f"detection.{name}" for name in DetectionOutputs._fields),
    "map",
    *(f"occupancy.{name}" for name in OccupancyOutputs._fields),
    *(f"plan.{name}" for name in PlanOutputs._fields),
    *(f"agents.{name}" for name in Peaks._fields),
    *(f"motion.{name}" for name in MotionOutputs._fields),
)
BEV_OUTPUTS = ("bev", *HEAD_OUTPUTS, "stem")
"""Names of the parts' outputs, in order; the exported files tell them apart by these."""


@dataclass(frozen=True)
class Part:
    """One part as an exporter takes it.

    Attributes:
        name: ``IMAGE_PART`` or ``BEV_PART``.
        module: takes and gives tensors only, a batch of one, float32 but for the images' bytes and the agents' int64
            indices.
        example: inputs of the right shapes.
        input_names, output_names: one each, in order.
    """

    name: str
    module: nn.Module
    example: tuple[Tensor, ...]
    input_names: tuple[str, ...]
    output_names: tuple[str, ...]


class _ImagePart(nn.Module):
    def __init__(self, student: Student) -> None:
        super().__init__()
        self.student = student

    def forward(self, images_BNHW3: Tensor, intrinsics_BN4: Tensor) -> tuple[Tensor, Tensor]:
        lifted = self.student.see(images_BNHW3, intrinsics_BN4)
        return lifted.depth_logits_BNDHW, lifted.context_BNHWC


class _BevPart(nn.Module):
    def __init__(self, student: Student) -> None:
        super().__init__()
        self.student = student

    def forward(self, lifted_BXYC: Tensor, *conditions_and_memory: Tensor) -> tuple[Tensor, ...]:
        told = len(PlanConditions._fields)
        conditions = PlanConditions(*conditions_and_memory[:told])
        memory = Memory(*conditions_and_memory[told:]) if self.student.temporal is not None else None
        stem_BCXY = self.student.bev_stem(lifted_BXYC.permute(0, 3, 1, 2))
        return _bev_tensors(self.student.conclude(stem_BCXY, stem_BCXY.new_zeros(0), conditions, memory))


def student_parts(student: Student) -> tuple[Part, Part]:
    """The image part and the BEV part of a student; they share its weights."""
    return _image_part(student), _bev_part(student)


def bev_arguments(lifted_BXYC: Tensor, conditions: PlanConditions, memory: Memory | None) -> tuple[Tensor, ...]:
    """The inputs of the BEV part in its order."""
    return (lifted_BXYC, *conditions, *(memory or ()))


def joined_outputs(depth_logits_BNDHW: Tensor, bev_tensors: Iterable[Tensor]) -> StudentOutputs:
    """The student's outputs from the depth of the image part and the outputs of the BEV part."""
    tensors = iter(bev_tensors)
    return StudentOutputs(  # arguments are evaluated in the order in which they stand here, that of _bev_tensors
        depth_logits_BNDHW=depth_logits_BNDHW,
        bev_BCXY=next(tensors),
        detection=DetectionOutputs(*(next(tensors) for _ in DetectionOutputs._fields)),
        map_BKXY=next(tensors),
        occupancy=OccupancyOutputs(*(next(tensors) for _ in OccupancyOutputs._fields)),
        plan=PlanOutputs(*(next(tensors) for _ in PlanOutputs._fields)),
        agents=Peaks(*(next(tensors) for _ in Peaks._fields)),
        motion=MotionOutputs(*(next(tensors) for _ in MotionOutputs._fields)),
        stem_BCXY=next(tensors),
    )


def _image_part(student: Student) -> Part:
    cameras = len(CAMERAS)
    images_BNHW3 = torch.zeros(1, cameras, *student.config.image_size, 3, dtype=torch.uint8)
    example = (images_BNHW3, torch.zeros(1, cameras, INTRINSICS))
    return Part(IMAGE_PART, _ImagePart(student), example, ("images", "intrinsics"), IMAGE_OUTPUTS)


def _bev_part(student: Student) -> Part:
    config = student.config
    lifted_BXYC = torch.zeros(1, *config.grid.shape, config.context_channels)
    conditions = PlanConditions(torch.zeros(1, len(Command)), torch.zeros(1, 3), torch.zeros(1, 4))
    memory = _empty_memory(config) if config.memory_frames else None
    input_names = ("lifted", *PlanConditions._fields, *(Memory._fields if memory else ()))
    return Part(BEV_PART, _BevPart(student), bev_arguments(lifted_BXYC, conditions, memory), input_names, BEV_OUTPUTS)


def _empty_memory(config: StudentConfig) -> Memory:
    count = config.memory_frames
    feat_BMCXY = torch.zeros(1, count, config.bev_widths[0], *config.head_grid.shape)
    return Memory(feat_BMCXY, torch.eye(3).repeat(1, count, 1, 1), torch.zeros(1, count))


def _bev_tensors(outputs: StudentOutputs) -> tuple[Tensor, ...]:
    return (
        outputs.bev_BCXY,
        *outputs.detection,
        outputs.map_BKXY,
        *outputs.occupancy,
        *outputs.plan,
        *outputs.agents,
        *outputs.motion,
        outputs.stem_BCXY,
    )
