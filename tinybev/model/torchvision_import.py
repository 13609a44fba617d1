"""torchvision, importable beside a PyTorch without CUDA.

PyPI's torchvision is linked against CUDA. Beside a CPU-only PyTorch its extension does not load, the operators that the
extension defines are missing, and importing torchvision fails where it registers shape functions for two of them. They
are declared here where, and only where, they are missing; they have no kernel then and cannot be called. Nothing in
this project calls them: objects are peaks of a map, which need no box suppression.

Import torchvision from here: ``from tinybev.model.torchvision_import import torchvision``.
"""

from __future__ import annotations

from importlib.machinery import PathFinder
from pathlib import Path

import torch

_DECLARED_AT_IMPORT = ("nms", "qnms")
_SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"


def _extension_loads() -> bool:
    """Whether torchvision's operators can be had from its own extension."""
    package = PathFinder.find_spec("torchvision")
    extension = next(Path(package.origin).parent.glob("_C*.so"), None) if package and package.origin else None
    if extension is None:
        return False
    try:
        torch.ops.load_library(str(extension))
    except OSError:
        return False
    return True


def _declare_missing_operators() -> None:
    if _extension_loads():
        return
    for name in _DECLARED_AT_IMPORT:
        if not hasattr(torch.ops.torchvision, name):
            torch.library.define(f"torchvision::{name}", _SCHEMA)


_declare_missing_operators()

import torchvision  # noqa: E402

__all__ = ["torchvision"]
