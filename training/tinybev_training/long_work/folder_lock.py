"""One process at a time in a folder that a command fills and goes on with."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tinybev.errors import UserError
from tinybev_training.long_work.write_file import refusing


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Makes the folder where it is missing, and keeps other processes that ask likewise out of it.

    The folder itself is locked, so nothing is left in it, whatever ends the process; processes that it forked hold the
    lock until they have ended too. A file system without locks keeps nobody out.

    Raises:
        UserError: another process is at work in it, or it cannot be made.
    """
    with refusing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UserError(
                f"{folder}: another process is at work in it; wait until it has ended, or stop it."
            ) from error
        except OSError:
            pass  # some network file systems lock no folders
        yield
    finally:
        os.close(handle)
