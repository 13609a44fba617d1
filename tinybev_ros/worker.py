"""The one thread that infers: takes the newest set of images, builds its frame, runs the network, publishes."""

from __future__ import annotations

import threading
import time
import traceback
from dataclasses import dataclass

from sensor_msgs.msg import CompressedImage, Image

from tinybev.errors import UserError
from tinybev.frames import CameraSet, LatestSlot
from tinybev.runtime.pipeline import Pipeline
from tinybev.types import Frame
from tinybev_ros.complaints import Complaints
from tinybev_ros.frame_builder import FrameBuilder
from tinybev_ros.outputs import Publishers
from tinybev_ros.statistics import Statistics

SUBJECT = "inference"


@dataclass(frozen=True)
class _Handed:
    """A set and when it was handed over, monotonic seconds."""

    camera_set: CameraSet[CompressedImage | Image]
    moment: float


class Worker:
    """Infers from :meth:`start` to :meth:`stop`; a set that comes while it is busy replaces the one that waits."""

    def __init__(
        self,
        builder: FrameBuilder,
        pipeline: Pipeline,
        publishers: Publishers,
        statistics: Statistics,
        complaints: Complaints,
    ) -> None:
        self._builder = builder
        self._pipeline = pipeline
        self._publishers = publishers
        self._statistics = statistics
        self._complaints = complaints
        self._slot: LatestSlot[_Handed] = LatestSlot()
        self._thread = threading.Thread(target=self._run, name="tinybev-inference", daemon=True)

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def hand_over(self, camera_set: CameraSet[CompressedImage | Image]) -> None:
        """Takes a set from the synchronizer; never blocks."""
        self._statistics.frame_arrived(complete=not camera_set.missing)
        self._slot.put(_Handed(camera_set, time.monotonic()))
        self._statistics.frames_dropped(self._slot.replaced)

    def stop(self) -> None:
        """Drops the set that waits, and returns when the one under way is done; may be called before :meth:`start`."""
        self._slot.close()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while not self._slot.closed:
            handed = self._slot.get()
            if handed is None:
                continue
            done = False
            try:
                done = self._infer(handed)
            except UserError as error:
                self._complaints.raise_about(SUBJECT, str(error))
            except Exception as error:  # whatever one frame does, the next one gets its chance
                trace = traceback.format_exc().strip()
                self._complaints.raise_about(SUBJECT, f"a frame failed with {type(error).__name__}: {error}\n{trace}")
            else:
                self._complaints.settle(SUBJECT)
            if not done:
                self._statistics.frame_refused()

    def _infer(self, handed: _Handed) -> bool:
        """Whether the set became a result."""
        taken = time.monotonic()
        built = self._builder.build(handed.camera_set)
        if built is None:
            return False
        if not built.continues:
            self._pipeline.reset()
        ready = time.monotonic()
        results = self._pipeline.run(built.frame)
        self._check_pictures(built.frame)
        inferred = time.monotonic()
        self._publishers.publish(results)
        waits_ms = {
            "queue": 1e3 * (taken - handed.moment),
            "inputs": 1e3 * (ready - taken),
            "publish": 1e3 * (time.monotonic() - inferred),
        }
        self._statistics.frame_inferred(results.times, waits_ms)
        return True

    def _check_pictures(self, frame: Frame) -> None:
        for camera in frame.images:
            subject = f"{camera} picture"
            if camera in self._pipeline.rejected:
                self._complaints.raise_about(subject, f"{self._pipeline.rejected[camera]}; the frame goes without it.")
            else:
                self._complaints.settle(subject)
