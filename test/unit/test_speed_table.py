"""The table of speed in the README is what the benches wrote, of one machine."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("tinybev_training")
ROOT = Path(__file__).resolve().parents[2]
SCRIPT = runpy.run_path(str(ROOT / "benchmarks" / "speed_table.py"))
NETWORK: dict[str, Any] = {
    "variant": "tinybev-base",
    "backend": "openvino-int8",
    "precision": "int8",
    "p50_ms": 67.31,
    "p95_ms": 1120.4,
    "ratio_to_torch_fp32": 6.49,
    "share_of_peak": None,
    "disturbed": False,
}
NODE: dict[str, Any] = NETWORK | {"results_per_s": 12.0, "sets_per_s": 12.0, "disturbed": True}
MARKS = "<!-- speed: made by benchmarks/speed_table.py -->", "<!-- end of speed -->"


def files(folder: Path, **machines: str) -> list[str]:
    """What two benches wrote, on the machines named."""
    for name, rows in (("network", [NETWORK]), ("end_to_end", [NODE])):
        (folder / f"{name}.json").write_text(json.dumps({"machine": machines[name], name: rows}))
    return [str(folder / "network.json"), str(folder / "end_to_end.json")]


def test_the_section_is_rewritten_and_the_rest_stays(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{MARKS[0]}\nold\n{MARKS[1]}\nafter\n")
    assert SCRIPT["main"]([str(page), *files(tmp_path, network="a machine", end_to_end="a machine")]) == 0
    text = page.read_text()
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "old" not in text
    assert "Measured on a machine." in text
    assert "| tinybev-base | openvino-int8 | int8 | 67.3 | 1120 | 6.49 |  |  |" in text
    assert "| tinybev-base | openvino-int8 | 12 | 12 | 67.3 | 1120 |  |  | disturbed |" in text


def test_results_of_two_machines_make_no_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"{MARKS[0]}\nold\n{MARKS[1]}\n")
    assert SCRIPT["main"]([str(page), *files(tmp_path, network="this", end_to_end="that")]) == 2
    assert "expected results of one machine, got those of that; this" in capsys.readouterr().err
    assert "old" in page.read_text()


@pytest.mark.parametrize("content", [None, "{", "[]"])
def test_a_file_that_no_bench_wrote_is_refused(
    content: str | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page, results = tmp_path / "page.md", tmp_path / "results.json"
    page.write_text("\n".join(MARKS))
    if content is not None:
        results.write_text(content)
    assert SCRIPT["main"]([str(page), str(results)]) == 2
    assert "expected a file of `tinybev bench --json`" in capsys.readouterr().err
    assert page.read_text() == "\n".join(MARKS)


def test_the_readme_has_the_place_for_it() -> None:
    text = (ROOT / "README.md").read_text()
    assert text.index(MARKS[0]) < text.index(MARKS[1])
