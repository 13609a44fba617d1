"""What a teacher said, one file a sample: which of the samples that will be asked for have theirs."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from tinybev.errors import UserError

SUFFIX = ".safetensors"


class SampleFiles:
    """The files ``<sample token>.safetensors`` of a folder.

    Attributes:
        folder: of the files.
        absent: the samples that will be asked for and have none.
        first: one that is there.
    """

    def __init__(self, folder: Path, tokens: Iterable[str], what: str, remedy: str) -> None:
        """
        Args:
            folder: of the files.
            tokens: of all samples that will be asked for.
            what: they are, for the error.
            remedy: what to do where there are none, for the error.

        Raises:
            UserError: not one of the samples has a file.
        """
        self.folder = folder
        self._tokens = {path.stem for path in folder.glob(f"*{SUFFIX}")}
        wanted = set(tokens)
        self.absent = wanted - self._tokens
        if self.absent == wanted:
            raise UserError(
                f"expected {what} of some of the {len(wanted)} samples in {folder}, and none is there "
                f"({len(self._tokens)} files of other samples); {remedy}, or name another folder."
            )
        self.first = self._path(min(wanted & self._tokens))

    def find(self, token: str) -> Path | None:
        """The sample's file, None where it has none."""
        return self._path(token) if token in self._tokens else None

    def _path(self, token: str) -> Path:
        return self.folder / f"{token}{SUFFIX}"
