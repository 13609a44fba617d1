"""What needs a module that not everybody installs says so in a sentence, also where it finds out late."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tinybev.errors import UserError


@contextmanager
def absence_as_user_error() -> Iterator[None]:
    """Around imports within a function.

    Raises:
        UserError: a module is not installed; the sentence is that of ``tinybev.cli.run_command``.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise UserError(
            f"this command needs the Python module {error.name!r}, which is not installed; "
            "run `make setup`, or see the README for how to install it."
        ) from error
