"""Samples as a PyTorch dataset: augmented, collated and loaded by workers, the same in every run.

What is drawn for a sample depends on the seed, the epoch and the sample's index and on nothing else: not on the number
of workers, the batch size or what was loaded before, so a run that is resumed sees what it would have seen.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

import cv2
import numpy as np
from torch.utils.data import DataLoader, Dataset, Sampler

from tinybev_training.data.batch import Batch, Example, PastExample, collate
from tinybev_training.data.bev_augmentation import AS_RECORDED, BevAugmentation, BevAugmentationRange
from tinybev_training.data.camera_inputs import camera_inputs
from tinybev_training.data.image_augmentation import ImageAugmentationRange
from tinybev_training.data.images import Size
from tinybev_training.data.sample import PastFrame, Sample


class SampleSource(Protocol):
    """Where samples come from: a dataset on disk, or one made in memory."""

    def __len__(self) -> int: ...

    def sample(self, index: int, augmentation: BevAugmentation) -> Sample:
        """Sample ``index`` as ``augmentation`` shows it."""
        ...

    def past(self, index: int, count: int, augmentation: BevAugmentation) -> tuple[PastFrame | None, ...]:
        """The ``count`` keyframes before sample ``index``, newest first, as ``augmentation`` shows them."""
        ...


@dataclass(frozen=True)
class Augmentation:
    """What is varied in training: the world around the ego, and the images."""

    bev: BevAugmentationRange = field(default_factory=BevAugmentationRange)
    image: ImageAugmentationRange = field(default_factory=ImageAugmentationRange)


Key = tuple[int, int]
"""(epoch, index): what :class:`EpochSampler` hands to the workers."""


class TrainingSet(Dataset[Example]):
    """The samples of ``source`` at the network's image size."""

    def __init__(
        self,
        source: SampleSource,
        image_size: Size,
        augmentation: Augmentation | None = None,
        seed: int = 0,
        past_frames: int = 0,
    ) -> None:
        """
        Args:
            source: of the samples.
            image_size: (height, width) of the network's input.
            augmentation: what is varied; None for validation.
            seed: of what is drawn.
            past_frames: earlier keyframes that come with each sample, for networks with a memory; each costs as much
                reading and decoding as the sample's own images.
        """
        self.source = source
        self.image_size = image_size
        self.augmentation = augmentation
        self.seed = seed
        self.past_frames = past_frames

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, key: Key | int) -> Example:
        """The example of (epoch, index), or of an index in epoch 0."""
        epoch, index = key if isinstance(key, tuple) else (0, key)
        if self.augmentation is None:
            sample = self.source.sample(index, AS_RECORDED)
            return Example(sample, camera_inputs(sample.frame, self.image_size), self._past(index, AS_RECORDED))
        rng = np.random.default_rng([self.seed, epoch, index])
        world, images = self.augmentation.bev.draw(rng), self.augmentation.image
        sample = self.source.sample(index, world)
        # The past is drawn last, so that a sample looks the same with and without it.
        cameras = camera_inputs(sample.frame, self.image_size, images, rng)
        return Example(sample, cameras, self._past(index, world, images, rng))

    def _past(
        self,
        index: int,
        world: BevAugmentation,
        images: ImageAugmentationRange | None = None,
        rng: np.random.Generator | None = None,
    ) -> tuple[PastExample | None, ...]:
        if not self.past_frames:
            return ()
        return tuple(
            None if past is None else PastExample(past, camera_inputs(past.frame, self.image_size, images, rng))
            for past in self.source.past(index, self.past_frames, world)
        )


class EpochSampler(Sampler[Key]):
    """All indices once an epoch, shuffled by seed and epoch, each with the epoch so that workers know it."""

    def __init__(self, length: int, seed: int = 0, shuffle: bool = True) -> None:
        """``length`` is the number of samples; without ``shuffle`` they come in order."""
        self.epoch = 0
        self._length = length
        self._seed = seed
        self._shuffle = shuffle

    def set_epoch(self, epoch: int) -> None:
        """The epoch of the next iteration; training loops call it."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[Key]:
        order = np.arange(self._length)
        if self._shuffle:
            np.random.default_rng([self._seed, self.epoch]).shuffle(order)
        return ((self.epoch, int(index)) for index in order)


def make_loader(
    training_set: TrainingSet,
    batch_size: int,
    workers: int = 0,
    shuffle: bool = True,
    drop_last: bool = False,
    pin_memory: bool = False,
) -> DataLoader[Batch]:
    """Batches of ``training_set``; its sampler has ``set_epoch``.

    Args:
        training_set: the examples.
        batch_size: of them in a batch.
        workers: processes that load, 0 for none but this one; each works on one thread.
        shuffle: whether the order changes with the epoch.
        drop_last: whether a last, smaller batch is left out.
        pin_memory: whether batches are put into page-locked memory, for a GPU.
    """
    if workers:
        # OpenCV's threads do not survive in a forked process, which would wait for them for ever.
        cv2.setNumThreads(1)
    return DataLoader(
        training_set,  # type: ignore[arg-type]
        batch_size=batch_size,
        sampler=EpochSampler(len(training_set), training_set.seed, shuffle),
        num_workers=workers,
        collate_fn=collate,
        drop_last=drop_last,
        pin_memory=pin_memory,
        persistent_workers=workers > 0,
    )
