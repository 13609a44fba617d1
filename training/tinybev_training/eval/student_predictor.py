"""A student to be measured: the frames of a dataset through the robot's own pipeline."""

from __future__ import annotations

from tinybev.model.summary import summarize
from tinybev.runtime.backends.choice import computed_sha256
from tinybev.runtime.bundle import Bundle
from tinybev.runtime.options import PipelineOptions
from tinybev.runtime.pipeline import Pipeline
from tinybev.types import CAMERAS
from tinybev_training.data.dataset import NuScenesDataset
from tinybev_training.eval.ground_truth import pose_of
from tinybev_training.eval.measure import Measure, Measures
from tinybev_training.eval.missing_cameras import without_cameras
from tinybev_training.eval.predictions import from_results, without_output
from tinybev_training.eval.predictor import FrameTimes, Predicted


class MeasuredStudent:
    """The student of a bundle."""

    needs_lidar = False

    def __init__(self, bundle: Bundle) -> None:
        self._bundle = bundle

    @property
    def name(self) -> str:
        """Of the bundle."""
        return self._bundle.info.name

    def sha256(self, options: PipelineOptions) -> str:
        """Of the weights, quantized where the backend's are.

        Raises:
            UserError: the backend's are not there yet.
        """
        return computed_sha256(self._bundle, options.backend)

    def size(self) -> Measures:
        """``parameters`` and ``MACs`` of one frame."""
        summary = summarize(self._bundle.config)
        return {"parameters": Measure(summary.parameters, 1), "MACs": Measure(summary.macs, 1)}

    def predictor(self, dataset: NuScenesDataset, options: PipelineOptions) -> StudentPredictor:
        """Runs the student on ``dataset``.

        Raises:
            UserError: the device is not there.
        """
        return StudentPredictor(dataset, Pipeline(self._bundle, options))


class StudentPredictor:
    """Runs a pipeline on the frames of ``dataset``."""

    def __init__(self, dataset: NuScenesDataset, pipeline: Pipeline) -> None:
        self._dataset, self._pipeline = dataset, pipeline

    @property
    def device(self) -> str:
        """Where the network runs: "cpu" or "cuda"."""
        return self._pipeline.device

    @property
    def precision(self) -> str:
        """Of the pipeline's backend."""
        return self._pipeline.precision

    def reset(self) -> None:
        """Forgets tracks and earlier features."""
        self._pipeline.reset()

    def predict(self, index: int, lost: tuple[str, ...]) -> Predicted:
        """The outputs for keyframe ``index`` without the cameras ``lost``, timed from the images' files on."""
        surroundings = self._dataset.surroundings(index)
        token, pose = surroundings.token, pose_of(surroundings)
        frame = without_cameras(surroundings.frame, lost)
        if len(frame.missing) == len(CAMERAS):
            return Predicted(without_output(token, pose), None)
        results = self._pipeline.run(frame)
        times = FrameTimes(results.times.total, results.times.network)
        return Predicted(from_results(token, pose, results), times)
