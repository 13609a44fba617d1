"""Raw motion outputs to futures in metres."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tinybev.model.heads.motion import MotionOutputs
from tinybev.types import Detections, Trajectories

_LOG_SIGMA_RANGE = (np.log(0.01), np.log(100.0))
"""Outside of it a standard deviation in metres says nothing, and its exponential may overflow."""


def decode_motion(
    outputs: MotionOutputs, detections: Detections, agent_rows: NDArray[np.int64], time_step_s: float
) -> Trajectories:
    """The futures of the detections, which are rows ``agent_rows`` of the outputs' first frame.

    The network describes a position by a Gaussian with correlation; the standard deviations along the axes are the
    Gaussian's marginals, so they are the same with and without it.
    """
    offset, log_sigma, logits = (
        part[0].numpy()[agent_rows].astype(np.float64)
        for part in (outputs.offset_BAKT2, outputs.log_sigma_BAKT2, outputs.logits_BAK)
    )
    likelihood = np.exp(logits - logits.max(axis=1, keepdims=True))
    return Trajectories(
        positions=detections.centers[:, None, None, :2] + offset,
        sigmas=np.exp(np.clip(log_sigma, *_LOG_SIGMA_RANGE)),
        probabilities=likelihood / likelihood.sum(axis=1, keepdims=True),
        track_ids=detections.track_ids,
        class_ids=detections.class_ids,
        time_step_s=time_step_s,
    )
