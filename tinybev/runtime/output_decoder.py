"""What a network says of one frame, decoded: objects with their tracks and futures, map, occupancy and plan."""

from __future__ import annotations

import time
from dataclasses import dataclass

from tinybev.model.config import StudentConfig
from tinybev.model.student import StudentOutputs
from tinybev.runtime.decode.detection import decode_detections
from tinybev.runtime.decode.map import decode_map
from tinybev.runtime.decode.motion import decode_motion
from tinybev.runtime.decode.occupancy import decode_occupancy
from tinybev.runtime.decode.planning import decode_plan
from tinybev.runtime.options import PipelineOptions
from tinybev.runtime.tracker import Tracker
from tinybev.types import Detections, Frame, MapSegments, Occupancy, Plan, Trajectories


@dataclass(frozen=True)
class DecodedOutputs:
    """The five outputs of one frame, as in ``Results``: base_link at the frame's stamp."""

    detections: Detections
    map: MapSegments
    trajectories: Trajectories
    occupancy: Occupancy
    plan: Plan


class OutputDecoder:
    """Decodes the outputs of one frame after the other; remembers tracks.

    Args:
        config: of the network.
        options: thresholds, and whether the plan is refined.

    Attributes:
        tracker_ms: wall time of the tracker in the last frame, milliseconds.
    """

    def __init__(self, config: StudentConfig, options: PipelineOptions) -> None:
        self._config, self._options = config, options
        self._tracker = Tracker()
        self.tracker_ms = 0.0

    def reset(self) -> None:
        """Forgets tracks: what comes next does not continue what came before."""
        self._tracker.reset()

    def start_anew(self) -> None:
        """As if just made: track ids begin with 1 again, for another recording."""
        self._tracker = Tracker()

    def decode(self, outputs: StudentOutputs, frame: Frame, *, map_segments: bool = True) -> DecodedOutputs:
        """The first frame of a batch of outputs, which are on the CPU.

        Args:
            outputs: of the network.
            frame: that it looked at; its stamp, pose and goal are read. Frames come in the order of their stamps.
            map_segments: whether the map's lines and outlines are asked for.
        """
        config, options = self._config, self._options
        boxes, agent_rows = decode_detections(
            outputs.detection, outputs.agents, config.head_grid, options.score_threshold, options.max_objects
        )
        started = time.perf_counter()
        detections = self._tracker.update(boxes, frame.stamp_ns, frame.map_T_base)
        self.tracker_ms = 1e3 * (time.perf_counter() - started)
        occupancy = decode_occupancy(
            outputs.occupancy, detections, config.grid, config.time_step_s, options.occupancy_threshold
        )
        avoided = occupancy if options.refine_plan else None
        return DecodedOutputs(
            detections=detections,
            map=decode_map(outputs.map_BKXY, config.grid, options.map_threshold, segments=map_segments),
            trajectories=decode_motion(outputs.motion, detections, agent_rows, config.time_step_s),
            occupancy=occupancy,
            plan=decode_plan(outputs.plan, frame.goal, config.time_step_s, avoided, options.occupancy_threshold),
        )
