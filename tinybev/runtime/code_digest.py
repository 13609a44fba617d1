"""Which code made something: results that are kept are gone on with only by the code that began them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType


def code_digest(packages: Iterable[ModuleType]) -> str:
    """SHA-256 of the Python files of ``packages`` and of what lies in them, in the order of their names."""
    digest = hashlib.sha256()
    for package in packages:
        for path in sorted(Path(package.__path__[0]).rglob("*.py")):
            digest.update(path.read_bytes() + b"\0")
    return digest.hexdigest()
