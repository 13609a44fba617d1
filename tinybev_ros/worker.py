"""The one thread that infers: takes the newest set of images, builds its frame, runs the network, publishes.

Where another set waits when the network is done with a frame, its images are decoded while the results of the frame
are made and published: each keeps one core busy, and then both decode what is left. Not earlier: on a CPU the network
has all cores, decoding beside it would take from it what it saves, and a set decoded early may be replaced by a newer
one, for nothing. Where it waits for a set, those of its images that are there already are decoded (``early_images``).
"""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from sensor_msgs.msg import CompressedImage, Image

from tinybev.errors import UserError
from tinybev.frames import CameraSet, LatestSlot
from tinybev.runtime.pipeline import Pipeline
from tinybev.runtime.preprocess import DecodedFrame
from tinybev_ros.complaints import Complaints
from tinybev_ros.conversions import compressed_msg_to_image
from tinybev_ros.early_images import EarlyImages
from tinybev_ros.frame_builder import FrameBuilder
from tinybev_ros.outputs import Publishers
from tinybev_ros.statistics import Statistics

SUBJECT = "inference"

T = TypeVar("T")


@dataclass(frozen=True)
class _Handed:
    """A set and when it was handed over, monotonic seconds."""

    camera_set: CameraSet[CompressedImage | Image]
    moment: float


@dataclass(frozen=True)
class _Begun:
    """A frame with its images decoded.

    Attributes:
        decoded: for the pipeline.
        taken: when its set was taken, monotonic seconds.
        early_ms: for how long images of it had been decoded before.
        queue_ms: for how long its set had waited.
        inputs_ms: for how long poses and calibration were looked up and waited for.
    """

    decoded: DecodedFrame
    taken: float
    early_ms: float
    queue_ms: float
    inputs_ms: float


class Worker:
    """Infers from :meth:`start` to :meth:`stop`; a set that comes while it is busy replaces the one that waits.

    Args:
        builder: makes frames of sets.
        pipeline: makes results of frames.
        publishers: send them.
        statistics, complaints: are told what becomes of each set.
        now_ns: the clock that the stamps of the images follow, nanoseconds.
    """

    def __init__(
        self,
        builder: FrameBuilder,
        pipeline: Pipeline,
        publishers: Publishers,
        statistics: Statistics,
        complaints: Complaints,
        now_ns: Callable[[], int],
    ) -> None:
        self._builder = builder
        self._pipeline = pipeline
        self._publishers = publishers
        self._statistics = statistics
        self._complaints = complaints
        self._now_ns = now_ns
        self._slot: LatestSlot[_Handed] = LatestSlot()
        self._early: EarlyImages[CompressedImage] = EarlyImages(
            lambda message: pipeline.decode_image(compressed_msg_to_image(message))
        )
        self._thread = threading.Thread(target=self._run, name="tinybev-inference", daemon=True)
        self._ahead = ThreadPoolExecutor(max_workers=1, thread_name_prefix="tinybev-ahead")
        self._next: Future[_Begun | None] | None = None
        self._continues = True  # none of the frames begun since the last inferred one said otherwise

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def expect(self, camera: str, message: CompressedImage | Image) -> None:
        """Takes an image whose set is still to come; never blocks. Those that are not compressed wait for their set."""
        if isinstance(message, CompressedImage):
            self._early.add(camera, message)
            self._slot.wake()

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
        self._ahead.shutdown()

    def _run(self) -> None:
        while not self._slot.closed:
            begun = self._next_begun()
            if begun is not None:
                self._attempt(partial(self._infer, begun))

    def _next_begun(self) -> _Begun | None:
        """The frame that was begun ahead, else the next one that comes; None where it cannot be used or none comes."""
        ahead, self._next = self._next, None
        if ahead is not None:
            self._pipeline.help_decoding()  # where it has begun: a pose may still be waited for
            return self._attempt(ahead.result)
        handed = self._next_handed()
        return None if handed is None else self._attempt(partial(self._begin, handed, spread=True))

    def _next_handed(self) -> _Handed | None:
        """The next set; None once closed."""
        while not self._slot.closed:
            handed = self._slot.get(unless=lambda: self._early.waiting)
            if handed is not None:
                return handed
            self._early.decode_one()
        return None

    def _attempt(self, step: Callable[[], T | None]) -> T | None:
        """What the step gives; None where it gives nothing or fails: the frame is refused, and a failure told."""
        done = None
        try:
            done = step()
        except UserError as error:
            self._complaints.raise_about(SUBJECT, str(error))
        except Exception as error:  # whatever one frame does, the next one gets its chance
            trace = traceback.format_exc().strip()
            self._complaints.raise_about(SUBJECT, f"a frame failed with {type(error).__name__}: {error}\n{trace}")
        if done is None:
            self._statistics.frame_refused()
        return done

    def _begin(self, handed: _Handed, *, spread: bool) -> _Begun | None:
        """Builds the frame of a set and decodes its images; None where no camera can be used."""
        taken = time.monotonic()
        found = {camera: self._early.take(camera, one.payload) for camera, one in handed.camera_set.items.items()}
        early = {camera: image for camera, image in found.items() if image is not None}
        built = self._builder.build(handed.camera_set)
        if built is None:
            return None
        self._continues &= built.continues
        ready = time.monotonic()
        pixels = {camera: image.pixels for camera, image in early.items()}
        decoded = self._pipeline.decode(built.frame, spread=spread, early=pixels)
        self._check_pictures(decoded)
        early_ms = sum(image.decode_ms for image in early.values())
        return _Begun(decoded, taken, early_ms, 1e3 * (taken - handed.moment), 1e3 * (ready - taken))

    def _infer(self, begun: _Begun) -> bool:
        """Makes and publishes the results of a frame; begins the next one meanwhile, where one waits."""
        if not self._continues:
            self._pipeline.reset()
            self._continues = True
        inferred = self._pipeline.infer(begun.decoded)
        waiting = self._slot.get(timeout_s=0.0)
        if waiting is not None:
            self._next = self._ahead.submit(self._begin, waiting, spread=False)
        heard = self._publishers.heard()
        results = self._pipeline.conclude(inferred, map_segments=any(output.map_segments for output in heard))
        concluded = time.monotonic()
        conversion_ms = self._publishers.publish(results, heard)
        left = time.monotonic()
        others_ms = {
            "early": begun.early_ms,
            "queue": begun.queue_ms,
            "inputs": begun.inputs_ms,
            "publish": 1e3 * (left - concluded),
            "tracker": self._pipeline.tracker_ms,
            "conversion": conversion_ms,
            "frame": 1e3 * (left - begun.taken),
            "age": 1e-6 * (self._now_ns() - results.stamp_ns),
        }
        if inferred.pooling_ms is not None:
            others_ms["splat"] = inferred.pooling_ms
        self._statistics.frame_inferred(results.times, others_ms)
        self._complaints.settle(SUBJECT)
        return True

    def _check_pictures(self, decoded: DecodedFrame) -> None:
        for camera in decoded.frame.images:
            subject = f"{camera} picture"
            if camera in decoded.rejected:
                self._complaints.raise_about(subject, f"{decoded.rejected[camera]}; the frame goes without it.")
            else:
                self._complaints.settle(subject)
