"""The scripts that measure: what they refuse, and that they run what they count."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_students import COARSE

from tinybev.model.student import seeded_student

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
DATASET = ["/absent", "v1.0-mini", "mini_val"]


def script(name: str) -> dict[str, Any]:
    pytest.importorskip("tinybev_training")
    return runpy.run_path(str(BENCHMARKS / f"{name}.py"))


@pytest.mark.parametrize(
    ("name", "arguments"), [("crowded_cells", DATASET), ("peak_share", ["untrained:nano", *DATASET])]
)
def test_what_is_missing_is_told_in_a_sentence(
    name: str, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    main = script(name)["main"]
    with pytest.raises(SystemExit) as ended:
        main(arguments[:-1])
    assert ended.value.code == 2
    assert "the following arguments are required: split" in capsys.readouterr().err
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"{name}: ")
    assert "/absent" in error
    assert len(error.splitlines()) == 1


def test_everything_behind_the_lift_runs_that_is_counted() -> None:
    student, ran = seeded_student(COARSE, 0), set[str]()
    for name, part in student.named_children():
        part.register_forward_hook(lambda *_arguments, name=name: ran.add(name))
    lifted = torch.zeros(1, COARSE.context_channels, *COARSE.grid.shape)
    with torch.inference_mode():
        script("bev_shapes")["run_behind_lift"](student, lifted)
    parts = {name for name, _ in student.named_children() if name.startswith("bev_") or name.endswith("_head")}
    assert "motion_head" in parts
    assert ran == {*parts, "find_peaks"}
