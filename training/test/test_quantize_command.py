"""``tinybev quantize --check``: what is tried stays apart from what the vehicle finds; failing changes nothing."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from tinybev_training import quantize
from tinybev_training.eval.measure import Measure

from tinybev.errors import UserError
from tinybev.runtime.backends.export_cache import CACHE_VARIABLE, cache_folder

ARGUMENTS = argparse.Namespace(dataroot=Path(), version="v", check="val", bundle="b", limit=0.01)


class Calibration:
    """Writes which modules were kept into the cache of the moment, as the real one does."""

    groups = ("stem", "head", "bev_stem", "planning_head", "bev_encoder.stages.0")

    def quantize(self, keep: Sequence[str] = ()) -> Path:
        cache_folder().mkdir(parents=True, exist_ok=True)
        (cache_folder() / "int8").write_text(" ".join(keep))
        return cache_folder() / "int8"


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    (tmp_path / "int8").write_text("what was there")
    return tmp_path


def measuring(monkeypatch: pytest.MonkeyPatch, folder: Path, costs: dict[str, float]) -> None:
    def tasks(split: Any, args: Any, backend: str) -> Any:
        assert (folder / "int8").read_text() == "what was there", "nothing is replaced while it is tried"
        if backend == "openvino":
            return {"map": {"IoU": Measure(1.0, 4)}}
        assert cache_folder() != folder
        kept = (cache_folder() / "int8").read_text().split()
        loss = sum(cost for name, cost in costs.items() if name not in kept)
        return {"map": {"IoU": Measure(1.0 - loss, 4)}}

    monkeypatch.setattr(quantize, "open_split", lambda *_: None)
    monkeypatch.setattr(quantize, "_tasks", tasks)


def test_the_choice_replaces_what_was_there_once_it_is_made(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    measuring(monkeypatch, folder, {"stem": 0.2, "head": 0.001})
    assert quantize._checked(Calibration(), ARGUMENTS).read_text() == "planning_head bev_stem bev_encoder.stages.0 stem"  # type: ignore[arg-type]
    assert os.environ[CACHE_VARIABLE] == str(folder)


def test_a_search_that_fails_leaves_what_was_there(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    measuring(monkeypatch, folder, {"stem": 0.2, "head": 0.001, "what is never quantized": 0.1})
    with pytest.raises(UserError, match=r"expected a loss of at most 1.0%, got 10.0% with every module"):
        quantize._checked(Calibration(), ARGUMENTS)  # type: ignore[arg-type]
    assert (folder / "int8").read_text() == "what was there"
    assert os.environ[CACHE_VARIABLE] == str(folder)
