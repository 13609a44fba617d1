"""From the student's shared features to a teacher's, so that the two can be compared cell by cell."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from tinybev.model.config import StudentConfig


class TeacherAdapter(nn.Module):
    """A 1x1 convolution to the teacher's channels, then interpolation to its grid.

    It is trained beside the student and thrown away: no bundle holds it, and the student's size does not count it.
    Student and teacher must cover the same ground with the same axes; a teacher's tensor that does not is turned first.

    Args:
        config: the student's.
        teacher_channels: C of the teacher's features, 256 for UniAD.
        teacher_shape: (X, Y) of the teacher's grid, (200, 200) for UniAD.
    """

    def __init__(self, config: StudentConfig, teacher_channels: int, teacher_shape: tuple[int, int]) -> None:
        super().__init__()
        self._shape = teacher_shape
        self.project = nn.Conv2d(config.bev_channels, teacher_channels, 1)

    def forward(self, bev_BCXY: Tensor) -> Tensor:
        """``StudentOutputs.bev_BCXY`` as (B, ``teacher_channels``, *``teacher_shape``)."""
        return functional.interpolate(self.project(bev_BCXY), size=self._shape, mode="bilinear", align_corners=False)
