"""Curves in a file: appended, cut by a kill, and gone on with."""

from __future__ import annotations

from pathlib import Path

from tinybev_training.train.curves import CurveFile, read_curves


def test_values_are_read_back_exactly(tmp_path: Path) -> None:
    logger = CurveFile(tmp_path / "run" / "metrics.csv")
    logger.log_metrics({"loss": 0.1, "epoch": 0}, 1)
    logger.log_metrics({"loss": 1e-30, "rate": 3.0}, 2)
    assert read_curves(tmp_path / "run" / "metrics.csv") == {"loss": {1: 0.1, 2: 1e-30}, "rate": {2: 3.0}}


def test_a_run_that_goes_on_removes_later_rows_and_a_cut_one(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    logger = CurveFile(path)
    for step in range(1, 6):
        logger.log_metrics({"loss": float(step), "rate": 0.5}, step)
    path.write_text(path.read_text() + "6,loss,1.2")  # the rest did not get to the disk
    CurveFile(path, 3).log_metrics({"loss": 40.0}, 4)
    assert read_curves(path) == {"loss": {1: 1.0, 2: 2.0, 3: 3.0, 4: 40.0}, "rate": {1: 0.5, 2: 0.5, 3: 0.5}}


def test_a_row_cut_in_the_middle_is_not_taken_for_a_shorter_number(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    path.write_text("step,curve,value\n1,loss,0.25\n2,loss,0.1")
    CurveFile(path, 5)
    assert read_curves(path) == {"loss": {1: 0.25}}


def test_a_new_run_begins_an_empty_file(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    path.write_text("step,curve,value\n1,loss,0.25\n")
    CurveFile(path)
    assert path.read_text() == "step,curve,value\n"
