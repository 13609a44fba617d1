"""Files that are there as a whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Callable
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
    partial = path.with_name(f".{path.name}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as file:
            try:
                fill(file)
            except BaseException:
                partial.unlink()
                raise
        os.replace(partial, path)
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror}; name another place.") from error
