"""Files that are there as a whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from tinybev.errors import UserError


def write_text(path: Path, text: str) -> None:
    """Writes ``text`` as UTF-8; an earlier file of the name stays until the new one is complete.

    Raises:
        UserError: it cannot be written.
    """
    write_binary(path, lambda file: file.write(text.encode()))


def write_binary(path: Path, fill: Callable[[BinaryIO], object]) -> None:
    """Lets ``fill`` write the file; an earlier file of the name stays until the new one is complete.

    Raises:
        UserError: it cannot be written.
    """
    with replacing(path) as file, refusing(path):
        fill(file)


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A file to write to that takes the name ``path`` at the end, and is gone where an error comes in between.

    Raises:
        UserError: it cannot be made; whoever writes to it does so under :func:`refusing`.
    """
    partial = path.with_name(f".{path.name}.partial")
    with refusing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        file = partial.open("wb")
    try:
        with file:
            yield file
        with refusing(path):
            os.replace(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


@contextmanager
def refusing(path: Path) -> Iterator[None]:
    """Says in a sentence that ``path`` cannot be written, where the system says so.

    Raises:
        UserError: it cannot be written.
    """
    try:
        yield
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror or error}; name another place.") from error
