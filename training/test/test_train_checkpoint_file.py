"""Checkpoint files: equal to the last bit, and whole or absent whenever the writer dies."""

from __future__ import annotations

import json
import os
import pickle  # noqa: TID251 - to make the file that must not be read
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tinybev_training.train import checkpoint_file
from tinybev_training.train.checkpoint_file import read_checkpoint, write_checkpoint
from tinybev_training.train.checkpoint_io import SafetensorsIO
from train_runs import difference

from tinybev.errors import UserError

TENSORS = st.sampled_from(
    [
        torch.tensor(3),
        torch.tensor([0.1, float("-inf")]),
        torch.tensor([[1, 2], [3, 4]], dtype=torch.int64).t(),
        torch.tensor([True, False]),
        torch.tensor([1.5], dtype=torch.bfloat16),
        torch.empty(0, 3),
    ]
)
LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5) | TENSORS
KEYS = st.text(alphabet="ab.#", max_size=4) | st.integers(0, 3)
STATES = st.dictionaries(
    KEYS,
    st.recursive(
        LEAVES,
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.lists(inner, max_size=3).map(tuple)
            | st.dictionaries(KEYS, inner, max_size=3)
        ),
        max_leaves=12,
    ),
    max_size=4,
)


@settings(max_examples=150)
@given(state=STATES)
def test_what_is_read_is_what_was_written(state: dict[Any, Any], tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("checkpoint") / "state.safetensors"
    write_checkpoint(path, state)
    assert difference(read_checkpoint(path), state) == ""


def test_tensors_that_share_memory_and_paths_that_read_the_same_are_kept_apart(tmp_path: Path) -> None:
    shared = torch.arange(6.0)
    state = {"a.b": {"c": shared[:3]}, "a": {"b.c": shared[3:], "b": {"c": shared}}}
    write_checkpoint(tmp_path / "state.safetensors", state)
    assert difference(read_checkpoint(tmp_path / "state.safetensors"), state) == ""


def test_an_object_that_only_pickle_could_keep_is_refused_and_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "state.safetensors"
    write_checkpoint(path, {"step": 1})
    with pytest.raises(TypeError, match=r"got function at 'callbacks\.fn'"):
        write_checkpoint(path, {"step": 2, "callbacks": {"fn": lambda: None}})
    assert read_checkpoint(path) == {"step": 1}


@pytest.mark.parametrize("broken", ["save_file", "fsync", "replace"])
def test_a_failing_disk_leaves_the_old_file_and_one_sentence(
    broken: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "state.safetensors"
    write_checkpoint(path, {"weights": torch.ones(3)})

    def fail(*args: object, **kwargs: object) -> None:
        raise OSError(28, "No space left on device")

    target = safetensors.torch if broken == "save_file" else os
    monkeypatch.setattr(target, broken, fail)
    with pytest.raises(UserError, match=r"state\.safetensors: the checkpoint cannot be written .*No space left"):
        write_checkpoint(path, {"weights": torch.zeros(3)})
    monkeypatch.undo()
    assert torch.equal(read_checkpoint(path)["weights"], torch.ones(3))  # type: ignore[arg-type]


KILLED = """
import os, signal, sys, torch
import safetensors.torch
from pathlib import Path
from tinybev_training.train import checkpoint_file

moment, path = sys.argv[1], Path(sys.argv[2])
save, fsync, replace = safetensors.torch.save_file, os.fsync, os.replace
kill = lambda: os.kill(os.getpid(), signal.SIGKILL)

def half(tensors, partial, metadata):
    save(tensors, partial, metadata=metadata)
    os.truncate(partial, os.path.getsize(partial) // 2)  # as if killed while it wrote
    kill()

def after(call):
    def called(*args):
        call(*args)
        kill()
    return called

if moment == "half written":
    safetensors.torch.save_file = half
elif moment == "written":
    os.fsync = after(fsync)
elif moment == "renamed":
    os.replace = after(replace)
checkpoint_file.write_checkpoint(path, {"weights": torch.full((1000,), 2.0)})
"""


@pytest.mark.parametrize(("moment", "expected"), [("half written", 1.0), ("written", 1.0), ("renamed", 2.0)])
def test_a_writer_that_is_killed_leaves_a_whole_file(moment: str, expected: float, tmp_path: Path) -> None:
    path = tmp_path / "state.safetensors"
    write_checkpoint(path, {"weights": torch.full((1000,), 1.0)})
    done = subprocess.run([sys.executable, "-c", KILLED, moment, str(path)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert torch.equal(read_checkpoint(path)["weights"], torch.full((1000,), expected))  # type: ignore[arg-type]
    write_checkpoint(path, {"weights": torch.zeros(1)})  # what the killed one left is in nobody's way
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


class Runs:
    """What an evil pickle holds."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("was-run",)


@pytest.mark.parametrize("kind", ["pickle", "cut", "empty", "weights", "header", "absent", "folder"])
def test_what_is_not_a_checkpoint_is_refused_and_never_run(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "state.safetensors"
    write_checkpoint(path, {"weights": torch.ones(100)})
    if kind == "pickle":
        path.write_bytes(pickle.dumps(Runs()))
    elif kind == "cut":
        path.write_bytes(path.read_bytes()[:-1])
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "weights":
        safetensors.torch.save_file({"weights": torch.ones(1)}, path)
    elif kind == "header":
        metadata = {"format": checkpoint_file.FORMAT, "state": json.dumps({"tensor": "absent"})}
        safetensors.torch.save_file({"weights": torch.ones(1)}, path, metadata=metadata)
    elif kind == "absent":
        path.unlink()
    else:
        path = tmp_path
    with pytest.raises(UserError, match=r"expected a (whole )?checkpoint"):
        SafetensorsIO().load_checkpoint(path)
    assert not (tmp_path / "was-run").exists()
