"""Modules that not everybody installs: what needs one says so in a sentence."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tinybev.errors import UserError


@contextmanager
def absence_as_user_error() -> Iterator[None]:
    """Around imports.

    Raises:
        UserError: a module is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise UserError(
            f"this command needs the Python module {error.name!r}, which is not installed; "
            "run `make setup`, or see the README for how to install it."
        ) from error
