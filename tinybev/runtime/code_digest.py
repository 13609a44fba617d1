"""Which code made something that is kept: other code may make something else of the same weights and images."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType


def package_files(*packages: ModuleType) -> list[Path]:
    """The Python files of packages and of what lies in them, in the order of their names."""
    folders = [Path(folder) for package in packages for folder in package.__path__]
    return [path for folder in folders for path in sorted(folder.rglob("*.py"))]


def files_digest(files: Iterable[Path]) -> str:
    """SHA-256 of what is in the files, one behind the other."""
    digest = hashlib.sha256()
    for path in files:
        digest.update(path.read_bytes())
    return digest.hexdigest()
