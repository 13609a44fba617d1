"""Exported parts as files: written once for weights and versions, found again at the next start.

A file appears under its name when it is whole and not before, so an export that was interrupted goes on with the part
that is missing, and two processes that export the same bundle at once do no harm.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path

from tinybev import model
from tinybev.errors import UserError
from tinybev.model.student import Student
from tinybev.runtime.backends import parts
from tinybev.runtime.backends.parts import PART_NAMES, Part, student_parts
from tinybev.runtime.bundle import Bundle
from tinybev.runtime.code_digest import files_digest, package_files

CACHE_VARIABLE = "TINYBEV_CACHE"
"""Environment variable that names another folder than ``~/.cache/tinybev``."""
_EXPORTERS = (
    *("parts.py", "torch_export.py", "onnx_export.py"),
    *("openvino_runtime.py", "openvino_tail.py", "batch_norm.py"),
)
WritePart = Callable[[Part, Path], None]
"""Writes the files of one part into an empty folder: ``PART.SUFFIX`` of the format, and what belongs to it."""


def cache_folder() -> Path:
    """Where exports are kept: ``$TINYBEV_CACHE``, else ``tinybev`` in the user's cache folder."""
    if chosen := os.environ.get(CACHE_VARIABLE):
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tinybev"


def cached_export(bundle: Bundle, packages: Sequence[str]) -> Path:
    """The folder of the cache for this bundle's exports; arguments as of :func:`export_identity`."""
    return cache_folder() / f"{bundle.config.name}-{export_identity(bundle, packages)}"


def export_identity(bundle: Bundle, packages: Sequence[str]) -> str:
    """What an export depends on, as 16 hexadecimal digits.

    Args:
        bundle: its weights and its configuration count, and so does the code of the network and of the exporters.
        packages: whose versions count.
    """
    identity = {
        "code": _code_digest(),
        "weights": bundle.info.sha256,
        "config": bundle.config.to_dict(),
        "versions": {package: metadata.version(package) for package in packages},
    }
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]


def export_parts(
    build_student: Callable[[], Student], folder: Path, suffix: str, write: WritePart
) -> tuple[Path, Path]:
    """The files ``image.SUFFIX`` and ``bev.SUFFIX`` in ``folder``; those that are there are left as they are.

    Raises:
        UserError: the folder cannot be written to.
    """
    image_file, bev_file = (folder / f"{name}{suffix}" for name in PART_NAMES)
    if image_file.is_file() and bev_file.is_file():
        return image_file, bev_file
    try:
        for part in student_parts(build_student()):
            if (folder / f"{part.name}{suffix}").is_file():
                continue
            folder.mkdir(parents=True, exist_ok=True)
            unfinished = Path(tempfile.mkdtemp(prefix=f".{part.name}-", dir=folder))
            try:
                write(part, unfinished)
                publish(unfinished, folder, f"{part.name}{suffix}")
            finally:
                shutil.rmtree(unfinished, ignore_errors=True)
    except OSError as error:
        raise UserError(
            f"{folder}: expected a folder that can be written to, got {error}; make room, or name another one (in "
            f"place of the user's cache: {CACHE_VARIABLE})."
        ) from error
    return image_file, bev_file


def _code_digest() -> str:
    """Of what the graphs are made from: the same weights in a changed network make another export."""
    exporters = (Path(parts.__file__).with_name(name) for name in _EXPORTERS)
    return files_digest((*package_files(model), *exporters))


def publish(unfinished: Path, folder: Path, last: str) -> None:
    """Moves the files of ``unfinished`` into ``folder``; ``last``, by which the part is found, comes last."""
    for path in sorted(unfinished.iterdir(), key=lambda path: path.name == last):
        path.replace(folder / path.name)
