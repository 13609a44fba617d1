"""The student, fed from a batch; ``tinybev_training.teacher.network`` does the same for the cross-modal teacher."""

from __future__ import annotations

from torch import Tensor, nn

from tinybev.model.config import StudentConfig
from tinybev.model.heads.peaks import Peaks
from tinybev.model.student import Student, StudentInputs, StudentOutputs
from tinybev_training.data.batch import Batch, PastInputs
from tinybev_training.train.inputs import Told, inputs_of_views, plan_conditions, remembered


class StudentNetwork(nn.Module):
    """A student that takes batches."""

    needs_lidar = False

    def __init__(self, student: Student) -> None:
        super().__init__()
        self.student = student

    @property
    def config(self) -> StudentConfig:
        """Of the student."""
        return self.student.config

    def forward(self, batch: Batch, told: Told, agents: Peaks | None = None) -> StudentOutputs:
        """All outputs for a batch.

        Args:
            batch: with at least as many earlier keyframes as the student has ``memory_frames``.
            told: what the planner is told.
            agents: whose futures to predict; by default those that the student finds.
        """
        inputs = inputs_of_views(batch, self.config, plan_conditions(batch, told))
        return self.student(inputs, remembered(batch, self.config, self._stem), agents)

    def _stem(self, past: PastInputs, inputs: StudentInputs) -> Tensor:
        return self.student.look(inputs)[0]
