"""Pictures as jobs: rendered one after another, or by several processes that each hold the scene."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from tinybev_training.world.cameras import MountedCamera
from tinybev_training.world.render import render_camera
from tinybev_training.world.scenario import Scenario
from tinybev_training.world.weather import Weather
from tinybev_training.world.world import World, build_world


@dataclass(frozen=True)
class PictureJob:
    """One JPEG to make: which camera, when, into which file; ``count`` whether to count the agents' pixels."""

    camera: MountedCamera
    stamp_ns: int
    path: Path
    quality: int
    count: bool


@dataclass(frozen=True)
class PixelCount:
    """(N,) pixels in which each agent is seen, and (N,) that it would cover by itself."""

    visible: NDArray[np.int64]
    coverage: NDArray[np.int64]

    @classmethod
    def none(cls, agents: int) -> PixelCount:
        """Nobody is seen."""
        return cls(np.zeros(agents, np.int64), np.zeros(agents, np.int64))

    def __add__(self, other: PixelCount) -> PixelCount:
        return PixelCount(self.visible + other.visible, self.coverage + other.coverage)


def make_picture(world: World, job: PictureJob) -> PixelCount:
    """Renders one picture into its file; what is not asked to be counted is zero."""
    picture = render_camera(world, job.camera, job.stamp_ns, count=job.count)
    bgr = cv2.cvtColor(picture.rgb, cv2.COLOR_RGB2BGR)
    ok, encoded = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, job.quality])
    if not ok:
        raise RuntimeError(f"OpenCV could not encode {job.path}")
    job.path.write_bytes(encoded.tobytes())
    if picture.visible is None or picture.coverage is None:
        return PixelCount.none(len(world.scenario.agents))
    return PixelCount(picture.visible, picture.coverage)


@contextmanager
def helpers(scenario: Scenario, weather: Weather, processes: int) -> Iterator[ProcessPoolExecutor | None]:
    """Processes that render pictures of a scene; None for one, which is this one."""
    if processes == 1:
        with one_thread():
            yield None
        return
    context = multiprocessing.get_context("spawn")  # neither torch's nor OpenCV's threads survive a fork
    with ProcessPoolExecutor(processes, mp_context=context, initializer=_hold, initargs=(scenario, weather)) as pool:
        try:
            with one_thread():
                yield pool
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def make_pictures(world: World, jobs: Iterable[PictureJob], pool: ProcessPoolExecutor | None) -> Iterator[PixelCount]:
    """Makes pictures; the counts come in the order of the jobs."""
    if pool is None:
        return (make_picture(world, job) for job in jobs)
    return pool.map(_make_held, jobs, chunksize=2)


_held: World | None = None


def _hold(scenario: Scenario, weather: Weather) -> None:
    global _held
    use_one_thread()
    _held = build_world(scenario, weather)


def _make_held(job: PictureJob) -> PixelCount:
    assert _held is not None
    return make_picture(_held, job)


def use_one_thread() -> None:
    """Processes that render side by side keep to one core each."""
    torch.set_num_threads(1)
    cv2.setNumThreads(1)


@contextmanager
def one_thread() -> Iterator[None]:
    """Rendering is thousands of small operations: threads that wait for each other at every one only slow it down."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
