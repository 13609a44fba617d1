"""Figures of the resamples are drawn once, and anew where what they were drawn from is another."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from made_scenes import statistics
from tinybev_training.eval.compare import drawn_figures_of
from tinybev_training.eval.scene_statistics import SceneStatistics, statistics_file, write_statistics
from tinybev_training.reproduce import kept_draws
from tinybev_training.reproduce.kept_draws import drawn_figures_beside


def test_they_are_drawn_once_and_anew_where_statistics_change_or_the_file_is_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[SceneStatistics] = []

    def draw(run: SceneStatistics) -> dict:
        drawn.append(run)
        return dict(drawn_figures_of(run, resamples=5))

    monkeypatch.setattr(kept_draws, "drawn_figures_of", draw)
    figures = tmp_path / "run.json"
    assert drawn_figures_beside(figures) == {}  # without statistics there is nothing to draw
    write_statistics(statistics_file(figures), statistics())
    first, again = drawn_figures_beside(figures), drawn_figures_beside(figures)
    assert len(drawn) == 1
    assert first.keys() == again.keys()
    assert "detection.mAP" in first
    for name, values in first.items():
        np.testing.assert_array_equal(values, again[name])
    write_statistics(statistics_file(figures), statistics(worse_by_m=0.25))
    drawn_figures_beside(figures)
    assert len(drawn) == 2
    (tmp_path / "run.drawn.npz").write_bytes(b"PK damaged")
    drawn_figures_beside(figures)
    assert len(drawn) == 3
