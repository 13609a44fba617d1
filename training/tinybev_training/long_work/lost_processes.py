"""Processes that ended without saying why: the system kills the largest where memory is short."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager

from tinybev.errors import UserError

_LOADER = "DataLoader worker"
"""How PyTorch's error begins; it is a plain RuntimeError."""


@contextmanager
def explaining_lost_processes(option: str) -> Iterator[None]:
    """Says in a sentence that a process was lost.

    Args:
        option: of the command, by which fewer are started.

    Raises:
        UserError: one was.
    """
    try:
        yield
    except BrokenProcessPool as error:
        raise _lost(option) from error
    except RuntimeError as error:
        if not str(error).startswith(_LOADER):
            raise
        raise _lost(option) from error


def _lost(option: str) -> UserError:
    return UserError(
        f"a process ended without a word, as where the system runs out of memory; lower {option} and go on: what is "
        "done stays."
    )
