"""A run's figures in every resample of the scenes, which take a minute to draw: kept beside its JSON file."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from tinybev.runtime.code_digest import files_digest, package_files
from tinybev_training import eval as evaluation
from tinybev_training.eval.compare import RESAMPLES, SEED, Figures, drawn_figures_of
from tinybev_training.eval.scene_statistics import read_statistics, statistics_file
from tinybev_training.long_work.write_file import write_binary

_KEY = "made_from"


def drawn_figures_beside(json_file: Path) -> Figures:
    """What ``drawn_figures_of`` gives for the run whose figures are in ``json_file``; nothing without its statistics.

    Raises:
        UserError: the statistics are damaged, or what was drawn cannot be kept.
    """
    statistics = statistics_file(json_file)
    if not statistics.is_file():
        return {}
    key = hashlib.sha256(statistics.read_bytes()).hexdigest()
    key += f" {files_digest(package_files(evaluation))} {RESAMPLES} {SEED}"
    path = json_file.with_suffix(".drawn.npz")
    kept = _read(path, key)
    if kept is None:
        kept = drawn_figures_of(read_statistics(statistics))
        arrays: dict[str, Any] = {_KEY: np.array(key), **kept}
        write_binary(path, lambda file: np.savez_compressed(file, **arrays))
    return kept


def _read(path: Path, key: str) -> Figures | None:
    """None where the file is not there, damaged, or of other statistics or code: it is drawn anew."""
    try:
        with np.load(path, allow_pickle=False) as file:
            if str(file[_KEY]) != key:
                return None
            return {name: file[name] for name in file.files if name != _KEY}
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        return None
