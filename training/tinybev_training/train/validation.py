"""What is validated on: some samples spread evenly over a split, in batches of one size, shared among processes."""

from __future__ import annotations

import numpy as np
from torch.utils.data import DataLoader

from tinybev.errors import UserError
from tinybev_training.data.batch import Batch, collate
from tinybev_training.data.training_set import TrainingSet
from tinybev_training.train.step_sampler import end_workers_at_exit, leave_signals_alone


def validation_batches(length: int, most: int, batch_size: int, world_size: int, rank: int) -> list[list[int]]:
    """The indices of each of a process's batches; every process has as many, of as many samples.

    Args:
        length: of the split.
        most: samples in all.
        batch_size: at most, of a batch.
        world_size, rank: number of processes and this one's number.

    Raises:
        UserError: there are fewer samples than processes.
    """
    wanted = min(length, most)
    size = min(batch_size, wanted // world_size)
    if size == 0:
        raise UserError(
            f"validation: expected a sample for each of {world_size} processes, got {wanted}; choose a larger split."
        )
    count = wanted // (size * world_size)
    chosen = np.linspace(0, length - 1, count * world_size * size).round().astype(int)
    return chosen.reshape(count, world_size, size)[:, rank].tolist()


def validation_loader(validation_set: TrainingSet, batches: list[list[int]], workers: int) -> DataLoader[Batch]:
    """Loads ``batches`` of indices, in order."""
    end_workers_at_exit()
    return DataLoader(
        validation_set,  # type: ignore[arg-type]
        batch_sampler=batches,
        num_workers=workers,
        collate_fn=collate,
        worker_init_fn=leave_signals_alone,
    )
