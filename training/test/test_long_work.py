"""Folders in which one process works at a time, and processes that are lost."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest
from tinybev_training.long_work.folder_lock import alone_in
from tinybev_training.long_work.lost_processes import explaining_lost_processes
from torch.utils.data import DataLoader, Dataset

from tinybev.errors import UserError

_HOLDER = """
import sys, time
from pathlib import Path
from tinybev_training.long_work.folder_lock import alone_in
with alone_in(Path(sys.argv[1])):
    print("in", flush=True)
    time.sleep(600)
"""


def test_a_second_process_is_kept_out_until_the_first_has_ended_however_it_ends(tmp_path: Path) -> None:
    folder = tmp_path / "made" / "on demand"
    with subprocess.Popen([sys.executable, "-c", _HOLDER, str(folder)], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "in\n"
        with pytest.raises(UserError, match=f"{folder}: another process is at work in it; wait until it has ended"):
            alone_in(folder).__enter__()
        holder.kill()
        holder.wait()
        with alone_in(folder):
            assert not list(folder.iterdir())


def test_another_folder_is_another_matter_and_an_error_gives_it_free(tmp_path: Path) -> None:
    with alone_in(tmp_path / "a"), pytest.raises(ValueError, match="wrong"), alone_in(tmp_path / "c"):
        raise ValueError("wrong")
    with alone_in(tmp_path / "c"):
        pass


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        alone_in(tmp_path / "file" / "folder").__enter__()


class _Deadly(Dataset[int]):
    """Whoever loads its samples is killed, as by the system where memory is short."""

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> int:
        os.kill(os.getpid(), signal.SIGKILL)
        return index


def test_lost_processes_are_one_sentence() -> None:
    sentence = "a process ended without a word, .*; lower --workers and go on"
    with pytest.raises(UserError, match=sentence), explaining_lost_processes("--workers"):
        list(DataLoader(_Deadly(), num_workers=1))
    pool = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"))
    with pytest.raises(UserError, match=sentence), explaining_lost_processes("--workers"), pool:
        pool.submit(os._exit, 1).result()
    with pytest.raises(RuntimeError, match="of another kind"), explaining_lost_processes("--workers"):
        raise RuntimeError("of another kind")
