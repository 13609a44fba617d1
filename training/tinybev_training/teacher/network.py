"""The cross-modal teacher, fed from a batch: what ``train.network.StudentNetwork`` is for a student."""

from __future__ import annotations

from torch import Tensor, nn

from tinybev.errors import UserError
from tinybev.model.config import StudentConfig
from tinybev.model.heads.peaks import Peaks
from tinybev.model.student import StudentInputs, StudentOutputs
from tinybev_training.data.batch import Batch, PastInputs
from tinybev_training.data.dataset import NuScenesDataset
from tinybev_training.teacher.cross_modal import CrossModal, LidarInputs
from tinybev_training.train.inputs import Told, inputs_of_views, plan_conditions, remembered


class TeacherNetwork(nn.Module):
    """A cross-modal teacher that takes batches."""

    def __init__(self, teacher: CrossModal) -> None:
        super().__init__()
        self.teacher = teacher
        self.train(teacher.training)

    @property
    def needs_lidar(self) -> bool:
        """Whether it looks at lidar points."""
        return self.teacher.config.sees_lidar

    @property
    def config(self) -> StudentConfig:
        """Images, grids and heads, in a student's terms."""
        return self.teacher.config.network

    def forward(self, batch: Batch, told: Told, agents: Peaks | None = None) -> StudentOutputs:
        """All outputs for a batch; a sample without lidar points is seen by its cameras alone.

        Args:
            batch: with at least as many earlier keyframes as the network has ``memory_frames``.
            told: what the planner is told.
            agents: whose futures to predict; by default those that the network finds.

        Raises:
            UserError: the batch has images of another size, or too few earlier keyframes.
        """
        check_views(batch, self.config)
        inputs = inputs_of_views(batch, self.config, plan_conditions(batch, told))
        memory = remembered(batch, self.config, self._stem)
        return self.teacher(inputs, LidarInputs(batch.lidar_P5, batch.lidar_sample_P), memory, agents)

    def _stem(self, past: PastInputs, inputs: StudentInputs) -> Tensor:
        """The features of an earlier keyframe as a memory keeps them."""
        return self.teacher.look(inputs, LidarInputs(past.lidar_P5, past.lidar_sample_P))[0]


def check_views(batch: Batch, config: StudentConfig) -> None:
    """Refuses a batch that the network cannot look at.

    Raises:
        UserError: the images have another size, or earlier keyframes are missing.
    """
    size = tuple(batch.images_BNCHW.shape[-2:])
    if size != config.image_size:
        raise UserError(
            f"{config.name} looks at images of {config.image_size[1]} x {config.image_size[0]}, the batch has "
            f"{size[1]} x {size[0]}; choose a teacher of the student's image size."
        )
    if len(batch.previous) < config.memory_frames:
        raise UserError(
            f"{config.name} looks at {config.memory_frames} earlier keyframes, the batch has {len(batch.previous)}; "
            f"open the training set with past_frames={config.memory_frames}."
        )


def check_lidar(dataset: NuScenesDataset, name: str) -> None:
    """Refuses a dataset on which the cross-modal teacher would see no more than a camera network.

    Args:
        dataset: to train or to teach on.
        name: of the teacher.

    Raises:
        UserError: lidar is not read, or not one keyframe has a sweep.
    """
    if dataset.with_lidar and any(where.has_lidar for where in dataset.keyframes):
        return
    why = "none of its keyframes has a sweep on disk" if dataset.with_lidar else "it was opened without lidar"
    raise UserError(
        f"{name} learns from cameras and lidar, and the dataset has no lidar points ({why}); download the sweeps "
        "(samples/LIDAR_TOP), or choose a teacher that needs none."
    )
