"""Which samples a step sees: the same however it is shared, and wherever a run begins."""

from __future__ import annotations

from collections import Counter
from itertools import islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tinybev_training.data.training_set import EpochSampler, Key
from tinybev_training.train.step_sampler import Share, StepSampler
from tinybev_training.train.validation import validation_batches

from tinybev.errors import UserError


def steps(labelled: int, unlabelled: int, share: Share, seed: int, first: int, count: int) -> list[list[list[Key]]]:
    """The parts of ``count`` steps."""
    keys = iter(StepSampler(labelled, unlabelled, share, seed, first))
    return [list(islice(keys, share.parts)) for _ in range(count)]


@settings(max_examples=60)
@given(
    labelled=st.integers(1, 30),
    unlabelled=st.integers(1, 30),
    each=st.integers(1, 3),
    each_unlabelled=st.integers(0, 2),
    parts=st.integers(1, 3),
    world=st.integers(1, 3),
    seed=st.integers(0, 5),
    first=st.integers(0, 9),
)
def test_processes_and_parts_share_what_one_process_would_see(
    labelled: int, unlabelled: int, each: int, each_unlabelled: int, parts: int, world: int, seed: int, first: int
) -> None:
    sizes = each * parts * world, each_unlabelled * parts * world
    (whole,) = zip(*steps(labelled, unlabelled, Share(*sizes), seed, first, 3), strict=True)
    shares = [Share(*sizes, parts, world, rank) for rank in range(world)]
    for step, batch in enumerate(whole):
        together = [steps(labelled, unlabelled, share, seed, first, step + 1)[step] for share in shares]
        by_row = {
            row: key
            for share, pieces in zip(shares, together, strict=True)
            for part, keys in enumerate(pieces)
            for row, key in zip(share.rows(part), keys, strict=True)
        }
        assert [by_row[row] for row in range(sum(sizes))] == batch


def test_a_run_that_goes_on_sees_what_it_would_have_seen() -> None:
    share = Share(4, 2, parts=2)
    straight = steps(7, 5, share, 3, 0, 10)
    assert steps(7, 5, share, 3, 6, 4) == straight[6:]


def test_every_sample_comes_once_an_epoch_in_the_order_of_the_epoch_sampler() -> None:
    keys = [key for (batch,) in steps(6, 4, Share(4, 2), 1, 0, 6) for key in batch]
    labelled = [key for key in keys if key[1] < 6]
    unlabelled = [key for key in keys if key[1] >= 6]
    assert Counter(labelled) == Counter((epoch, index) for epoch in range(4) for index in range(6))
    assert Counter(unlabelled) == Counter((epoch, index) for epoch in range(3) for index in range(6, 10))
    assert labelled[:6] == list(EpochSampler(6, seed=1))
    assert [index for _, index in labelled[:6]] != [index for _, index in labelled[6:12]]


def test_a_batch_may_be_larger_than_the_dataset() -> None:
    ((batch,),) = steps(3, 0, Share(8), 0, 0, 1)
    assert sorted(index for epoch, index in batch if epoch < 2) == [0, 0, 1, 1, 2, 2]
    assert [epoch for epoch, _ in batch] == [0, 0, 0, 1, 1, 1, 2, 2]


def test_a_step_that_cannot_be_shared_is_refused() -> None:
    with pytest.raises(UserError, match=r"samples.labelled: expected a multiple of .* = 2 x 3, got 8"):
        Share(8, 0, parts=3, world_size=2)
    with pytest.raises(UserError, match=r"samples\.unlabelled"):
        Share(8, 1, world_size=2)


def test_validation_is_spread_evenly_and_shared_without_rest() -> None:
    assert validation_batches(10, 100, 4, 1, 0) == [[0, 1, 3, 4], [5, 6, 8, 9]]
    ranks = [validation_batches(1000, 24, 3, 4, rank) for rank in range(4)]
    assert [[len(batch) for batch in batches] for batches in ranks] == [[3, 3]] * 4
    chosen = [index for batches in zip(*ranks, strict=True) for batch in batches for index in batch]
    assert chosen == sorted(set(chosen))
    assert (chosen[0], chosen[-1]) == (0, 999)
    assert validation_batches(3, 100, 8, 2, 1) == [[2]]
    with pytest.raises(UserError, match="expected a sample for each of 4 processes, got 3"):
        validation_batches(3, 100, 8, 4, 0)
