"""How fast samples are loaded, and where the time goes.

One core's figures count processor time: other work on the machine does not slow them down, and waiting for a cold disk
does not either. The loader's figure is wall time.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace

import cv2
import numpy as np
import torch
from tqdm import tqdm

from tinybev.runtime.crop import Crop
from tinybev_training.data.batch import Example, collate
from tinybev_training.data.bev_augmentation import augment_bev
from tinybev_training.data.camera_inputs import camera_inputs
from tinybev_training.data.dataset import NuScenesDataset
from tinybev_training.data.images import Size, decode_image
from tinybev_training.data.targets import draw_targets
from tinybev_training.data.training_set import Augmentation, TrainingSet, make_loader

BATCH = 4


@dataclass
class StageSeconds:
    """Processor seconds spent in each stage.

    Attributes:
        read: reading files and turning tables into geometry.
        decode: decoding images.
        images: scaling and augmenting them.
        targets: augmenting the geometry and drawing it onto grids.
        collate: stacking and padding.
    """

    read: float = 0.0
    decode: float = 0.0
    images: float = 0.0
    targets: float = 0.0
    collate: float = 0.0

    @property
    def total(self) -> float:
        """All stages together."""
        return sum(asdict(self).values())


@dataclass(frozen=True)
class LoaderSpeed:
    """What was measured.

    Attributes:
        samples: how many were loaded.
        image_size: (height, width) of the network's input.
        images_per_sample: mean number of images at hand.
        cached: whether decoded images came from a cache.
        samples_per_s: on one core.
        stage_ms: per sample.
        decode_share: of the time, 0 to 1.
        workers: processes of the loader, 0 where it was not measured.
        loader_samples_per_s: with them.
    """

    samples: int
    image_size: Size
    images_per_sample: float
    cached: bool
    samples_per_s: float
    stage_ms: dict[str, float] = field(default_factory=dict)
    decode_share: float = 0.0
    workers: int = 0
    loader_samples_per_s: float = 0.0


def measure(dataset: NuScenesDataset, image_size: Size, samples: int, workers: int) -> LoaderSpeed:
    """Loads ``samples`` samples, each keyframe in turn and again from the first, augmented as in training.

    Args:
        dataset: where from.
        image_size: (height, width) of the network's input.
        samples: how many.
        workers: if not 0, as many are loaded again by that many processes.
    """
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    seconds = StageSeconds()
    images = 0
    _load(dataset, image_size, 0, StageSeconds())  # the first access opens files and fills the cache
    examples = []
    for number in tqdm(range(samples), "loading", unit="sample"):
        examples.append(_load(dataset, image_size, number, seconds))
        images += int(examples[-1].cameras.mask_N.sum())
        if len(examples) == BATCH or number == samples - 1:
            with _timed(seconds, "collate"):
                collate(examples)
            examples = []
    return LoaderSpeed(
        samples=samples,
        image_size=image_size,
        images_per_sample=images / samples,
        cached=dataset.cache is not None,
        samples_per_s=samples / seconds.total,
        stage_ms={name: 1000 * value / samples for name, value in asdict(seconds).items()},
        decode_share=seconds.decode / seconds.total,
        workers=workers,
        loader_samples_per_s=_loader_rate(dataset, image_size, samples, workers) if workers else 0.0,
    )


def _load(dataset: NuScenesDataset, image_size: Size, number: int, seconds: StageSeconds) -> Example:
    """One example, stage by stage."""
    augmentation = Augmentation()
    rng = np.random.default_rng(number)
    bev = augmentation.bev.draw(rng)
    with _timed(seconds, "read"):
        surroundings = dataset.surroundings(number % len(dataset))
    with _timed(seconds, "decode"):
        decoded = {}
        for camera, view in surroundings.frame.images.items():
            if isinstance(view.image, bytes):
                width = Crop.fit(view.image_size, image_size).resized[1]
                view = replace(view, image=decode_image(view.image, view.image_size, width, camera))
            decoded[camera] = view
    surroundings = replace(surroundings, frame=replace(surroundings.frame, images=decoded))
    with _timed(seconds, "targets"):
        sample = draw_targets(augment_bev(surroundings, bev), dataset.grids)
    with _timed(seconds, "images"):
        cameras = camera_inputs(sample.frame, image_size, replace(augmentation.image, dropout_probability=0.0), rng)
    return Example(sample, cameras)


def _loader_rate(dataset: NuScenesDataset, image_size: Size, samples: int, workers: int) -> float:
    """Samples a second through the loader, its start not counted."""
    loader = make_loader(TrainingSet(dataset, image_size, Augmentation()), min(BATCH, len(dataset)), workers)
    for _ in loader:  # starts the workers
        break
    loaded, started = 0, time.perf_counter()
    while loaded < samples:
        loaded += sum(len(batch) for batch in loader)
    return loaded / (time.perf_counter() - started)


@contextmanager
def _timed(seconds: StageSeconds, stage: str) -> Iterator[None]:
    started = time.process_time()
    yield
    setattr(seconds, stage, getattr(seconds, stage) + time.process_time() - started)
