"""What a network has to offer so that it can be run over a split and measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from tinybev.runtime.options import PipelineOptions
from tinybev_training.data.dataset import NuScenesDataset
from tinybev_training.eval.measure import Measures
from tinybev_training.eval.predictions import Prediction


@dataclass(frozen=True)
class FrameTimes:
    """Milliseconds of one frame: all that was done for it, and the network alone."""

    total_ms: float
    network_ms: float


@dataclass(frozen=True)
class Predicted:
    """One keyframe's prediction; without times where it has no image, and so no output."""

    prediction: Prediction
    times: FrameTimes | None


class Predictor(Protocol):
    """Predicts one keyframe of a dataset after the other."""

    @property
    def device(self) -> str:
        """Where the network runs: "cpu" or "cuda"."""
        ...

    @property
    def precision(self) -> str:
        """In which the network's convolutions are computed."""
        ...

    def reset(self) -> None:
        """Forgets what came before: another scene starts."""
        ...

    def predict(self, index: int, lost: tuple[str, ...]) -> Predicted:
        """The outputs for keyframe ``index``, in base_link at its reference pose.

        Args:
            index: in the dataset; those of a scene come in their order.
            lost: cameras that it has to do without.
        """
        ...


class MeasuredNetwork(Protocol):
    """Weights to be measured."""

    @property
    def name(self) -> str:
        """Of the network."""
        ...

    def sha256(self, options: PipelineOptions) -> str:
        """Of the weights that it computes with under ``options``."""
        ...

    @property
    def needs_lidar(self) -> bool:
        """Whether it learnt from lidar points, so that a dataset has to have them."""
        ...

    def size(self) -> Measures:
        """``parameters`` and ``MACs`` of one frame."""
        ...

    def predictor(self, dataset: NuScenesDataset, options: PipelineOptions) -> Predictor:
        """Runs the network on ``dataset``.

        Raises:
            UserError: the device is not there.
        """
        ...
