"""Folders that appear whole or not at all."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tinybev.errors import UserError


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """A folder to fill that takes the name ``folder`` at the end, and is gone where an error comes in between.

    Raises:
        UserError: something of that name exists, or the place cannot be written to.
    """
    if folder.exists():
        raise UserError(f"{folder}: expected a folder that does not exist yet; remove it or choose another name.")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        try:
            yield unfinished
            unfinished.chmod(0o755)  # mkdtemp's are the owner's alone
            unfinished.rename(folder)
        except BaseException:
            shutil.rmtree(unfinished, ignore_errors=True)
            raise
    except OSError as error:
        raise UserError(f"{folder}: expected a place that can be written to, got {error}.") from error
