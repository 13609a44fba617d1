"""Which samples each step trains on: a pure function of the seed, the step and the process's rank.

The batch of a step is the same however many processes share it and however many parts it is taken in, and a run that
goes on at some step gets what it would have got. The samples of all steps are one long list, epoch after epoch, each
epoch in an order of its own; a batch may reach from one epoch into the next, so every sample comes equally often.
"""

from __future__ import annotations

import atexit
import functools
import multiprocessing
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count

import cv2
import torch
from torch.utils.data import DataLoader, Sampler

from tinybev.errors import UserError
from tinybev_training.data.batch import Batch, collate
from tinybev_training.data.training_set import EpochSampler, Key, TrainingSet


@dataclass(frozen=True)
class Share:
    """What one process does of every step.

    Attributes:
        labelled, unlabelled: samples of a step, over all processes and parts.
        parts: in which a process takes its samples one after the other, accumulating gradients.
        world_size, rank: number of processes and this one's number.
    """

    labelled: int
    unlabelled: int = 0
    parts: int = 1
    world_size: int = 1
    rank: int = 0

    def __post_init__(self) -> None:
        shares = self.world_size * self.parts
        for name, samples in (("samples.labelled", self.labelled), ("samples.unlabelled", self.unlabelled)):
            if samples % shares:
                raise UserError(
                    f"{name}: expected a multiple of processes x samples.accumulate = {self.world_size} x "
                    f"{self.parts}, got {samples}; change one of them."
                )

    @property
    def batch_size(self) -> int:
        """Samples of a step, labelled or not."""
        return self.labelled + self.unlabelled

    def labelled_rows(self, part: int) -> range:
        """The places, among the step's labelled samples, of this process's of a part."""
        return self._rows(self.labelled, part)

    def unlabelled_rows(self, part: int) -> range:
        """The places, among the step's unlabelled samples, of this process's of a part."""
        return self._rows(self.unlabelled, part)

    def rows(self, part: int) -> list[int]:
        """The places in the whole step of this process's samples of a part; the labelled ones come first in both."""
        return [*self.labelled_rows(part), *(self.labelled + row for row in self.unlabelled_rows(part))]

    def _rows(self, samples: int, part: int) -> range:
        size = samples // (self.world_size * self.parts)
        first = (self.rank * self.parts + part) * size
        return range(first, first + size)


class _LongList:
    """Indices without end: all of ``length``, epoch after epoch, from ``first`` on."""

    def __init__(self, length: int, seed: int, first: int = 0) -> None:
        self._length = length
        self._first = first
        self._order = EpochSampler(length, seed)
        self._keys: list[Key] = list(self._order)

    def __getitem__(self, place: int) -> Key:
        epoch, number = divmod(place, self._length)
        if self._order.epoch != epoch:
            self._order.set_epoch(epoch)
            self._keys = list(self._order)
        return epoch, self._first + self._keys[number][1]


class StepSampler(Sampler[list[Key]]):
    """The keys of one part after the other, from a step on, without end."""

    def __init__(self, labelled: int, unlabelled: int, share: Share, seed: int, first_step: int = 0) -> None:
        """
        Args:
            labelled: samples in all, at the indices from 0.
            unlabelled: samples in all, at the indices that follow.
            share: of this process.
            seed: of the order.
            first_step: where to begin.
        """
        self._lists = _LongList(labelled, seed), _LongList(unlabelled, seed + 1, first=labelled)
        self._share = share
        self._first_step = first_step

    def __iter__(self) -> Iterator[list[Key]]:
        share, (labelled, unlabelled) = self._share, self._lists
        for step in count(self._first_step):
            for part in range(share.parts):
                yield [
                    *(labelled[step * share.labelled + row] for row in share.labelled_rows(part)),
                    *(unlabelled[step * share.unlabelled + row] for row in share.unlabelled_rows(part)),
                ]


def step_loader(
    training_set: TrainingSet, labelled: int, share: Share, first_step: int, workers: int, pin_memory: bool
) -> DataLoader[Batch]:
    """The batches of this process from a step on, without end.

    Args:
        training_set: the labelled examples, then the unlabelled ones; its seed is that of the order too.
        labelled: how many are labelled.
        share: of this process.
        first_step: where to begin.
        workers: processes that load, 0 for none but this one.
        pin_memory: whether batches are put into page-locked memory, for a GPU.
    """
    end_workers_at_exit()
    if workers:
        # OpenCV's threads do not survive in a forked process, which would wait for them for ever.
        cv2.setNumThreads(1)
    return DataLoader(
        training_set,  # type: ignore[arg-type]
        batch_sampler=StepSampler(labelled, len(training_set) - labelled, share, training_set.seed, first_step),
        num_workers=workers,
        collate_fn=collate,
        pin_memory=pin_memory,
        worker_init_fn=leave_signals_alone,
        # Without one of its own a loader draws its workers' seed from the global state, and so changes that.
        generator=torch.Generator().manual_seed(training_set.seed),
    )


@functools.cache
def end_workers_at_exit() -> None:
    """Sees to it that no loading process outlives the run.

    After an error an iterator may still be held by its traceback. At exit Python then sends its workers a SIGTERM,
    which they leave alone, and would wait for them for ever.
    """
    atexit.register(_end_workers)


def _end_workers() -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # PyTorch's handler would call it an error
    for process in multiprocessing.active_children():
        process.kill()


def leave_signals_alone(worker: int) -> None:
    """A terminal and a scheduler signal every process of a run; the one that trains decides when loading ends.

    A worker whose parent is gone ends by itself.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
