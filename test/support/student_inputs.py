"""Random inputs of a student, with the geometry of an analytic rig."""

from __future__ import annotations

import numpy as np
import torch
from rigs import Rig, ring_rig

from tinybev.model.config import StudentConfig
from tinybev.model.heads.planning import PlanConditions
from tinybev.model.lift_geometry import splat_indices
from tinybev.model.lift_splat import normalised_intrinsics
from tinybev.model.student import StudentInputs


def student_inputs(config: StudentConfig, *rigs: Rig, seed: int = 0) -> StudentInputs:
    """One frame for each rig, or one of a ring of cameras; told to drive forward."""
    rigs = rigs or (ring_rig(config.image_size),)
    intrinsics = np.stack([rig.intrinsics for rig in rigs])
    count, cameras = intrinsics.shape[:2]
    generator = torch.Generator().manual_seed(seed)
    return StudentInputs(
        images_BNHW3=random_images(count, cameras, config.image_size, generator),
        intrinsics_BN4=normalised_intrinsics(torch.from_numpy(intrinsics), config.image_size),
        splat=splat_indices(config, intrinsics, np.stack([rig.base_T_camera for rig in rigs])),
        conditions=PlanConditions(torch.eye(3)[[2] * count], torch.zeros(count, 3), torch.zeros(count, 4)),
    )


def random_images(count: int, cameras: int, size: tuple[int, int], generator: torch.Generator) -> torch.Tensor:
    """Noise of all bytes, uint8 (B, N, H, W, 3)."""
    return torch.randint(0, 256, (count, cameras, *size, 3), generator=generator, dtype=torch.uint8)


def flat(outputs: object, prefix: str = "") -> dict[str, torch.Tensor]:
    """The tensors of nested named tuples by dotted name."""
    if isinstance(outputs, torch.Tensor):
        return {prefix: outputs}
    tensors: dict[str, torch.Tensor] = {}
    for name, value in zip(outputs._fields, outputs, strict=True):  # type: ignore[attr-defined]
        tensors.update(flat(value, f"{prefix}.{name}".lstrip(".")))
    return tensors
