"""Checkpoints on disk: one safetensors file each, numbers as tensors and everything else as JSON in its header.

Reading one cannot run code, as unpickling could. A file is written under another name, brought to the disk and then
renamed, so at any moment the name holds a whole checkpoint or none.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
from torch import Tensor

from tinybev.errors import UserError

FORMAT = "tinybev-checkpoint-1"
_FORMAT_KEY, _STATE_KEY = "format", "state"


def write_checkpoint(path: Path, state: Mapping[str, object]) -> None:
    """Writes ``state``; an earlier file of the name stays until the new one is complete and on the disk.

    Args:
        path: of the file; its folder is made where it is missing.
        state: any nesting of dicts, lists, tuples, tensors, strings, numbers, bools and None.

    Raises:
        UserError: the file cannot be written.
        TypeError: ``state`` holds something else.
    """
    tensors: dict[str, Tensor] = {}
    text = json.dumps(_described(state, "", tensors))
    partial = path.with_name(f".{path.name}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        safetensors.torch.save_file(tensors, partial, metadata={_FORMAT_KEY: FORMAT, _STATE_KEY: text})
        _sync(partial)
        os.replace(partial, path)
        _sync(path.parent)
    except (OSError, safetensors.SafetensorError) as error:
        raise UserError(
            f"{path}: the checkpoint cannot be written ({error}); make room or name another place."
        ) from error


def read_checkpoint(path: Path) -> dict[str, Any]:
    """The state that :func:`write_checkpoint` wrote, equal to the last bit, tensors on the CPU.

    Raises:
        UserError: the file is missing, damaged, or not a checkpoint.
    """
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except FileNotFoundError as error:
        raise UserError(f"{path}: expected a checkpoint, there is no such file; correct the path.") from error
    except (safetensors.SafetensorError, OSError) as error:
        raise UserError(f"{path}: expected a checkpoint, the file is damaged ({error}); use another one.") from error
    if metadata.get(_FORMAT_KEY) != FORMAT:
        raise UserError(
            f"{path}: expected a checkpoint of format {FORMAT}, got {metadata.get(_FORMAT_KEY)!r}; "
            "use one that this version of `tinybev train` wrote."
        )
    try:
        state = _restored(json.loads(metadata[_STATE_KEY]), tensors)
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path}: expected a whole checkpoint, its header is damaged; use another one.") from error
    if not isinstance(state, dict):
        raise UserError(f"{path}: expected a whole checkpoint, its header is damaged; use another one.")
    return state


def _described(value: object, name: str, tensors: dict[str, Tensor]) -> object:
    """``value`` in JSON's types; its tensors go into ``tensors`` under names that begin with ``name``.

    A JSON object has one key that says what it stands for, so a dict may have keys of any simple type.
    """
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, Tensor):
        if name in tensors:  # two paths may read the same, as keys may hold dots
            name = f"{name}#{len(tensors)}"
        tensors[name] = value.detach().to("cpu", copy=True).contiguous()  # a copy: tensors may share memory
        return {"tensor": name}
    if isinstance(value, Mapping):
        return {
            "dict": [
                [_described(key, name, tensors), _described(one, f"{name}.{key}".lstrip("."), tensors)]
                for key, one in value.items()
            ]
        }
    if isinstance(value, (list, tuple)):
        items = [_described(one, f"{name}.{number}".lstrip("."), tensors) for number, one in enumerate(value)]
        return {"tuple": items} if isinstance(value, tuple) else items
    raise TypeError(f"checkpoint: expected tensors and JSON's types, got {type(value).__name__} at {name!r}")


def _restored(value: object, tensors: Mapping[str, Tensor]) -> object:
    """The inverse of :func:`_described`."""
    if isinstance(value, list):
        return [_restored(one, tensors) for one in value]
    if isinstance(value, dict):
        ((kind, content),) = value.items()
        if kind == "tensor":
            return tensors[content]
        if kind == "tuple":
            return tuple(_restored(one, tensors) for one in content)
        if kind == "dict":
            return {_restored(key, tensors): _restored(one, tensors) for key, one in content}
        raise ValueError(f"unknown kind {kind!r}")
    return value


def _sync(path: Path) -> None:
    """Brings a file, or a folder and with it a renaming, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
