"""A cross-modal teacher to be measured: examples as in training, outputs decoded as on the robot."""

from __future__ import annotations

import dataclasses
import hashlib
import time
from pathlib import Path

import torch

from tinybev.runtime.backends.torch_device import choose_device, to_device
from tinybev.runtime.options import PipelineOptions
from tinybev.runtime.output_decoder import OutputDecoder
from tinybev.types import CAMERAS
from tinybev_training.data.batch import collate
from tinybev_training.data.bev_augmentation import BevAugmentation
from tinybev_training.data.dataset import NuScenesDataset
from tinybev_training.data.sample import PastFrame, Sample
from tinybev_training.data.training_set import TrainingSet
from tinybev_training.eval.ground_truth import pose_of
from tinybev_training.eval.measure import NOTHING, Measure, Measures
from tinybev_training.eval.missing_cameras import without_cameras
from tinybev_training.eval.predictions import from_results, without_output
from tinybev_training.eval.predictor import FrameTimes, Predicted
from tinybev_training.teacher.network import TeacherNetwork
from tinybev_training.teacher.stored import WEIGHTS_FILE, load_teacher, trained_with_ego_status
from tinybev_training.train.inputs import Told


class MeasuredTeacher:
    """The teacher in a folder.

    Raises:
        UserError: the folder holds none, or a damaged one.
    """

    def __init__(self, folder: Path) -> None:
        self._network = TeacherNetwork(load_teacher(folder))
        self._learnt_ego_status = trained_with_ego_status(folder)
        self._sha256 = hashlib.sha256((folder / WEIGHTS_FILE).read_bytes()).hexdigest()

    @property
    def needs_lidar(self) -> bool:
        """Whether it looks at lidar points."""
        return self._network.needs_lidar

    @property
    def name(self) -> str:
        """Of its configuration."""
        return self._network.config.name

    def sha256(self, options: PipelineOptions) -> str:
        """Of the weights' file."""
        return self._sha256

    def size(self) -> Measures:
        """``parameters``; nothing of ``MACs``, which depend on how many lidar points there are."""
        parameters = sum(parameter.numel() for parameter in self._network.parameters())
        return {"parameters": Measure(parameters, 1), "MACs": NOTHING}

    def predictor(self, dataset: NuScenesDataset, options: PipelineOptions) -> TeacherPredictor:
        """Runs the teacher on ``dataset``.

        Raises:
            UserError: the device is not there, or the planner is always to be told how the vehicle moves and was
                trained without.
        """
        tell = options.tells_ego_status(self._learnt_ego_status, self.name)
        return TeacherPredictor(dataset, self._network, options, tell)


class TeacherPredictor:
    """Runs a teacher on the samples of ``dataset``."""

    def __init__(
        self, dataset: NuScenesDataset, network: TeacherNetwork, options: PipelineOptions, tell_ego_status: bool = False
    ) -> None:
        self._dataset, self._tell_ego_status = dataset, tell_ego_status
        self._device = choose_device(options.device)
        if options.threads:
            torch.set_num_threads(options.threads)
        self._network = network.to(self._device)
        self._decoder = OutputDecoder(network.config, options)

    @property
    def device(self) -> str:
        """Where the network runs: "cpu" or "cuda"."""
        return self._device.type

    @property
    def precision(self) -> str:
        """Of PyTorch's operators."""
        return "float32"

    def reset(self) -> None:
        """Forgets tracks; earlier keyframes come with each example."""
        self._decoder.reset()

    @torch.no_grad()
    def predict(self, index: int, lost: tuple[str, ...]) -> Predicted:
        """The outputs for keyframe ``index`` without the cameras ``lost``.

        The total time holds the reading of the example, the network's that of looking at the earlier keyframes too.

        Raises:
            UserError: an image is damaged.
        """
        started = time.perf_counter()
        config = self._network.config
        seen = TrainingSet(_WithoutCameras(self._dataset, lost), config.image_size, past_frames=config.memory_frames)
        example = seen[index]
        sample = example.sample
        token, pose = sample.token, pose_of(sample)
        if len(sample.frame.missing) == len(CAMERAS):
            return Predicted(without_output(token, pose), None)
        batch = collate([example]).to(self._device)
        network_started = time.perf_counter()
        outputs = self._network(batch, Told.everything(batch, self._tell_ego_status))
        outputs = to_device(outputs, torch.device("cpu"))
        network_done = time.perf_counter()
        prediction = from_results(token, pose, self._decoder.decode(outputs, sample.frame))
        done = time.perf_counter()
        return Predicted(prediction, FrameTimes(1e3 * (done - started), 1e3 * (network_done - network_started)))


class _WithoutCameras:
    """The samples of a dataset, and what comes before them, without some cameras; nothing is remembered of a keyframe
    that has no image left, as on the robot."""

    def __init__(self, dataset: NuScenesDataset, lost: tuple[str, ...]) -> None:
        self._dataset, self._lost = dataset, lost

    def __len__(self) -> int:
        return len(self._dataset)

    def sample(self, index: int, augmentation: BevAugmentation) -> Sample:
        """Sample ``index``."""
        sample = self._dataset.sample(index, augmentation)
        return dataclasses.replace(sample, frame=without_cameras(sample.frame, self._lost))

    def past(self, index: int, count: int, augmentation: BevAugmentation) -> tuple[PastFrame | None, ...]:
        """The ``count`` keyframes before it, newest first."""
        return tuple(map(self._without, self._dataset.past(index, count, augmentation)))

    def _without(self, past: PastFrame | None) -> PastFrame | None:
        if past is None:
            return None
        frame = without_cameras(past.frame, self._lost)
        return dataclasses.replace(past, frame=frame) if frame.images else None
